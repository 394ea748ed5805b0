//! Webhooks: who is told of what, and what they are told.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::run::{Outcome, RunKind};

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum WebhookEvent {
    /// All runs of a sweep have ended. Runs that are added later end it again.
    #[serde(rename = "sweep.finished")]
    SweepFinished,
    /// A limit of a sweep keeps it from going on. Not sent where a person paused it.
    #[serde(rename = "sweep.paused")]
    SweepPaused,
    #[serde(rename = "run.succeeded")]
    RunSucceeded,
    #[serde(rename = "run.diverged")]
    RunDiverged,
    #[serde(rename = "run.failed")]
    RunFailed,
    #[serde(rename = "run.cancelled")]
    RunCancelled,
    #[serde(rename = "run.stopped_early")]
    RunStoppedEarly,
    /// Somebody tests the webhook. It comes whatever the webhook waits for.
    #[serde(rename = "ping")]
    Ping,
}

impl WebhookEvent {
    pub const ALL: [Self; 8] = [
        Self::SweepFinished,
        Self::SweepPaused,
        Self::RunSucceeded,
        Self::RunDiverged,
        Self::RunFailed,
        Self::RunCancelled,
        Self::RunStoppedEarly,
        Self::Ping,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SweepFinished => "sweep.finished",
            Self::SweepPaused => "sweep.paused",
            Self::RunSucceeded => "run.succeeded",
            Self::RunDiverged => "run.diverged",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
            Self::RunStoppedEarly => "run.stopped_early",
            Self::Ping => "ping",
        }
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for WebhookEvent {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|event| event.word() == word);
        named.copied().ok_or_else(|| {
            let to_wait_for = Self::ALL.iter().filter(|event| **event != Self::Ping);
            let words: Vec<_> = to_wait_for.map(|event| event.word()).collect();
            format!("expected one of {}, found `{word}`", words.join(", "))
        })
    }
}

/// `POST /api/v1/webhooks`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// 1 to 63 letters, digits and `-_.@`; no other webhook has it.
    pub name: String,
    /// `http` or `https`, at most 2,000 characters, without a user name.
    pub url: String,
    /// At least one, and no `ping`.
    pub events: Vec<WebhookEvent>,
}

/// The path of a URL may be a secret.
impl fmt::Debug for WebhookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    pub name: String,
    /// Whole for admins. Others see where it leads (`https://example.com`): the path may be a secret.
    pub url: String,
    pub events: Vec<WebhookEvent>,
    /// While it is not, nothing new is written down for it, and what waits is not sent.
    pub is_enabled: bool,
    /// Deliveries that are to be sent, or sent again.
    pub waiting: u32,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// What deliveries are signed with.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    /// `whsec_` and 32 bytes in base64.
    pub secret: String,
    pub webhook: WebhookView,
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").field("name", &self.webhook.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// For its first try, or its next.
    Waiting,
    /// The receiver answered with 2xx.
    Delivered,
    /// Every try failed.
    GivenUp,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::GivenUp];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }
}

/// One message for one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryView {
    pub delivery_id: i64,
    /// What the receiver knows it by: `webhook-id`.
    pub message_id: Uuid,
    pub event: WebhookEvent,
    /// A sweep, or a run as `lr-and-mix/17`; for a ping, the webhook.
    pub about: String,
    pub state: DeliveryState,
    pub tries: u32,
    /// Of the answer to the last try, if there was one.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub tried_at: Option<DateTime<Utc>>,
    /// While it waits.
    pub next_at: Option<DateTime<Utc>>,
}

/// The newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryPage {
    pub rows: Vec<DeliveryView>,
    /// Asks for the rows before these; none: there are no others.
    pub before: Option<i64>,
}

/// The body of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookMessage {
    /// The same at each try, as `webhook-id`.
    pub id: Uuid,
    #[serde(rename = "type")]
    pub event: WebhookEvent,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    pub data: WebhookData,
}

/// What happened: the fields that the event has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookData {
    pub project: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<String>,
    /// Its number in the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RunKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why a run ended or a sweep does not go on, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last one; 0: it never had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Which of the sweep's limits paused it: `same_error` or `gpu_hours`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Of a sweep that has finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<OutcomeCounts>,
    /// Of its page in the web view.
    pub path: String,
}

/// Runs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeCounts {
    pub succeeded: u32,
    pub diverged: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub stopped_early: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_found_by_its_word_which_is_the_one_in_json() {
        for event in WebhookEvent::ALL {
            assert_eq!(event.word().parse(), Ok(event));
            assert_eq!(serde_json::to_value(event).unwrap(), event.word());
        }
        for state in DeliveryState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
        let unknown = "run.done".parse::<WebhookEvent>().unwrap_err();
        assert!(
            unknown.contains("run.failed") && unknown.contains("found `run.done`"),
            "{unknown}"
        );
    }
}
