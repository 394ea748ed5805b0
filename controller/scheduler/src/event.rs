//! What can happen to a run, and which cause that gives the attempt it happens to.

use std::fmt;

use crate::{Attempt, Cause, Time};

/// `EX_TEMPFAIL`: how a worker exits that was asked to stop and saved a checkpoint.
const EXIT_PREEMPTED: i32 = 75;

/// Who may say what: the loop plans `Place`, `Reuse`, `Lost`, `Gone`, `NeedEnded`, `NeedRetried` and, for a
/// sweep that is paused with all that runs, `Preempt`; workers say `Start`, `Finish` and, by what
/// they resume from or leave, `CheckpointAccepted`; people (and rules in their name) say the rest.
/// Extending a lease is no event: the shell writes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It gets its slots. The attempt is created once this is committed.
    Place,
    /// Another run has its result, which is committed as its own with this.
    Reuse,
    /// The worker spoke for the first time: from now on silence counts.
    Start { attempt: Attempt, lease_ends: Time },
    /// There is a new checkpoint to go on from: the budgets are filled again.
    CheckpointAccepted { attempt: Attempt },
    /// The worker recorded how its attempt ended.
    Finish { attempt: Attempt, how: Finish },
    /// The attempt ended, or must be given up, without the worker's record.
    Lost { attempt: Attempt, how: Loss },
    /// The attempt is seen to be gone: its slots are free.
    Gone { attempt: Attempt },
    /// A person does not want the run.
    Cancel,
    /// A rule or a person has seen enough of it.
    StopEarly,
    /// Checkpoint and queue again, at no charge.
    Preempt,
    /// A person wants it after all, with new budgets.
    Retry,
    /// A person wants its result made anew; nothing that uses the old one is active.
    Renew,
    /// A run that it needs ended without success.
    NeedEnded,
    /// What it was cancelled for (by `NeedEnded`, never by a person) is tried again.
    NeedRetried,
}

/// How an attempt ended, as its worker recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Final evaluation and checkpoint manifest are recorded.
    Success,
    Diverged,
    Error(WorkerError),
    /// It saved a checkpoint on request and left.
    Preempted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerError {
    pub step: u64,
    /// A hash of the message, made by the shell.
    pub signature: u64,
    pub remedy: Remedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another try may help.
    Retry,
    /// Bad data or a bad spec: no other try can help.
    None,
}

/// How an attempt was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The pool shows its end; the worker recorded none.
    Ended(Exit),
    /// It had started, and the pool does not have it any more.
    Vanished,
    /// It had started, and the pool took its slots back and holds it.
    Suspended,
    /// Nothing was heard for a whole lease time. Extending a lease moves no version, so the shell
    /// looks at the lease again in the statement that commits this.
    LeaseExpired,
    /// It ran for a whole lease time and its worker never said so.
    NeverStarted,
    /// It could not begin for longer than its pool waits for such a thing.
    Stuck(Obstacle),
    /// Its node is lost: whether it still runs, nobody can tell.
    NodeLost,
}

/// What keeps an attempt from beginning and does not pass by waiting for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Its image cannot be pulled.
    Image,
    /// Something that its container asks for is missing: a secret, a volume.
    Config,
    /// No node could take it even if all of them were empty.
    Unschedulable,
    /// The pool does not admit it: a quota, a policy.
    Refused,
}

/// How the process of an attempt ended, as its pool shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// Killed, and not for memory.
    Signal(i32),
    OutOfMemory,
    /// Its node or somebody who cares for the node made it leave.
    Evicted,
    /// It gave way to something of higher priority.
    Preempted,
    /// It used up the time that its sweep allows one attempt.
    Deadline,
    /// It was removed, or nobody wrote it down.
    Unknown,
}

impl Event {
    /// The attempt this event speaks of, if it speaks of one.
    #[must_use]
    pub const fn attempt(self) -> Option<Attempt> {
        match self {
            Self::Start { attempt, .. }
            | Self::CheckpointAccepted { attempt }
            | Self::Finish { attempt, .. }
            | Self::Lost { attempt, .. }
            | Self::Gone { attempt } => Some(attempt),
            Self::Place
            | Self::Reuse
            | Self::Cancel
            | Self::StopEarly
            | Self::Preempt
            | Self::Retry
            | Self::Renew
            | Self::NeedEnded
            | Self::NeedRetried => None,
        }
    }

