//! Since when workers could be heard without a break.
//!
//! A lease that has run out says something about a worker only if the worker could have said something
//! in that time. It could not while the database was away, while this program was frozen or its machine
//! asleep, and a database's clock that was set forward is no time that passed. All of these look alike:
//! a gap between two looks at that clock, which a pulse takes every second, whatever the loop waits for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_scheduler::Time;
use tokio::time::sleep;
use tracing::warn;

use crate::app::App;
use crate::store::world;

const PULSE: Duration = Duration::from_secs(1);
/// Three pulses: a machine that is only busy misses one or two.
const GAP_MIN_MS: u64 = 3_000;

/// Shared by the loop and the pulse.
#[derive(Clone, Debug, Default)]
pub(super) struct Reachable(Arc<Mutex<Spell>>);

#[derive(Debug, Default)]
struct Spell {
    /// None: it begins with the next look.
    since: Option<Time>,
    looked_at: Option<Time>,
}

impl Reachable {
    /// Notes that the database answered at `now`, by its clock; returns since when it could have stored
    /// reports. Half a lease without a look is a gap: a worker reports four times in a lease.
    pub(super) fn since(&self, now: Time, lease_ms: u64) -> Time {
        let mut spell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spell.look(now, GAP_MIN_MS.max(lease_ms / 2))
    }

    /// Nothing is known from now on: the database did not answer, or another controller leads.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since = None;
    }
}

impl Spell {
    fn look(&mut self, now: Time, gap_ms: u64) -> Time {
        // loop and pulse look side by side: a little earlier is no clock that was set back
        let gap = |last: Time| last.plus(gap_ms) < now || now.plus(gap_ms) < last;
        if let Some(last) = self.looked_at.filter(|last| gap(*last)) {
            let seconds = (now.0 - last.0) / 1000;
            warn!(
                "no look at the database for {seconds} s: workers get a lease's time to be heard"
            );
            (self.since, self.looked_at) = (None, None);
        }
        self.looked_at = self.looked_at.max(Some(now));
        *self.since.get_or_insert(now)
    }
}

/// Looks once a second, for ever.
pub(super) async fn pulse(app: App, reachable: Reachable) {
    loop {
        // no answer is a gap, which the next answer shows
        if let Ok(now) = world::now(&app.store.db).await {
            reachable.since(now, app.lease_ms);
        }
        sleep(PULSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(times: &[i64]) -> Vec<i64> {
        let mut spell = Spell::default();
        times.iter().map(|now| spell.look(Time(*now), 3_000).0).collect()
    }

    #[test]
    fn what_is_looked_at_again_and_again_was_reachable_since_the_first_look() {
        assert_eq!(looks(&[10_000, 11_000, 14_000]), [10_000, 10_000, 10_000]);
    }

    #[test]
    fn a_gap_begins_anew_whatever_made_it() {
        assert_eq!(looks(&[10_000, 11_000, 14_001, 15_000]), [10_000, 10_000, 14_001, 14_001]);
    }

    #[test]
    fn so_does_a_clock_that_was_set_back() {
        assert_eq!(looks(&[10_000, 6_999, 7_500]), [10_000, 6_999, 6_999]);
        assert_eq!(looks(&[10_000, 9_999, 10_500]), [10_000, 10_000, 10_000]);
    }

    #[test]
    fn what_is_forgotten_begins_with_the_next_look() {
        let reachable = Reachable::default();
        assert_eq!(reachable.since(Time(10_000), 60_000), Time(10_000));
        reachable.forget();
        assert_eq!(reachable.since(Time(11_000), 60_000), Time(11_000));
        assert_eq!(reachable.since(Time(12_000), 60_000), Time(11_000));
    }
}
