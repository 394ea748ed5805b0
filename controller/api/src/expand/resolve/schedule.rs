//! The learning rate's defaults.

use crate::spec::{Lr, Schedule};
use crate::sweep::draft::LrDraft;
use crate::sweep::errors::Errors;
use crate::sweep::value::Span;

const WARMUP: Span = Span::Share(0.01);
/// Adam's second moment needs some dozens of steps before its scale can be trusted.
const WARMUP_STEPS_MIN: u64 = 40;
/// The last fifth, by 1-sqrt to 0 (2405.18392).
const DECAY: Span = Span::Share(0.2);
/// Of cosine, so that the run can be continued (2403.08763).
const COSINE_FLOOR: f64 = 0.1;

pub(super) fn lr(
    draft: &LrDraft,
    peak: f64,
    steps: u64,
    path: &str,
    errors: &mut Errors,
) -> Option<Lr> {
    let schedule = draft.schedule.unwrap_or(Schedule::Wsd);
    let warmup_steps = match draft.warmup {
        Some(warmup) => warmup.value.steps(steps),
        // A run of less than 80 steps would otherwise warm up for most of its life.
        None => WARMUP.steps(steps).max(WARMUP_STEPS_MIN).min(steps / 2),
    };
    if let Some(warmup) = draft.warmup
        && warmup_steps > steps
    {
        let message = format!("a warmup of {warmup_steps} steps in a run of {steps} steps");
        errors.add(warmup.place, &format!("{path}.warmup"), message);
        return None;
    }
    if schedule == Schedule::InverseSqrt && warmup_steps == 0 {
        let place = draft.warmup.map(|warmup| warmup.place).unwrap_or_default();
        let message = "an inverse square root falls by the length of its warmup: without one the \
                       rate is a tenth of the peak after 100 steps; write a warmup";
        errors.add(place, &format!("{path}.warmup"), message);
        return None;
    }
    let decay_steps = match (schedule, draft.decay) {
        (Schedule::Wsd | Schedule::Linear, Some(decay)) => decay.value.steps(steps),
        (Schedule::Wsd, None) => DECAY.steps(steps).min(steps - warmup_steps),
        (Schedule::Linear, None) => steps - warmup_steps,
        // Their shape leaves no choice; a `decay` is for the other arms of an axis over schedules.
        (Schedule::Cosine | Schedule::Constant | Schedule::InverseSqrt, _) => 0,
    };
    if warmup_steps + decay_steps > steps {
        let place = draft.decay.or(draft.warmup).map(|span| span.place).unwrap_or_default();
        let message = format!(
            "a warmup of {warmup_steps} and a decay of {decay_steps} steps do not fit into a run \
             of {steps} steps"
        );
        errors.add(place, &format!("{path}.decay"), message);
        return None;
    }
    let floor = match schedule {
        Schedule::Wsd | Schedule::Linear | Schedule::InverseSqrt => draft.floor.unwrap_or(0.0),
        Schedule::Cosine => draft.floor.unwrap_or(COSINE_FLOOR),
        Schedule::Constant => 1.0,
    };
    Some(Lr { peak, schedule, warmup_steps, decay_steps, floor })
}
