//! When a stream looks at the database again. Pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::store::view::Horizon;

/// At most two events per second and client: more than an eye can use.
const EVENTS: Duration = Duration::from_millis(500);
/// Untold: so late, at most, is seen what another controller committed.
const UNTOLD: Duration = Duration::from_secs(1);
/// What was told of is there, but an older transaction that is still open hides it: most last for some
/// milliseconds. Each further look in vain waits for twice as long.
const SOON: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Pace {
    looked: Instant,
    /// The last events.
    sent: Option<Instant>,
    is_told: bool,
    /// What was told of lies below this id, and may lie beyond the horizon.
    hidden: Option<i64>,
    /// Wanted looks, one after the other, that found nothing.
    in_vain: u32,
}

impl Pace {
    /// The first look is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, sent: None, is_told: true, hidden: None, in_vain: 0 }
    }

    pub(super) fn told(&mut self) {
        self.is_told = true;
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// When to look next.
    pub(super) fn due(&self) -> Instant {
        let wait = match self.in_vain {
            _ if !self.is_wanted() => UNTOLD,
            0 => Duration::ZERO,
            n => SOON.saturating_mul(1 << (n - 1).min(16)).min(EVENTS),
        };
        let next = self.looked + wait;
        self.sent.map_or(next, |sent| next.max(sent + EVENTS))
    }

    /// A look has seen what lies below this horizon.
    pub(super) fn looked(&mut self, now: Instant, horizon: Horizon, has_events: bool) {
        self.in_vain = if has_events || !self.is_wanted() { 0 } else { self.in_vain + 1 };
        let hidden = if self.is_told { Some(horizon.end) } else { self.hidden };
        self.hidden = hidden.filter(|end| horizon.open < *end);
        self.is_told = false;
        self.looked = now;
        if has_events {
            self.sent = Some(now);
        }
    }

    /// A look has failed: what was wanted of it still is.
    pub(super) fn failed(&mut self, now: Instant) {
        self.in_vain += 1;
        self.looked = now;
    }

    fn is_wanted(&self) -> bool {
        self.is_told || self.hidden.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Horizon = Horizon { open: 9, end: 9 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_told_is_looked_at_at_once_unless_events_were_just_sent() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.due(), begin, "it begins with a look");
        pace.looked(begin, ALL, false);
        pace.told();
        assert!(pace.due() <= begin + SOON);
        pace.looked(begin + ms(100), ALL, true);
        pace.told();
        assert_eq!(pace.due(), begin + ms(600));
        pace.looked(begin + ms(600), ALL, true);
        assert_eq!(pace.due(), begin + ms(1600), "nobody told of anything");
        pace.told();
        assert_eq!(pace.due(), begin + ms(1100));
    }

    #[test]
    fn what_an_open_transaction_hides_is_looked_for_soon_and_then_less_often() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.looked(now, Horizon { open: 5, end: 9 }, false);
            waits.push(pace.due() - now);
            now = pace.due();
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 500, 500].map(ms));
        // others have begun since, which is no reason to look again
        pace.looked(now, Horizon { open: 9, end: 12 }, true);
        assert_eq!(pace.due(), now + UNTOLD);
    }

    #[test]
    fn however_often_it_is_told_in_vain_it_looks_no_more_than_twice_a_second() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..20 {
            pace.looked(now, ALL, false);
            pace.told();
            now = pace.due();
        }
        assert_eq!(pace.due(), pace.looked + EVENTS);
        pace.looked(now, ALL, false);
        pace.looked(pace.due(), ALL, false);
        pace.told();
        assert_eq!(pace.due(), pace.looked, "after a quiet second it is as quick as before");
    }
}
