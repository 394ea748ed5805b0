//! What a worker says, and what it is told: `POST /api/v1/worker/start | report | finish`.
//!
//! Every request carries `authorization: Bearer <secret of the attempt>` and the headers
//! `assay-run` and `assay-attempt`; a request for an attempt that is no longer current is answered
//! with 409, and the worker exits.

pub mod limits;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{InstanceId, RunId};
use crate::spec::RunSpec;

pub const HEADER_RUN: &str = "assay-run";
pub const HEADER_ATTEMPT: &str = "assay-attempt";

/// The environment of a worker process.
pub mod env {
    /// URL of the controller.
    pub const CONTROLLER: &str = "ASSAY_CONTROLLER";
    pub const RUN: &str = "ASSAY_RUN";
    pub const ATTEMPT: &str = "ASSAY_ATTEMPT";
    pub const SECRET: &str = "ASSAY_SECRET";
    /// Folder that all attempts of the pool share: datasets and checkpoints, see [`super::layout`].
    pub const STORAGE: &str = "ASSAY_STORAGE";
    /// Folder of this attempt alone: its spool and its output.
    pub const SCRATCH: &str = "ASSAY_SCRATCH";
    /// Where the worker is, for people, if its host's name does not say it.
    pub const HOST: &str = "ASSAY_HOST";
}

/// Where things lie in a pool's storage folder.
pub mod layout {
    use super::RunId;

    /// Folder of a prepared dataset, by the point of its `prepare` run.
    #[must_use]
    pub fn dataset(point: &str) -> String {
        format!("datasets/{point}")
    }

    /// Folder of a run's checkpoints.
    #[must_use]
    pub fn run(run: RunId) -> String {
        format!("runs/{run}")
    }

    /// Folder of one checkpoint: its path holds the attempt that wrote it.
    #[must_use]
    pub fn checkpoint(run: RunId, attempt: u32, step: u64) -> String {
        format!("runs/{run}/attempt-{attempt:03}/step-{step:08}")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    pub instance: InstanceId,
    /// Every complete checkpoint of this run that the worker finds, of any attempt.
    pub checkpoints: Vec<FoundCheckpoint>,
    /// Host name and process id, for people.
    pub host: String,
    pub pid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FoundCheckpoint {
    pub attempt: u32,
    pub step: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StartAnswer {
    pub spec: RunSpec,
    /// The run's own point: a `prepare` run writes its dataset to [`layout::dataset`] of it.
    pub point: String,
    /// For a train run: each source's dataset.
    pub datasets: BTreeMap<String, DatasetInput>,
    /// For a model `{run: …}`: the storage path of the checkpoint to begin from; for `{from: …}` its
    /// folder, which is absolute.
    pub base: Option<String>,
    /// For a model `{run: …}`: the key of the result to begin from.
    #[serde(default)]
    pub base_key: Option<String>,
    /// For a run that evaluates: the weights that it scores, in a linear mean.
    pub weights: Vec<Weights>,
    /// For a run that extends another: where it begins, as long as nothing is resumed.
    pub extends: Option<Earlier>,
    /// Go on from here; none: from the beginning.
    pub resume: Option<FoundCheckpoint>,
    /// Others of its shape wait for it: after [`CANARY_STEPS`] it scores everything, saves and makes
    /// room, to go on from there.
    #[serde(default)]
    pub is_canary: bool,
    pub lease: Lease,
}

/// Weights, and their share in what is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weights {
    /// Of a checkpoint, relative to the storage folder; or of a folder, absolute.
    pub path: String,
    /// Above 0; they sum to 1.
    pub share: f64,
}

/// The state of a shorter run before its decay, and how its spec differs from the longer one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Earlier {
    /// Of the checkpoint, relative to the storage folder.
    pub path: String,
    pub tokens: u64,
    pub decay_steps: u64,
}

/// A prepared dataset and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetInput {
    /// Relative to the storage folder.
    pub path: String,
    /// The sweep's pin: other data is refused.
    pub fingerprint: String,
}

/// How long silence is borne. The worker reports at least three times a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    pub lease_ms: u64,
}

/// Reports in the order of their `seq`, as many as are at hand; none is a sign of life.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest {
    pub instance: InstanceId,
    /// Set when a resumed worker sends what its checkpoint carried: the lower attempt these reports
    /// belong to. They count up to the resumed step.
    pub carried: Option<u32>,
    pub reports: Vec<Report>,
}

