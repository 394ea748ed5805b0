//! A finished run goes on from the state before its decay, for longer than it was asked to. Pure.
//!
//! Warmup, batch, seed and data stay, and up to the decay a schedule does not depend on its length: so
//! the longer run is, bit for bit, one that was asked for so many tokens from the beginning.

use crate::spec::{Eval, Lr, Schedule, TrainSpec};
use crate::sweep::value::{Span, as_float, counted, decimal, percent, rounded};

impl Lr {
    /// The first step of the decay by `decay_steps`, in a run of `steps`.
    #[must_use]
    pub fn decay_begin(&self, steps: u64) -> u64 {
        steps.saturating_sub(self.decay_steps)
    }

    /// The step whose state is kept after the end, if the schedule has one: where the decay begins.
    #[must_use]
    pub fn kept_step(&self, steps: u64) -> Option<u64> {
        let begin = self.decay_begin(steps);
        match self.schedule {
            Schedule::Wsd | Schedule::Linear => (0 < begin && begin < steps).then_some(begin),
            // its end is the beginning of a decay, wherever that comes
            Schedule::Cosine | Schedule::Constant | Schedule::InverseSqrt => None,
        }
    }
}

/// A longer run, and the step of the shorter one that it begins at.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    pub spec: TrainSpec,
    pub step: u64,
}

/// The spec of a run that goes on to `tokens` (`2x`, or `400k`). Its decay is as long as before, in
/// steps, or what `decay` says (`20%`, `80 steps`); the stable phase before it is longer.
///
/// # Errors
/// In words: a text cannot be read, the run keeps no state, or would not be longer.
pub fn extended(spec: &TrainSpec, tokens: &str, decay: Option<&str>) -> Result<Extended, String> {
    let (train, steps) = (&spec.train, spec.train.steps());
    let step = train.lr.kept_step(steps).ok_or_else(|| {
        "its schedule keeps no state before a decay: only `wsd`, or `linear` with a decay that does not \
         begin at the first step, can go on"
            .to_owned()
    })?;
    let mut longer = spec.clone();
    longer.train.tokens = amount(tokens, train.tokens)?;
    let new_steps = longer.train.steps();
    if new_steps <= steps {
        return Err(format!(
            "`{tokens}` is {new_steps} steps, and the run has {steps}: ask for more, such as 2x"
        ));
    }
    if let Some(decay) = decay {
        longer.train.lr.decay_steps = span(decay)?.steps(new_steps);
    }
    let lr = &longer.train.lr;
    if lr.decay_begin(new_steps) < step || lr.kept_step(new_steps).is_none() {
        return Err(format!(
            "a decay of {} steps would begin at step {}, and the state that is kept is of step {step}: \
             ask for a shorter decay or more tokens",
            lr.decay_steps,
            lr.decay_begin(new_steps)
        ));
    }
    longer.eval = stretched(&spec.eval, steps, new_steps);
    Ok(Extended { spec: longer, step })
}

fn amount(text: &str, of: u64) -> Result<u64, String> {
    let factor = text.strip_suffix('x').and_then(decimal);
    let tokens = match factor {
        Some(factor) => Some(rounded(factor * as_float(of))),
        None => counted(text),
    };
    tokens.filter(|tokens| 0 < *tokens).ok_or_else(|| {
        format!("expected a factor such as 2x or tokens such as 400k, found `{text}`")
    })
}

fn span(text: &str) -> Result<Span, String> {
    let steps = || counted(text.strip_suffix("steps")?.trim_end()).map(Span::Steps);
    let share = percent(text).filter(|share| *share <= 1.0).map(Span::Share);
    share.or_else(steps).ok_or_else(|| {
        format!("expected a decay such as 20% or `80 steps` of the longer run, found `{text}`")
    })
}

/// The same shares of a longer run.
fn stretched(eval: &Eval, steps: u64, new_steps: u64) -> Eval {
    let stretch = |at: &[u64]| {
        let share = as_float(new_steps) / as_float(steps);
        let mut at: Vec<u64> = at.iter().map(|step| rounded(as_float(*step) * share)).collect();
        at.dedup();
        at
    };
    let mut longer = eval.clone();
    longer.heldout_at = stretch(&eval.heldout_at);
    for task in longer.tasks.values_mut() {
        task.at = stretch(&task.at);
    }
    longer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::RunSpec;
    use crate::{expand, sweep};

    /// 80 steps of 256 tokens, the last 16 of them the decay.
    fn spec(lr: &str) -> TrainSpec {
        let file = format!(
            "assay: v1\nsweep: s\nbase:\n  model: {{preset: llama-300k}}\n  data: {{sources: {{a: {{path: a.jsonl}}}}}}\n  \
             train: {{tokens: 20480, context: 64, batch: 256, lr: {{{lr}}}}}\n"
        );
        let sweep = sweep::parse(&file).unwrap();
        let context =
            expand::Context { folder: "/".to_owned(), engine: crate::spec::Engine::CpuF32 };
        let run = expand::expand(&sweep, &context).unwrap().runs.pop().unwrap();
        let RunSpec::Train(spec) = run.spec else { panic!("the base trains") };
        spec
    }

    #[test]
    fn a_longer_run_has_a_longer_stable_phase_and_begins_before_the_decay() {
        let short = spec("peak: 1e-3, warmup: 2 steps");
        let same = extended(&short, "2x", None).unwrap();
        assert_eq!((same.step, same.spec.train.steps()), (64, 160));
        assert_eq!((same.spec.train.lr.decay_steps, same.spec.train.lr.warmup_steps), (16, 2));
        let mut back = same.spec.clone();
        (back.train, back.eval) = (short.train.clone(), short.eval.clone());
        assert_eq!(back, short, "nothing else changes");

        let scaled = extended(&short, "40960", Some("20%")).unwrap();
        assert_eq!(scaled.spec.train.lr.decay_steps, 32);
        assert_eq!(extended(&short, "2x", Some("8 steps")).unwrap().spec.train.lr.decay_steps, 8);
        assert_eq!(same.spec.eval.heldout_at.first(), Some(&0));
        assert_eq!(same.spec.eval.heldout_at.last(), Some(&160));
    }

    #[test]
    fn what_cannot_go_on_or_is_not_longer_is_refused() {
        let refusal =
            |lr: &str, tokens: &str, decay| extended(&spec(lr), tokens, decay).unwrap_err();
        let wsd = "peak: 1e-3, warmup: 2 steps";
        for (refusal, expected) in [
            (refusal("peak: 1e-3, schedule: cosine", "2x", None), "keeps no state"),
            (refusal("peak: 1e-3, warmup: 2 steps, decay: 0", "2x", None), "keeps no state"),
            (refusal(wsd, "1x", None), "is 80 steps, and the run has 80"),
            (refusal(wsd, "20k", None), "and the run has 80"),
            (refusal(wsd, "double", None), "found `double`"),
            (refusal(wsd, "0x", None), "found `0x`"),
            (refusal(wsd, "2x", Some("200%")), "found `200%`"),
            (refusal(wsd, "2x", Some("80%")), "would begin at step 32"),
        ] {
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}