    /// What this event makes the attempt end with, if it makes it end.
    #[must_use]
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Finish { how, .. } => Some(how.cause()),
            Self::Lost { how, .. } => Some(how.cause()),
            Self::Preempt => Some(Cause::Preempted),
            Self::Cancel | Self::StopEarly | Self::NeedEnded => Some(Cause::Cancelled),
            Self::Place
            | Self::Reuse
            | Self::Start { .. }
            | Self::CheckpointAccepted { .. }
            | Self::Gone { .. }
            | Self::Retry
            | Self::Renew
            | Self::NeedRetried => None,
        }
    }

    /// One word, for the list of a run's events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Place => "placed",
            Self::Reuse => "reused",
            Self::Start { .. } => "started",
            Self::CheckpointAccepted { .. } => "checkpoint_accepted",
            Self::Finish { .. } => "finished",
            Self::Lost { .. } => "lost",
            Self::Gone { .. } => "gone",
            Self::Cancel => "cancelled",
            Self::StopEarly => "stopped_early",
            Self::Preempt => "preempted",
            Self::Retry => "retried",
            Self::Renew => "renewed",
            Self::NeedEnded => "need_ended",
            Self::NeedRetried => "need_retried",
        }
    }
}

impl Finish {
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::Success => Cause::Finished,
            Self::Diverged => Cause::Diverged,
            Self::Error(_) => Cause::Error,
            Self::Preempted => Cause::Preempted,
        }
    }
}

impl Loss {
    /// Ends the run, whatever is left of its budgets: another try would have as little time.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ended(Exit::Deadline))
    }

    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::Ended(exit) => exit.cause(),
            Self::Vanished
            | Self::LeaseExpired
            | Self::NeverStarted
            | Self::Stuck(_)
            | Self::NodeLost => Cause::Infrastructure,
            Self::Suspended => Cause::Preempted,
        }
    }
}

impl Exit {
    /// Whose fault an end without a record is. Memory is the run's own: it asked for too much.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::Code(EXIT_PREEMPTED) | Self::Preempted => Cause::Preempted,
            Self::Code(_) | Self::OutOfMemory | Self::Deadline => Cause::Error,
            Self::Signal(_) | Self::Evicted | Self::Unknown => Cause::Infrastructure,
        }
    }
}

/// What happened, in a sentence for the list of a run's events.
impl fmt::Display for Event {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place => to.write_str("the run was given its slots"),
            Self::Reuse => to.write_str("the run has the result of another run"),
            Self::Start { attempt, .. } => write!(to, "attempt {attempt} started"),
            Self::CheckpointAccepted { attempt } => {
                write!(to, "a checkpoint was accepted from attempt {attempt}")
            }
            Self::Finish { attempt, how } => write!(to, "attempt {attempt} {how}"),
            Self::Lost { attempt, how } => write!(to, "attempt {attempt} {how}"),
            Self::Gone { attempt } => write!(to, "attempt {attempt} is gone"),
            Self::Cancel => to.write_str("the run was cancelled"),
            Self::StopEarly => to.write_str("the run was stopped early"),
            Self::Preempt => to.write_str("the run was asked to checkpoint and make room"),
            Self::Retry => to.write_str("the run was queued again by a retry"),
            Self::Renew => to.write_str("the run was queued again to make its result anew"),
            Self::NeedEnded => to.write_str("a run that this one needs ended without success"),
            Self::NeedRetried => to.write_str("a run that this one needs is tried again"),
        }
    }
}

impl fmt::Display for Finish {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => to.write_str("succeeded"),
            Self::Diverged => to.write_str("diverged"),
            Self::Error(error) => write!(to, "failed at step {}", error.step),
            Self::Preempted => to.write_str("saved a checkpoint and made room"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(exit) => write!(to, "{exit}"),
            Self::Vanished => to.write_str("is no longer known to its pool"),
            Self::Suspended => to.write_str("was suspended by its pool"),
            Self::LeaseExpired => to.write_str("was silent for a whole lease time"),
            Self::NeverStarted => to.write_str("ran for a whole lease time without starting work"),
            Self::Stuck(obstacle) => write!(to, "could not begin: {obstacle}"),
            Self::NodeLost => to.write_str("was lost with its node"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Image => "its image could not be pulled",
            Self::Config => "something that its container asks for is missing",
            Self::Unschedulable => "no node could ever take it",
            Self::Refused => "its pool did not admit it",
        })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(EXIT_PREEMPTED) => to.write_str("made room and left"),
            Self::Code(0) => to.write_str("exited without recording a result"),
            Self::Code(code) => write!(to, "exited with status {code}"),
            Self::Signal(signal) => write!(to, "was killed by signal {signal}"),
            Self::OutOfMemory => to.write_str("was killed because it ran out of memory"),
            Self::Evicted => to.write_str("was evicted from its node"),
            Self::Preempted => to.write_str("gave way to something of higher priority"),
            Self::Deadline => to.write_str("ran into its deadline"),
            Self::Unknown => to.write_str("ended, and how is not known"),
        }
    }
}
