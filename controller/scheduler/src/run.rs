//! The life of one run: `State`, and the only function that moves it.

use std::fmt;

use crate::{Cause, Event, Finish, PoolId, SweepId, Tries};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

/// Milliseconds since the epoch, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

/// Numbered from 1. Fences workers: whatever speaks for another attempt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// What was asked for, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// As people say it: `lr-and-mix/17`.
    pub name: String,
    pub sweep: SweepId,
    /// While it is active: where its attempt is.
    pub pool: PoolId,
    /// At least one.
    pub slots: u32,
    /// Higher goes first.
    pub priority: i16,
    /// Lower goes first within its sweep. The shell counts: what others need, the baseline, the
    /// corners, seed 1 of everything, the other seeds.
    pub order: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    pub spec: Spec,
    pub standing: Standing,
}

/// What a step may depend on, and all that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    pub tries: Tries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting. Holds no slots.
    Queued { next: Attempt, not_before: Time },
    /// The attempt is committed; it may or may not exist yet. The lease runs from its worker's
    /// start; before that there is none.
    Leased { attempt: Attempt, placed_at: Time, lease: Option<Time> },
    /// What comes after is decided; the attempt is on its way out and still holds its slots.
    Stopping { attempt: Attempt, since: Time, then: Then },
    /// Only what queues it again leaves this state, and goes on counting at `next`.
    Done { next: Attempt, outcome: Outcome },
}

/// What happens once the attempt is gone. The reason in words lies beside it in the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Requeue { cause: Cause },
    End { outcome: Outcome },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    Diverged,
    Failed,
    Cancelled,
    StoppedEarly,
}

/// Its text is what the API answers with 409.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is {state}: {}", refusal(*.event))]
pub struct IllegalStep {
    pub state: State,
    pub event: Event,
}

impl Run {
    /// See [`Standing::step`].
    ///
    /// # Errors
    /// The event is illegal in this state, or speaks for an attempt that is not the current one.
    pub fn step(&self, at: Time, event: Event) -> Result<Standing, IllegalStep> {
        self.standing.step(at, event)
    }
}

impl Standing {
    /// Where every run begins.
    pub const NEW: Self = Self {
        state: State::Queued { next: Attempt(1), not_before: Time::ALWAYS },
        tries: Tries { errors: 0, infrastructure: 0, last_error: None },
    };

    /// Every legal step has its line; all else is refused.
    ///
    /// # Errors
    /// The event is illegal in this state, or speaks for an attempt that is not the current one.
    pub fn step(self, at: Time, event: Event) -> Result<Self, IllegalStep> {
        use Outcome::{Cancelled, Diverged, Failed, StoppedEarly, Succeeded};
        use State::{Done, Leased, Queued, Stopping};
        use Then::{End, Requeue};

        let Self { state, tries } = self;
        let stale = event.attempt().is_some_and(|attempt| state.attempt() != Some(attempt));
        if stale {
            return Err(IllegalStep { state, event });
        }

        let to = |state| Self { state, tries };
        let anew = |next| Self { state: Queued { next, not_before: Time::ALWAYS }, ..Self::NEW };
        let end = |attempt, outcome| to(Stopping { attempt, since: at, then: End { outcome } });

        let next = match (state, event) {
            (Queued { next, .. }, Event::Place) => {
                to(Leased { attempt: next, placed_at: at, lease: None })
            }
            (Queued { next, .. }, Event::Reuse) => to(Done { next, outcome: Succeeded }),
            (Queued { next, .. }, Event::Cancel) => to(Done { next, outcome: Cancelled }),
            (Queued { next, .. }, Event::NeedEnded) => to(Done { next, outcome: Cancelled }),
            (Queued { next, .. }, Event::StopEarly) => to(Done { next, outcome: StoppedEarly }),

            (Leased { attempt, placed_at, lease: None }, Event::Start { lease_ends, .. }) => {
                to(Leased { attempt, placed_at, lease: Some(lease_ends) })
            }
            (Leased { attempt, .. }, Event::Finish { how, .. }) => {
                self.finished(at, attempt, None, how)
            }
            (Leased { attempt, .. }, Event::Lost { how, .. }) if how.is_final() => {
                end(attempt, Failed)
            }
            (Leased { attempt, .. }, Event::Lost { how, .. }) => {
                stopping(at, attempt, tries.charge(how.cause()))
            }
            (Leased { attempt, .. }, Event::Preempt) => {
                stopping(at, attempt, tries.charge(Cause::Preempted))
            }
            (Leased { attempt, .. }, Event::Cancel) => end(attempt, Cancelled),
            (Leased { attempt, .. }, Event::StopEarly) => end(attempt, StoppedEarly),
            (Leased { .. }, Event::CheckpointAccepted { .. }) => self.refilled(),

            (Stopping { attempt, then, .. }, Event::Finish { how, .. }) => {
                self.finished(at, attempt, Some(then), how)
            }
            (Stopping { .. }, Event::CheckpointAccepted { .. }) => self.refilled(),
            (Stopping { attempt, then: Requeue { .. }, .. }, Event::Lost { how, .. })
                if how.is_final() =>
            {
                end(attempt, Failed)
            }
            (Stopping { attempt, then: Requeue { .. }, .. }, Event::Cancel) => {
                end(attempt, Cancelled)
            }
            (Stopping { attempt, then: Requeue { .. }, .. }, Event::StopEarly) => {
                end(attempt, StoppedEarly)
            }
            (Stopping { attempt, then: Requeue { cause }, .. }, Event::Gone { .. }) => {
                to(Queued { next: attempt.next(), not_before: at.plus(tries.wait_ms(cause)) })
            }
            (Stopping { attempt, then: End { outcome }, .. }, Event::Gone { .. }) => {
                to(Done { next: attempt.next(), outcome })
            }

            (Done { next, outcome: Diverged | Failed }, Event::Retry) => anew(next),
            (Done { next, outcome: Cancelled | StoppedEarly }, Event::Retry) => anew(next),
            (Done { next, outcome: Cancelled }, Event::NeedRetried) => anew(next),
            (Done { next, outcome: Succeeded }, Event::Renew) => anew(next),

            _ => return Err(IllegalStep { state, event }),
        };
        Ok(next)
    }

