//! Runs as people see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::remark::{ExclusionView, NoteView};
use crate::ids::RunId;
use crate::spec::RunSpec;
use crate::worker::LogLevel;

/// One line of a sweep's table.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunRow {
    pub run_id: RunId,
    /// Its number in the sweep, from 1.
    pub number: u32,
    pub kind: RunKind,
    /// For people: the axis values (`lr 1e-3 · mix.commerce 0.5`), the name of a `first` run, or
    /// `prepare general`.
    pub label: String,
    pub state: RunState,
    /// Set when `state` is `done`; in `stopping`, what it will be, if that is decided.
    pub outcome: Option<Outcome>,
    /// Why it ended or stops, in a sentence.
    pub reason: Option<String>,
    /// Why it is still queued, or placed and not begun, in a sentence.
    pub waiting: Option<String>,
    /// The current or last attempt; 0 before the first.
    pub attempt: u32,
    /// Updates applied, of `steps`.
    pub step: u64,
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// `loading`, `training`, …: what the worker said last. None unless it runs.
    pub phase: Option<String>,
    /// The point: each axis's path with the value of this run. Empty for `first` and `prepare`.
    pub axes: BTreeMap<String, serde_json::Value>,
    /// The base as written.
    pub is_baseline: bool,
    /// The run of another sweep that trained it, as people say it: `lr-and-mix/17`. Its points and scores
    /// are shown here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<String>,
    /// The value at the end (so far) of each series that the table ranks by.
    pub latest: BTreeMap<String, f64>,
    /// Higher goes first in the queue.
    pub priority: i16,
    /// Kept, and left out of every comparison.
    pub excluded: Option<ExclusionView>,
    /// In the order of their steps; those of the run as a whole last.
    pub notes: Vec<NoteView>,
    /// In the order of the alphabet.
    pub tags: Vec<String>,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    Prepare,
    Train,
    /// Weights that exist are scored.
    Evaluate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Leased,
    Stopping,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Diverged,
    Failed,
    Cancelled,
    StoppedEarly,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    #[serde(flatten)]
    pub row: RunRow,
    pub sweep: String,
    pub spec: RunSpec,
    /// The hash of what trains it.
    pub point: String,
    pub needs: Vec<NeedView>,
    pub attempts: Vec<AttemptView>,
    pub checkpoints: Vec<CheckpointView>,
    pub evaluations: Vec<EvaluationView>,
    /// Every step of its life, oldest first.
    pub events: Vec<EventView>,
    /// Names of its series.
    pub series: Vec<String>,
    /// The run that it goes on from.
    pub extends: Option<ExtendsView>,
}

/// The run that another one goes on from, before its decay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExtendsView {
    pub number: u32,
    /// The step of its state.
    pub step: u64,
}

/// `POST /api/v1/runs/{run_id}/extend`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// Tokens in all: `2x` of what it trained on, or an amount such as `400k`.
    pub tokens: String,
    /// Of the longer run: `20%` or `80 steps`; none: as many steps as before.
    pub decay: Option<String>,
}

/// The new run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExtendAnswer {
    pub run_id: RunId,
    pub number: u32,
    pub label: String,
    /// Where it begins.
    pub step: u64,
}

/// A run that must succeed first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NeedView {
    pub number: u32,
    pub label: String,
    pub state: RunState,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    pub attempt: u32,
    pub pool: String,
    pub placed_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// `finished`, `diverged`, `error`, `infrastructure`, `preempted`, `cancelled`.
    pub cause: Option<String>,
    pub reason: Option<String>,
    /// Host and process, for people.
    pub place: Option<String>,
    /// The step of the checkpoint that it went on from.
    pub resumed_from: Option<u64>,
    /// The last lines that its process printed, where it ended without a record of its own.
    pub output: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    pub step: u64,
    pub attempt: u32,
    pub path: String,
    pub bytes: u64,
    pub saved_at: DateTime<Utc>,
    /// An attempt went on from it, or it is the result.
    pub is_accepted: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvaluationView {
    pub step: u64,
    pub task: String,
    pub metric: String,
    pub value: f64,
    pub stderr: Option<f64>,
    pub n: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    pub at: DateTime<Utc>,
    /// `queued`, `placed`, `started`, `finished`, …
    pub event: String,
    pub attempt: Option<u32>,
    pub state: RunState,
    /// A sentence.
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    pub rows: Vec<LogRow>,
    /// Ask with `after` = this for what follows.
    pub next: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogRow {
    pub log_id: i64,
    pub attempt: u32,
    pub at: DateTime<Utc>,
    pub level: LogLevel,
    pub text: String,
}
