//! Projects: the scope of names, tokens and quotas.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Role;

/// `GET /api/v1/projects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    pub name: String,
    /// What whoever asks may do in it.
    pub role: Role,
    pub sweeps: u32,
    /// Runs that have not ended.
    pub open: u32,
    /// By pool. Of a pool that is not named, all.
    pub quotas: Vec<QuotaView>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// What a project may use of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaView {
    pub pool: String,
    /// Slots of active runs, at the most.
    pub slots: u32,
    /// What is taken now. It may be more, if it was begun before.
    pub used: u32,
}

/// `POST /api/v1/projects`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectRequest {
    /// 1 to 63 letters, digits, `-` and `_`; no other project has it.
    pub name: String,
}

/// `PUT /api/v1/projects/{project}/quotas/{pool}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaRequest {
    /// 0: nothing of it is placed there.
    #[schema(maximum = 1_000_000)]
    pub slots: u32,
}
