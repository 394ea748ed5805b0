//! How often an attempt is made again, and how soon: one table, by the cause it ended with.

use std::fmt;

use crate::run::Then;
use crate::{Obstacle, Outcome, Remedy, WorkerError};

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
/// The longest wait before another try. What lies further ahead was written down before the database's
/// clock was set back, and is over.
pub(crate) const WAIT_MAX_MS: u64 = 5 * MINUTE_MS;

/// Why an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Finished,
    /// A result, not an error: another try would diverge too.
    Diverged,
    /// The run's own fault, as far as anybody can tell.
    Error,
    /// The fault of whatever it ran on.
    Infrastructure,
    /// Asked to make room. Nobody's fault.
    Preempted,
    Cancelled,
}

/// What follows from a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub retries: Retries,
    pub back_off: BackOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retries {
    Never,
    /// So many since the last accepted checkpoint.
    UpTo(u32),
    Always,
}

/// Doubles with every try, from the first wait up to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub first_ms: u64,
    pub longest_ms: u64,
}

impl Cause {
    /// The table.
    #[must_use]
    pub const fn policy(self) -> Policy {
        const AT_ONCE: BackOff = BackOff { first_ms: 0, longest_ms: 0 };
        let (retries, back_off) = match self {
            Self::Finished | Self::Diverged | Self::Cancelled => (Retries::Never, AT_ONCE),
            Self::Error => (Retries::UpTo(2), BackOff::between(10 * SECOND_MS, WAIT_MAX_MS)),
            Self::Infrastructure => {
                (Retries::UpTo(5), BackOff::between(5 * SECOND_MS, WAIT_MAX_MS))
            }
            Self::Preempted => (Retries::Always, AT_ONCE),
        };
        Policy { retries, back_off }
    }

    /// One word, as the store and the API write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Error => "error",
            Self::Infrastructure => "infrastructure",
            Self::Preempted => "preempted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.word())
    }
}

impl BackOff {
    const fn between(first_ms: u64, longest_ms: u64) -> Self {
        Self { first_ms, longest_ms }
    }

    /// The wait before the next try, when `used` tries of the budget are gone.
    #[must_use]
    pub fn wait_ms(self, used: u32) -> u64 {
        let doublings = used.saturating_sub(1);
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.first_ms.saturating_mul(factor).min(self.longest_ms)
    }
}

/// How long an attempt may be kept from beginning by what does not pass by waiting for room. Being
/// behind others for a slot is never counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Registries fail for minutes, and come back.
    pub image_ms: u64,
    /// A secret or a volume may be made a moment later.
    pub config_ms: u64,
    /// An autoscaler needs minutes to bring the node that is missing.
    pub unschedulable_ms: u64,
    /// A quota may become free again.
    pub refused_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            image_ms: 5 * MINUTE_MS,
            config_ms: 2 * MINUTE_MS,
            unschedulable_ms: 10 * MINUTE_MS,
            refused_ms: 10 * MINUTE_MS,
        }
    }
}

impl Patience {
    #[must_use]
    pub const fn ms(self, obstacle: Obstacle) -> u64 {
        match obstacle {
            Obstacle::Image => self.image_ms,
            Obstacle::Config => self.config_ms,
            Obstacle::Unschedulable => self.unschedulable_ms,
            Obstacle::Refused => self.refused_ms,
        }
    }
}

/// What is used of a run's budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Since the last accepted checkpoint.
    pub errors: u32,
    /// Since the last accepted checkpoint.
    pub infrastructure: u32,
    /// The last error that a worker recorded. Survives checkpoints: going on from the same
    /// checkpoint into the same error is what it is there to find.
    pub last_error: Option<ErrorSeen>,
}

/// Two of these being equal means the same error at the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorSeen {
    pub step: u64,
    /// A hash of the message, made by the shell.
    pub signature: u64,
}

impl Tries {
    /// A checkpoint was accepted: there was progress, so trouble is counted anew.
    #[must_use]
    pub fn refilled(self) -> Self {
        Self { errors: 0, infrastructure: 0, last_error: self.last_error }
    }

    /// Takes one try out of the cause's budget, and says what happens when the attempt is gone.
    #[must_use]
    pub(crate) fn charge(self, cause: Cause) -> (Self, Then) {
        let mut tries = self;
        match cause {
            Cause::Error => tries.errors += 1,
            Cause::Infrastructure => tries.infrastructure += 1,
            Cause::Preempted | Cause::Finished | Cause::Diverged | Cause::Cancelled => (),
        }
        let again = match cause.policy().retries {
            Retries::Never => false,
            Retries::UpTo(retries) => tries.used(cause) <= retries,
            Retries::Always => true,
        };
        let failed = Then::End { outcome: Outcome::Failed };
        (tries, if again { Then::Requeue { cause } } else { failed })
    }

    /// The same for an error that the worker recorded: bad data and bad specs are final at once,
    /// and so is the same error at the same step a second time.
    #[must_use]
    pub(crate) fn charge_error(self, error: WorkerError) -> (Self, Then) {
        let seen = ErrorSeen { step: error.step, signature: error.signature };
        let (mut tries, then) = self.charge(Cause::Error);
        tries.last_error = Some(seen);
        let is_final = match error.remedy {
            Remedy::None => true,
            Remedy::Retry => self.last_error == Some(seen),
        };
        (tries, if is_final { Then::End { outcome: Outcome::Failed } } else { then })
    }

    /// How long to wait before the next try after this cause.
    #[must_use]
    pub fn wait_ms(self, cause: Cause) -> u64 {
        cause.policy().back_off.wait_ms(self.used(cause))
    }

    fn used(self, cause: Cause) -> u32 {
        match cause {
            Cause::Error => self.errors,
            Cause::Infrastructure => self.infrastructure,
            Cause::Preempted | Cause::Finished | Cause::Diverged | Cause::Cancelled => 0,
        }
    }
}
