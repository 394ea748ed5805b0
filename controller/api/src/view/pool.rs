//! Pools and loops as people see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    pub name: String,
    pub kind: PoolKind,
    /// Slots: GPUs, or CPU slots where there are none.
    pub capacity: u32,
    pub used: u32,
    pub health: PoolHealth,
    /// Why it is not `ok`.
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// Processes on the controller's machine.
    Local,
    /// Jobs in a namespace of a cluster.
    Kubernetes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolHealth {
    Ok,
    /// It does not answer: nothing is planned for it.
    Unknown,
}

/// The last activation of a loop.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LoopView {
    pub began_at: Option<DateTime<Utc>>,
    pub took_ms: u64,
    /// Steps committed and actions performed.
    pub steps: u32,
    pub actions: u32,
    /// Another controller leads.
    pub is_follower: bool,
    pub error: Option<String>,
}
