//! When a run counts as diverged: not when its loss is bad, but when it left the finite numbers and
//! does not come back. A run that is merely hopeless goes on: an ablation must not rescue, nor
//! hide, the arm that should lose.

use serde::{Deserialize, Serialize};

use crate::engine::Verdict;

/// Skipped steps in a row that end a run.
const ROW_MAX: usize = 20;
/// Steps looked back on, and how many of them may have been skipped: a tenth.
const WINDOW_STEPS: u64 = 200;
const WINDOW_MAX: usize = 20;

/// Steps that changed nothing because their loss or gradient norm was not finite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skips {
    pub total: u64,
    /// Those of the last 200 steps, ascending.
    pub recent: Vec<u64>,
}

impl Skips {
    /// Takes note of a step; returns the reason if the run has diverged by it.
    pub fn note(&mut self, step: u64, verdict: Verdict) -> Option<String> {
        self.recent.retain(|skipped| step < skipped + WINDOW_STEPS);
        match verdict {
            Verdict::Applied => return None,
            Verdict::Skipped => {
                self.total += 1;
                self.recent.push(step);
            }
        }
        let backwards = self.recent.iter().rev().zip((0..=step).rev());
        let row = backwards.take_while(|(skipped, step)| **skipped == *step).count();
        if ROW_MAX <= row {
            return Some(format!(
                "loss or gradient norm was not finite in {ROW_MAX} steps in a row, up to step {step}"
            ));
        }
        (WINDOW_MAX < self.recent.len()).then(|| {
            format!(
                "loss or gradient norm was not finite in {} of the last {WINDOW_STEPS} steps, up to \
                 step {step}",
                self.recent.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step at which a run diverges whose steps from 1 on are skipped as told.
    fn diverges_at(skipped: impl Fn(u64) -> bool) -> Option<u64> {
        let mut skips = Skips::default();
        let verdict = |step| if skipped(step) { Verdict::Skipped } else { Verdict::Applied };
        (1..2000).find(|step| skips.note(*step, verdict(*step)).is_some())
    }

    #[test]
    fn twenty_in_a_row_end_a_run() {
        assert_eq!(diverges_at(|step| 101 <= step), Some(120));
        assert_eq!(diverges_at(|step| (101..120).contains(&step)), None);
    }

    #[test]
    fn more_than_a_tenth_of_the_last_two_hundred_ends_a_run() {
        assert_eq!(diverges_at(|step| step.is_multiple_of(10)), None);
        assert_eq!(diverges_at(|step| step.is_multiple_of(9)), Some(189));
        // Twenty, then one more as the first leaves the window, and one before it leaves.
        let early = |step| (1..40).contains(&step) && step % 2 == 1;
        assert_eq!(diverges_at(|step| early(step) || step == 201), None);
        assert_eq!(diverges_at(|step| early(step) || step == 200), Some(200));
    }

    #[test]
    fn every_skip_is_counted_and_old_ones_are_forgotten() {
        let mut skips = Skips::default();
        for step in 1..=1000 {
            let verdict = if step % 50 == 0 { Verdict::Skipped } else { Verdict::Applied };
            assert_eq!(skips.note(step, verdict), None);
        }
        assert_eq!(skips, Skips { total: 20, recent: vec![850, 900, 950, 1000] });
    }
}