/// One message, numbered from 1 per attempt. Sent twice means stored once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub seq: u64,
    pub progress: Option<Progress>,
    pub metrics: Vec<MetricBatch>,
    pub logs: Vec<LogLine>,
    pub checkpoints: Vec<CheckpointSaved>,
    pub evaluations: Vec<Evaluation>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Updates applied (documents read, for a `prepare` run).
    pub step: u64,
    /// Of so many; 0: not known.
    pub steps: u64,
    pub tokens: u64,
    /// What it does, in a word or two: `loading`, `training`, `evaluating`, `saving`.
    pub phase: String,
}

/// Points of one series. The three lists are equally long; steps ascend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricBatch {
    /// For example `train/loss`, `heldout/general/bits_per_byte`, `task/aspects/acc`.
    pub name: String,
    pub steps: Vec<u64>,
    /// NaN and infinities travel as the strings `NaN`, `Infinity` and `-Infinity`.
    #[serde(with = "crate::worker::numbers")]
    #[schema(value_type = Vec<numbers::Number>)]
    pub values: Vec<f64>,
    /// Milliseconds since the epoch.
    pub times: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub level: LogLevel,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Info,
    Warn,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSaved {
    pub step: u64,
    /// Relative to the storage folder.
    pub path: String,
    pub bytes: u64,
}

/// One score of one task at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    pub step: u64,
    /// Name of the task, or `heldout/<source>`.
    pub task: String,
    /// `acc`, `acc_norm`, `bits_per_byte`, `loss`, …
    pub metric: String,
    pub value: f64,
    /// Standard error of the value; none where it has none.
    pub stderr: Option<f64>,
    /// Items (documents or questions).
    pub n: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReportAnswer {
    /// Highest `seq` stored: everything up to it is committed.
    pub seq_stored: u64,
    pub lease: Lease,
    pub wish: Wish,
}

/// What the controller wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    Continue,
    CheckpointAndStop,
    Stop,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    pub instance: InstanceId,
    pub finish: Finish,
}

/// How an attempt ended, as the worker records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum Finish {
    Succeeded {
        step: u64,
        /// Storage path of the final checkpoint (train) or of the dataset (prepare).
        path: String,
        /// What the result depends on: the dataset's fingerprint (prepare), or the key of what was
        /// trained ([`crate::result_key`]).
        fingerprint: String,
        /// Tokens trained on, or tokens prepared.
        tokens: u64,
    },
    /// The loss left the finite numbers and did not come back. A result, not an error.
    Diverged { step: u64, reason: String },
    Error {
        step: u64,
        message: String,
        /// Bad data or a bad spec: another try cannot help.
        is_final: bool,
    },
    /// A checkpoint was saved on request; go on from it.
    Preempted {
        step: u64,
        /// What a canary measured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pace: Option<Pace>,
    },
}

/// Steps that a canary takes before it proves that it can be resumed.
pub const CANARY_STEPS: u64 = 3;

/// How fast a shape of runs goes: what an estimate is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Of training alone, on all slots of the run.
    pub tokens_per_second: f64,
    /// Seconds of scoring every held-out part once.
    pub heldout_seconds: f64,
    /// Seconds of scoring every task once.
    pub task_seconds: f64,
    /// Seconds of writing one checkpoint.
    pub checkpoint_seconds: f64,
}

/// Exit status of a worker that was asked to stop and saved a checkpoint (`EX_TEMPFAIL`).
pub const EXIT_PREEMPTED: i32 = 75;

/// JSON has no NaN and no infinities: these travel as words.
pub mod numbers {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use utoipa::ToSchema;

    /// A number as JSON has it, or a word for one that it has not.
    #[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
    #[serde(untagged, expecting = "expected a number, `NaN`, `Infinity` or `-Infinity`")]
    pub enum Number {
        Finite(f64),
        Word(NonFinite),
    }

    #[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
    pub enum NonFinite {
        NaN,
        Infinity,
        #[serde(rename = "-Infinity")]
        MinusInfinity,
    }

    impl From<f64> for Number {
        fn from(value: f64) -> Self {
            match value {
                _ if value.is_finite() => Self::Finite(value),
                _ if value.is_nan() => Self::Word(NonFinite::NaN),
                _ if value < 0.0 => Self::Word(NonFinite::MinusInfinity),
                _ => Self::Word(NonFinite::Infinity),
            }
        }
    }

    impl From<Number> for f64 {
        fn from(number: Number) -> Self {
            match number {
                Number::Finite(value) => value,
                Number::Word(NonFinite::NaN) => Self::NAN,
                Number::Word(NonFinite::Infinity) => Self::INFINITY,
                Number::Word(NonFinite::MinusInfinity) => Self::NEG_INFINITY,
            }
        }
    }

    pub fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|value| Number::from(*value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Number>::deserialize(from)?.into_iter().map(f64::from).collect())
    }
}
