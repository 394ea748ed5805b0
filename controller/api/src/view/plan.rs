//! What apply would do, did, or refuses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/sweeps/plan` and `POST /api/v1/sweeps/apply`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The sweep file, as written.
    pub file: String,
    /// Absolute folder that its relative paths start from; none: the controller's own.
    pub folder: Option<String>,
    /// Cancel runs whose point is no longer in the file.
    #[serde(default)]
    pub prune: bool,
    /// Queue again what failed (or diverged), or what was cancelled.
    #[serde(default)]
    pub retry: Vec<super::run::Outcome>,
    /// Prepare the data again, and pin what has not been trained yet to what its files hold now.
    #[serde(default)]
    pub repin: bool,
}

/// What apply would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    pub sweep: String,
    /// Nothing of that name is stored yet.
    pub is_new: bool,
    pub points: Vec<PointChange>,
    pub added: u32,
    pub kept: u32,
    /// No longer in the file: left alone, or cancelled with `prune`.
    pub dropped: u32,
    pub retried: u32,
    /// Added runs that another sweep has trained, if their data is as it was when it was last prepared:
    /// with `reuse` they are not trained again.
    pub reused: u32,
    /// Of the added runs that are to be trained.
    pub tokens: u64,
    pub flops: f64,
    /// Wall-clock hours of the added train runs on all slots of the pool, by how runs or canaries of their
    /// shapes went there; none where one of them is not known.
    pub hours: Option<f64>,
    pub sources: Vec<SourceUse>,
    /// When it is done, and again and again, each time as a sweep of its own; none: once, now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<super::schedule::TimesView>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PointChange {
    /// Its number where it is stored already.
    pub number: Option<u32>,
    pub label: String,
    pub kind: super::run::RunKind,
    /// `added`, `kept`, `dropped`, `cancelled`, `retried`.
    pub change: String,
    pub is_baseline: bool,
}

/// How often the hungriest run sees a source.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourceUse {
    pub source: String,
    pub bytes: u64,
    /// Estimated from the file's size (about 1 token a byte for `bytes`).
    pub tokens: u64,
    /// Lowest and highest number of passes over it among the runs.
    pub epochs_min: f64,
    pub epochs_max: f64,
}

/// `POST /api/v1/sweeps/{name}/fork`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// Of the new sweep.
    pub name: String,
    /// A changed file; none: as the sweep was last applied. Whatever name it has, `name` counts.
    pub file: Option<String>,
    /// Absolute folder that the relative paths of a changed file start from; none: the controller's own.
    pub folder: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApplyAnswer {
    pub plan: PlanView,
    /// None: it is a schedule.
    pub sweep_id: Option<crate::ids::SweepId>,
}

/// One error in a sweep file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileError {
    /// From 1; 0: the file as a whole.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The text of the line.
    pub text: String,
    /// The dotted path of the key, for example `base.train.lr.peak`.
    pub path: String,
    /// What is wrong, what was expected, and the nearest known name.
    pub message: String,
}
