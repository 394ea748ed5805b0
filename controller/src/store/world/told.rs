//! What the loop is told of a run, and the sentences that people read of it.

use assay_api::worker::Pace;
use assay_scheduler::{Attempt, Event, Finish, Remedy, Time, WorkerError};
use sha2::{Digest, Sha256};

/// An event, and its reason for people where the event's own words do not say it all.
#[derive(Clone, Debug)]
pub struct Told {
    pub event: Event,
    pub reason: Option<String>,
    /// What the pool adds to it: where, how, and what to do.
    pub detail: Option<String>,
}

impl Told {
    #[must_use]
    pub fn plainly(event: Event) -> Self {
        Self { event, reason: None, detail: None }
    }

    /// The event in a sentence.
    pub(super) fn text(&self) -> String {
        let said = self.reason.clone().unwrap_or_else(|| self.event.to_string());
        match &self.detail {
            Some(detail) => format!("{said}: {detail}"),
            None => said,
        }
    }

    /// The lease's end lies with the attempt: only that there is one counts here.
    #[must_use]
    pub fn started(attempt: u32) -> Self {
        Self::plainly(Event::Start { attempt: Attempt(attempt), lease_ends: Time::ALWAYS })
    }

    #[must_use]
    pub fn checkpoint_accepted(attempt: u32, step: u64) -> Self {
        let event = Event::CheckpointAccepted { attempt: Attempt(attempt) };
        let reason = Some(format!("attempt {attempt} goes on from step {step}"));
        Self { reason, ..Self::plainly(event) }
    }

    #[must_use]
    pub fn succeeded(attempt: u32, step: u64) -> Self {
        let reason = (0 < step).then(|| format!("finished at step {step}"));
        Self { reason, ..finished(attempt, Finish::Success) }
    }

    #[must_use]
    pub fn diverged(attempt: u32, step: u64, reason: &str) -> Self {
        let reason = Some(format!("diverged at step {step}: {reason}"));
        Self { reason, ..finished(attempt, Finish::Diverged) }
    }

    #[must_use]
    pub fn failed(attempt: u32, (step, is_final): (u64, bool), message: String) -> Self {
        let remedy = if is_final { Remedy::None } else { Remedy::Retry };
        let error = WorkerError { step, signature: signature(&message), remedy };
        Self { reason: Some(message), ..finished(attempt, Finish::Error(error)) }
    }

    #[must_use]
    pub fn preempted(attempt: u32, step: u64, pace: Option<&Pace>) -> Self {
        let reason = Some(match pace {
            None => format!("saved a checkpoint at step {step} and made room"),
            Some(pace) => format!(
                "as the canary of its shape trained {step} steps at {:.0} tokens/s, scored everything and saved",
                pace.tokens_per_second
            ),
        });
        Self { reason, ..finished(attempt, Finish::Preempted) }
    }
}

/// Why an attempt ended, with what its pool adds unless that was said before.
pub(super) fn ended(reason: Option<&str>, detail: Option<&str>) -> String {
    match (reason, detail) {
        (Some(reason), Some(detail)) if !reason.contains(detail) => format!("{reason}; {detail}"),
        (Some(reason), _) => reason.to_owned(),
        (None, detail) => detail.unwrap_or_default().to_owned(),
    }
}

fn finished(attempt: u32, how: Finish) -> Told {
    Told::plainly(Event::Finish { attempt: Attempt(attempt), how })
}

/// The same message has the same signature, in every build.
pub(super) fn signature(message: &str) -> u64 {
    let hash = Sha256::digest(message.as_bytes());
    u64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}
