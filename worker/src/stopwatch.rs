//! How long an attempt is at what it does: what a canary tells of its shape.

use std::time::{Duration, Instant};

use assay_api::worker::Pace;
use assay_trainer::Phase;

/// Time is an argument, as everywhere.
#[derive(Debug, Default)]
pub struct Stopwatch {
    now: Option<(Phase, Instant)>,
    /// Since the first step that was told: it warms up what the others find warm.
    training: Duration,
    tokens: Option<(u64, u64)>,
    /// The last time of each.
    heldout: Duration,
    tasks: Duration,
    checkpoint: Duration,
}

impl Stopwatch {
    pub fn enter(&mut self, phase: Phase, at: Instant) {
        self.close(at);
        self.now = Some((phase, at));
    }

    /// A step was taken, `tokens` after the beginning.
    pub fn stepped(&mut self, tokens: u64, at: Instant) {
        match &mut self.tokens {
            None => {
                self.tokens = Some((tokens, tokens));
                // what came before the first step's end is left out
                self.now = self.now.map(|(phase, _)| (phase, at));
                self.training = Duration::ZERO;
            }
            Some((_, last)) => *last = tokens,
        }
    }

    fn close(&mut self, at: Instant) {
        let Some((phase, since)) = self.now else { return };
        let took = at.duration_since(since);
        match phase {
            Phase::Training => self.training += took,
            Phase::Evaluating => self.heldout = took,
            Phase::Scoring => self.tasks = took,
            Phase::Saving => self.checkpoint = took,
            Phase::Loading => (),
        }
    }

    /// None: no two steps were taken.
    #[must_use]
    pub fn pace(&self, at: Instant) -> Option<Pace> {
        let mut ended = Self { ..*self };
        ended.close(at);
        let (first, last) = ended.tokens?;
        let seconds = ended.training.as_secs_f64();
        if last <= first || seconds <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a speed")]
        let tokens_per_second = (last - first) as f64 / seconds;
        Some(Pace {
            tokens_per_second,
            heldout_seconds: ended.heldout.as_secs_f64(),
            task_seconds: ended.tasks.as_secs_f64(),
            checkpoint_seconds: ended.checkpoint.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_the_steps_after_the_first() {
        let begin = crate::clock::instant();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut watch = Stopwatch::default();
        watch.enter(Phase::Loading, at(0));
        watch.enter(Phase::Evaluating, at(5));
        watch.enter(Phase::Training, at(25));
        watch.stepped(100, at(30));
        assert_eq!(watch.pace(at(31)), None);
        watch.enter(Phase::Evaluating, at(31));
        watch.enter(Phase::Training, at(40));
        watch.stepped(200, at(43));
        watch.stepped(300, at(45));
        watch.enter(Phase::Evaluating, at(45));
        watch.enter(Phase::Scoring, at(52));
        watch.enter(Phase::Saving, at(55));
        let pace = watch.pace(at(57)).unwrap();
        // a second after the first step, and five for the others: 200 tokens in 6 s
        assert!((pace.tokens_per_second - 200.0 / 6.0).abs() < 1e-9, "{pace:?}");
        let seconds = (pace.heldout_seconds, pace.task_seconds, pace.checkpoint_seconds);
        assert_eq!(seconds, (7.0, 3.0, 2.0));
    }
}