    /// The worker's record, while nothing is decided yet (`then` is none) or after that. What it
    /// achieved counts against being queued again and against having no tries left, never against
    /// what a person decided.
    fn finished(self, at: Time, attempt: Attempt, then: Option<Then>, how: Finish) -> Self {
        use Cause::{Infrastructure, Preempted};
        use Outcome::{Diverged, Failed, Succeeded};
        use Then::{End, Requeue};

        let tries = self.tries;
        let end = |outcome| stopping(at, attempt, (tries, End { outcome }));
        match (then, how) {
            (None | Some(Requeue { .. } | End { outcome: Failed }), Finish::Success) => {
                end(Succeeded)
            }
            (None | Some(Requeue { .. } | End { outcome: Failed }), Finish::Diverged) => {
                end(Diverged)
            }
            (None | Some(Requeue { cause: Infrastructure | Preempted }), Finish::Error(error)) => {
                stopping(at, attempt, tries.charge_error(error))
            }
            (None, Finish::Preempted) => stopping(at, attempt, tries.charge(Preempted)),
            (
                Some(Requeue { .. } | End { .. }),
                Finish::Success | Finish::Diverged | Finish::Error(_) | Finish::Preempted,
            ) => self,
        }
    }

    fn refilled(self) -> Self {
        Self { state: self.state, tries: self.tries.refilled() }
    }
}

fn stopping(at: Time, attempt: Attempt, (tries, then): (Tries, Then)) -> Standing {
    Standing { state: State::Stopping { attempt, since: at, then }, tries }
}

impl State {
    /// The attempt that holds slots now, if one does.
    #[must_use]
    pub const fn attempt(self) -> Option<Attempt> {
        match self {
            Self::Leased { attempt, .. } | Self::Stopping { attempt, .. } => Some(attempt),
            Self::Queued { .. } | Self::Done { .. } => None,
        }
    }
}

impl Time {
    /// Before everything: a run that may be placed not before this may be placed at once.
    pub const ALWAYS: Self = Self(0);

    /// Milliseconds, or 0 if it was later.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        let passed = self.0.saturating_sub(earlier.0);
        if passed < 0 { 0 } else { passed.cast_unsigned() }
    }

    #[must_use]
    pub const fn plus(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(duration_ms))
    }
}

impl Attempt {
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Outcome {
    /// One word, as the store and the API write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::StoppedEarly => "stopped_early",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queued { .. } => to.write_str("queued"),
            Self::Leased { attempt, lease: None, .. } => {
                write!(to, "leased (attempt {attempt}, not started)")
            }
            Self::Leased { attempt, lease: Some(_), .. } => {
                write!(to, "leased (attempt {attempt})")
            }
            Self::Stopping { attempt, then: Then::Requeue { .. }, .. } => {
                write!(to, "stopping (attempt {attempt}, then queued again)")
            }
            Self::Stopping { attempt, then: Then::End { outcome }, .. } => {
                write!(to, "stopping (attempt {attempt}, then {outcome})")
            }
            Self::Done { outcome, .. } => write!(to, "done ({outcome})"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::StoppedEarly => "stopped early",
            Self::Succeeded | Self::Diverged | Self::Failed | Self::Cancelled => self.word(),
        })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.0)
    }
}

/// The second half of the sentence "the run is done (succeeded): it cannot be cancelled".
fn refusal(event: Event) -> String {
    match event {
        Event::Place => "it cannot be placed".to_owned(),
        Event::Reuse => "it cannot have the result of another run".to_owned(),
        Event::Start { attempt, .. } => format!("attempt {attempt} cannot start"),
        Event::CheckpointAccepted { attempt } => {
            format!("a checkpoint of attempt {attempt} cannot be accepted")
        }
        Event::Finish { attempt, .. } => format!("attempt {attempt} cannot finish"),
        Event::Lost { attempt, .. } => format!("attempt {attempt} cannot be lost"),
        Event::Gone { attempt } => format!("attempt {attempt} cannot give its slots back"),
        Event::Cancel => "it cannot be cancelled".to_owned(),
        Event::StopEarly => "it cannot be stopped early".to_owned(),
        Event::Preempt => "it cannot be asked to make room".to_owned(),
        Event::Retry => "it cannot be retried".to_owned(),
        Event::Renew => "its result cannot be made anew".to_owned(),
        Event::NeedEnded => "it cannot be cancelled for a run that it needs".to_owned(),
        Event::NeedRetried => "it cannot be queued again for a run that it needs".to_owned(),
    }
}
