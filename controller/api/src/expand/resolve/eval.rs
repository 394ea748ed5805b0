//! When things are measured.

use super::absolute;
use crate::spec::{Eval, Task};
use crate::sweep::draft::{EvalDraft, TaskDraft};
use crate::sweep::errors::Errors;
use crate::sweep::limits::MEASUREMENTS_MAX;
use crate::sweep::value::{Span, as_float, rounded};

/// Damage to what the model knew shows early (2506.00288): the first steps are looked at closely.
const HELDOUT_EARLY: [f64; 4] = [0.0, 0.01, 0.02, 0.05];
const HELDOUT_EVERY: Span = Span::Share(0.05);
/// The V shape of task scores in continued pretraining (2406.14833) has its dip near the start.
const TASKS_AT: [f64; 5] = [0.0, 0.1, 0.25, 0.5, 1.0];

pub(super) fn eval(draft: &EvalDraft, steps: u64, folder: &str) -> Eval {
    let mut heldout_at =
        every(draft.heldout_every.map_or(HELDOUT_EVERY, |every| every.value), steps);
    heldout_at.extend(HELDOUT_EARLY.map(|share| Span::Share(share).steps(steps)));
    let task = |draft: &TaskDraft| Task {
        path: absolute(&draft.path, folder),
        sha256: String::new(),
        at: ascending(match draft.every {
            Some(interval) => every(interval.value, steps),
            None => TASKS_AT.map(|share| Span::Share(share).steps(steps)).to_vec(),
        }),
    };
    Eval {
        heldout_at: ascending(heldout_at),
        tasks: draft.tasks.iter().map(|(name, draft)| (name.clone(), task(draft))).collect(),
    }
}

/// Whether no interval is so short that it lists more measurements than a spec may hold.
pub(super) fn check(draft: &EvalDraft, steps: u64, path: &str, errors: &mut Errors) -> Option<()> {
    let heldout = draft.heldout_every.map(|every| (format!("{path}.heldout_every"), every));
    let of_task = |(name, task): (&String, &TaskDraft)| {
        task.every.map(|every| (format!("{path}.tasks.{name}.every"), every))
    };
    let mut is_right = true;
    for (path, every) in heldout.into_iter().chain(draft.tasks.iter().filter_map(of_task)) {
        let n = multiples(every.value, steps);
        if MEASUREMENTS_MAX < n {
            let least = steps.div_ceil(MEASUREMENTS_MAX);
            let message = format!(
                "measures {n} times in a run of {steps} steps; the limit is {MEASUREMENTS_MAX}: write \
                 `0.1%` or `{least} steps`, or more"
            );
            errors.add(every.place, &path, message);
            is_right = false;
        }
    }
    is_right.then_some(())
}

/// How often an interval fits into a run, at most once a step.
fn multiples(interval: Span, steps: u64) -> u64 {
    match interval {
        Span::Share(share) => rounded((1.0 / share).min(as_float(steps))),
        Span::Steps(interval) => steps / interval,
    }
}

/// 0, every multiple of the interval, and the last step; every step where the interval is shorter
/// than one. Multiples are rounded one by one, so that errors do not add up.
fn every(interval: Span, steps: u64) -> Vec<u64> {
    let of_share = |share: f64| {
        let multiple = move |n: u32| f64::from(n) * share;
        // Rounded to a billionth: 20 times 0.05 must be all of it.
        let round = |part: f64| Span::Share((part * 1e9).round() / 1e9).steps(steps);
        let parts = (0..=u32::MAX).map(multiple).take_while(|part| *part <= 1.0);
        parts.map(round).take_while(|step| *step < steps).collect()
    };
    let each = |interval: u64| (0..steps).step_by(usize::try_from(interval).unwrap_or(usize::MAX));
    let mut at: Vec<u64> = match interval {
        Span::Share(share) if share * as_float(steps) <= 1.0 => each(1).collect(),
        Span::Share(share) => of_share(share),
        Span::Steps(interval) => each(interval).collect(),
    };
    at.push(steps);
    at
}

fn ascending(mut at: Vec<u64>) -> Vec<u64> {
    at.sort_unstable();
    at.dedup();
    at
}

#[cfg(test)]
mod tests {
    use super::{Span, eval};
    use crate::sweep::Placed;
    use crate::sweep::draft::EvalDraft;
    use crate::sweep::errors::Place;

    #[test]
    fn heldout_is_measured_early_and_then_evenly() {
        let at = eval(&EvalDraft::default(), 200, "/").heldout_at;
        let expected = [
            0, 2, 4, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170,
            180, 190, 200,
        ];
        assert_eq!(at, expected);
    }

    #[test]
    fn a_run_of_one_step_is_measured_before_and_after() {
        assert_eq!(eval(&EvalDraft::default(), 1, "/").heldout_at, [0, 1]);
    }

    #[test]
    fn an_interval_shorter_than_a_step_measures_at_every_step() {
        let place = Place::default();
        let draft = EvalDraft {
            heldout_every: Some(Placed { value: Span::Share(1e-9), place }),
            ..EvalDraft::default()
        };
        assert_eq!(eval(&draft, 3, "/").heldout_at, [0, 1, 2, 3]);
    }

    #[test]
    fn an_interval_in_steps_still_ends_with_the_last_step() {
        let place = Place::default();
        let draft = EvalDraft {
            heldout_every: Some(Placed { value: Span::Steps(40), place }),
            ..EvalDraft::default()
        };
        assert_eq!(eval(&draft, 100, "/").heldout_at, [0, 1, 2, 5, 40, 80, 100]);
    }
}
