//! Schedules: which files are applied again, when, and what became of it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sweep::Timetable;

/// One line of the list of schedules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// Its sweeps are called so, and by the date: `nightly@2026-11-22`.
    pub name: String,
    #[serde(flatten)]
    pub timetable: Timetable,
    pub is_paused: bool,
    /// The next time; none while it is paused, or if there is none any more.
    pub due_at: Option<DateTime<Utc>>,
    /// What became of the last time.
    pub last: Option<FiringView>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// A schedule with its file and its last hundred times, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDetails {
    #[serde(flatten)]
    pub schedule: ScheduleView,
    /// The file that is applied.
    pub file: String,
    /// The folder that its relative paths start from.
    pub folder: String,
    pub firings: Vec<FiringView>,
}

/// What became of one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FiringView {
    pub due_at: DateTime<Utc>,
    pub outcome: FiringOutcome,
    /// The sweep that was applied. It may have been deleted since.
    pub sweep: Option<String>,
    /// Why none was.
    pub reason: Option<String>,
    /// Times before this one that passed while no controller was there.
    pub missed: u32,
    /// When it was looked at.
    pub at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiringOutcome {
    Applied,
    /// The last sweep had not ended.
    Skipped,
    /// The file could not be applied; the schedule goes on.
    Refused,
}

impl FiringOutcome {
    /// One word, as the store and the API write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

/// When a file is applied, as far as it can be told: what a plan says of a file with a `schedule`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimesView {
    #[serde(flatten)]
    pub timetable: Timetable,
    /// The next three times.
    pub next: Vec<DateTime<Utc>>,
}
