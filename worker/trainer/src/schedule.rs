//! The learning rate of a step: pure, so that a resumed run needs nothing but its step.

use assay_api::spec::{Lr, Schedule};

/// The rate of the update that follows `step` updates, in a run of `steps`.
///
/// The warmup rises linearly from 0 (which no step is spent on) to the peak, which step
/// `warmup_steps` is the first to have. Every decay would reach the floor at step `steps`, but the
/// inverse square root: floor + (1 - floor) sqrt(w / n) at the n-th update, the peak at the w-th
/// (1706.03762, section 5.3; the floor as OLMo-core has it).
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^52 steps")]
pub fn lr_at(lr: &Lr, steps: u64, step: u64) -> f64 {
    let warmed = ((step + 1) as f64 / (lr.warmup_steps + 1) as f64).min(1.0);
    let begin = match lr.schedule {
        Schedule::Wsd | Schedule::Linear => decay_begin(lr, steps),
        Schedule::Cosine => lr.warmup_steps,
        Schedule::Constant | Schedule::InverseSqrt => steps,
    };
    let done = if step <= begin {
        0.0
    } else {
        ((step - begin) as f64 / steps.saturating_sub(begin).max(1) as f64).min(1.0)
    };
    let left = match lr.schedule {
        Schedule::Wsd => 1.0 - done.sqrt(),
        Schedule::Linear => 1.0 - done,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        Schedule::Constant => 1.0,
        Schedule::InverseSqrt => ((lr.warmup_steps + 1) as f64 / (step + 1) as f64).sqrt().min(1.0),
    };
    lr.peak * warmed.min(lr.floor + (1.0 - lr.floor) * left)
}

/// The first step of the decay by `decay_steps`: the state there can be continued longer.
#[must_use]
pub fn decay_begin(lr: &Lr, steps: u64) -> u64 {
    lr.decay_begin(steps)
}

/// The step whose state is kept after the end, if the schedule has one.
#[must_use]
pub fn state_to_keep(lr: &Lr, steps: u64) -> Option<u64> {
    lr.kept_step(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lr(schedule: Schedule) -> Lr {
        Lr { peak: 2.0, schedule, warmup_steps: 3, decay_steps: 4, floor: 0.1 }
    }

    /// Twelve steps, warmup of 3, decay over the last 4, worked out by hand.
    #[test]
    fn every_schedule_follows_its_table() {
        let root = |x: f64| 2.0 * (0.1 + 0.9 * (1.0 - x.sqrt()));
        let turn =
            |ninths: f64| 2.0 * (0.1 + 0.45 * (1.0 + (std::f64::consts::PI * ninths / 9.0).cos()));
        let table = [
            (Schedule::Constant, [2.0; 9]),
            (
                Schedule::Wsd,
                [
                    2.0,
                    2.0,
                    2.0,
                    2.0,
                    2.0,
                    2.0,
                    root(0.25),
                    1.1 - 0.9 * 0.414_213_562_373_095_1,
                    root(0.75),
                ],
            ),
            (Schedule::Linear, [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.55, 1.1, 0.65]),
            (
                Schedule::Cosine,
                [2.0, turn(1.0), turn(2.0), 1.55, turn(4.0), turn(5.0), 0.65, turn(7.0), turn(8.0)],
            ),
        ];
        for (schedule, after_warmup) in table {
            let expected = [0.5, 1.0, 1.5].into_iter().chain(after_warmup);
            for (step, expected) in (0..).zip(expected) {
                let got = lr_at(&lr(schedule), 12, step);
                assert!((got - expected).abs() < 1e-12, "{schedule:?} {step}: {got} {expected}");
            }
        }
    }

    /// Peak 2 at the fourth update, floor 0.1: at 9, 16, 36 and 400 the root is 2/3, 1/2, 1/3 and 1/10.
    #[test]
    fn an_inverse_square_root_halves_at_four_times_its_warmup() {
        let lr = lr(Schedule::InverseSqrt);
        let table = [(1, 0.5), (3, 1.5), (4, 2.0), (9, 1.4), (16, 1.1), (36, 0.8), (400, 0.38)];
        for (update, expected) in table {
            for steps in [400, 100_000] {
                let got = lr_at(&lr, steps, update - 1);
                assert!((got - expected).abs() < 1e-12, "update {update} of {steps}: {got}");
            }
        }
    }

    #[test]
    fn a_decay_without_a_floor_would_end_at_zero() {
        let lr = Lr { floor: 0.0, warmup_steps: 0, ..lr(Schedule::Wsd) };
        assert_eq!(lr_at(&lr, 12, 0), 2.0);
        assert_eq!(lr_at(&lr, 12, 8), 2.0);
        assert_eq!(lr_at(&lr, 12, 12), 0.0);
    }

    #[test]
    fn a_warmup_that_meets_the_decay_never_exceeds_it() {
        let lr = Lr { warmup_steps: 100, decay_steps: 12, floor: 0.0, ..lr(Schedule::Wsd) };
        for step in 0..12_u32 {
            let warmed = 2.0 * f64::from(step + 1) / 101.0;
            let decayed = 2.0 * (1.0 - (f64::from(step) / 12.0).sqrt());
            let got = lr_at(&lr, 12, u64::from(step));
            assert!((got - warmed.min(decayed)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_state_before_the_decay_is_kept_where_there_is_one() {
        assert_eq!(state_to_keep(&lr(Schedule::Wsd), 12), Some(8));
        assert_eq!(state_to_keep(&lr(Schedule::Linear), 12), Some(8));
        assert_eq!(state_to_keep(&lr(Schedule::Cosine), 12), None);
        assert_eq!(state_to_keep(&lr(Schedule::InverseSqrt), 12), None);
        assert_eq!(state_to_keep(&Lr { decay_steps: 12, ..lr(Schedule::Wsd) }, 12), None);
        assert_eq!(state_to_keep(&Lr { decay_steps: 0, ..lr(Schedule::Wsd) }, 12), None);
    }
}
