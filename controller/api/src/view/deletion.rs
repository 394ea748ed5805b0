//! What deleting a sweep takes away.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/sweeps/{name}/deletion`, and the answer of `DELETE /api/v1/sweeps/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeletionView {
    pub sweep: String,
    pub runs: u32,
    /// Runs that have not ended: it is refused while there are any, unless they may be cancelled.
    pub open: u32,
    /// Runs of other sweeps that stand on runs of this one: it is refused while there are any.
    pub needed_by: Vec<String>,
    /// Metric points.
    pub points: u64,
    /// Folders of runs that have saved a checkpoint, and about what the kept ones take.
    pub checkpoints: u32,
    pub checkpoint_bytes: u64,
    /// Prepared data that no other sweep of the pool uses.
    pub datasets: u32,
    pub pool: String,
    /// Set: the controller does not reach the files, which stay, and this says where.
    pub files_stay: Option<String>,
    /// Folders in the pool's storage that belong to the sweep alone.
    pub folders: Vec<String>,
    /// Its rows are gone. False: it was only asked, or what is active is being cancelled first.
    pub is_deleted: bool,
}
