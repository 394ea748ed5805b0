//! Sweeps as people see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::run::RunRow;
use super::series::SeriesPoints;
use crate::ids::SweepId;

/// One line of the list of sweeps.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SweepSummary {
    pub sweep_id: SweepId,
    pub project: String,
    pub name: String,
    pub state: SweepState,
    /// Why it is paused, where no person paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_because: Option<String>,
    /// Runs of a sweep of higher priority are placed first.
    #[serde(default)]
    #[schema(required = true)]
    pub priority: i16,
    #[serde(default)]
    #[schema(required = true)]
    pub gpu_hours: GpuHours,
    /// The first run of each shape, which goes ahead of the others; by shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<CanaryView>,
    pub counts: Counts,
    /// In the order of the alphabet.
    pub tags: Vec<String>,
    pub created_at: DateTime<Utc>,
    /// Last time anything in it changed.
    pub updated_at: DateTime<Utc>,
}

/// A run that goes ahead of the others of its shape: it trains a few steps, scores everything, saves,
/// and is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CanaryView {
    /// What decides whether a run fits and how fast it goes.
    pub shape: String,
    /// The run's number.
    pub run: u32,
    pub state: CanaryState,
    /// Of training, as it measured; none: it has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryState {
    Queued,
    Running,
    /// The others of its shape begin.
    Passed,
    /// The others wait until it is retried.
    Failed,
}

/// Hours that attempts held their slots for, from a worker's start until its attempt is gone: hours
/// of GPUs, or of processor slots where a pool has no GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GpuHours {
    pub used: f64,
    /// None: as many as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
}

/// Derived from the runs, except `paused` and `deleting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SweepState {
    /// Nothing runs yet.
    Queued,
    Running,
    /// Nothing new is placed.
    Paused,
    /// Its runs are being cancelled; once all have ended, it is deleted.
    Deleting,
    /// Every run has ended, and all as wished.
    Succeeded,
    /// Every run has ended, some without success.
    Ended,
}

/// Runs by state; `done` runs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    pub queued: u32,
    pub leased: u32,
    pub stopping: u32,
    pub succeeded: u32,
    pub diverged: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub stopped_early: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SweepView {
    #[serde(flatten)]
    pub summary: SweepSummary,
    /// The file as it was last applied.
    pub file: String,
    /// The folder that its relative paths start from.
    pub folder: String,
    pub axes: Vec<AxisView>,
    /// In the order of their numbers.
    pub runs: Vec<RunRow>,
    /// Names of every series that a run of this sweep has.
    pub series: Vec<String>,
    /// Where to begin the stream of changes that follow this view.
    pub cursor: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AxisView {
    /// The dotted path that it overrides, for example `train.lr.peak`.
    pub path: String,
    /// Its short name where it has one (`lr`), otherwise the path.
    pub label: String,
    /// As written in the file.
    pub values: Vec<serde_json::Value>,
}

/// What `GET /sweeps/{name}/stream` sends, one per server-sent event; its `id` is the cursor.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum StreamEvent {
    /// Rows that changed, whole. `sweep` carries the new counts.
    Runs { sweep: Box<SweepSummary>, runs: Vec<RunRow> },
    /// New points at the end of series.
    Points { series: Vec<SeriesPoints> },
    /// The cursor is too old, or history was rewritten by a resume: load everything again.
    Reset,
}

/// The body of every error.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong and how to mend it.
    pub error: String,
    /// `malformed`, `invalid`, `limit`, `too_large`, `busy`, `not_found`, `conflict`, `unauthorized`,
    /// `internal`.
    pub kind: String,
    /// For a bad sweep file: each error with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<super::plan::FileError>,
}
