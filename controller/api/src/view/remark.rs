//! What people say about runs and sweeps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run that is kept and left out of every comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExclusionView {
    pub because: String,
    /// As whoever asked called themselves.
    pub author: Option<String>,
    pub at: DateTime<Utc>,
}

/// `POST /api/v1/runs/{run_id}/exclude`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExcludeRequest {
    /// 1 to 1,000 characters: it stands under every table that lacks the run.
    pub because: String,
    pub author: Option<String>,
}

/// A remark pinned to a step of a run, or to the run as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteView {
    pub note_id: i64,
    pub step: Option<u64>,
    pub text: String,
    /// As whoever wrote it called themselves.
    pub author: Option<String>,
    pub at: DateTime<Utc>,
}

/// `POST /api/v1/runs/{run_id}/notes`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteRequest {
    pub step: Option<u64>,
    /// 1 to 2,000 characters.
    pub text: String,
    pub author: Option<String>,
}

/// `POST /api/v1/runs/{run_id}/priority` and `POST /api/v1/sweeps/{name}/priority`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriorityRequest {
    /// Higher goes first; runs begin with 0.
    #[schema(minimum = -100, maximum = 100)]
    pub priority: i16,
}
