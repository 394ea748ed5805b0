//! What the loop is given, what it tells the world, and how it ends.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use assay_api::worker::Wish;

use crate::by_name::ByName;
use crate::checkpoint::CheckpointError;
use crate::data::{DataError, Dataset};
use crate::engine::{Engine, Settings, Verdict};
use crate::hugging_face::ModelError;
use crate::model::Config;
use crate::planned::{Shape, TooLarge};
use crate::task::TaskError;

/// Everything that a run reads and writes, found and opened by the caller.
#[derive(Debug)]
pub struct Inputs {
    /// Each source's prepared data.
    pub datasets: BTreeMap<String, Dataset>,
    /// For a model that is not a preset: a checkpoint, or a folder as Hugging Face writes it.
    pub base: Option<PathBuf>,
    /// Holds `attempt-NNN/step-NNNNNNNN`.
    pub run_folder: PathBuf,
    pub attempt: u32,
    /// The shorter run that this one extends: where it begins, as long as nothing is resumed.
    pub extends: Option<Shorter>,
    /// The complete checkpoint to go on from.
    pub resume: Option<PathBuf>,
    /// After [`CANARY_STEPS`](assay_api::worker::CANARY_STEPS) it scores everything without telling the
    /// scores, saves and makes room.
    pub is_canary: bool,
    pub threads: usize,
    /// Bytes that an engine on the CPU may take for itself; without a limit it keeps everything it can use.
    pub memory: Option<usize>,
    /// Who opens engines on GPUs.
    pub gpu: Option<Box<dyn Gpu>>,
}

/// What this crate knows of GPUs: somebody else has an engine for them.
pub trait Gpu: Debug {
    /// An engine around a model, for batches of such a shape.
    ///
    /// # Errors
    /// There is no GPU that it can use ([`TrainError::Gpu`]), or the one that is there fails.
    fn open(
        &self,
        config: &Config,
        settings: Settings,
        shape: &Shape,
        weights: &dyn ByName,
    ) -> Result<Box<dyn Engine>, TrainError>;
}

/// The state of a run before its decay, and how its spec differs from that of the longer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shorter {
    pub checkpoint: PathBuf,
    pub tokens: u64,
    pub decay_steps: u64,
}

/// The world, as far as the loop knows it. Nothing here may wait for a network.
pub trait Watcher {
    fn phase(&mut self, phase: Phase);
    /// The engine is there: its [facts](Engine::facts).
    fn opened(&mut self, facts: &str);
    fn stepped(&mut self, stepped: &Stepped);
    fn measured(&mut self, step: u64, measurements: &[Measurement]);
    /// Bytes to be laid into a checkpoint that is about to be written.
    fn carried(&mut self) -> anyhow::Result<Vec<u8>>;
    fn saved(&mut self, saved: &Saved);
    /// Asked before each step, and between the parts of an evaluation.
    fn wish(&mut self) -> Wish;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Loading,
    Training,
    Evaluating,
    /// Answering tasks, where that is timed by itself.
    Scoring,
    Saving,
}

impl Phase {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Training => "training",
            Self::Evaluating => "evaluating",
            Self::Scoring => "scoring",
            Self::Saving => "saving",
        }
    }
}

/// One step, after its update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stepped {
    /// Steps taken so far.
    pub step: u64,
    /// Tokens seen so far.
    pub tokens: u64,
    /// Mean cross-entropy in nats per target.
    pub loss: f64,
    /// Mean squared log-partition.
    pub z: f64,
    /// Before clipping.
    pub grad_norm: f64,
    pub param_norm: f64,
    pub update_norm: f64,
    pub lr: f64,
    pub verdict: Verdict,
    /// Steps skipped so far.
    pub skipped: u64,
}

/// One score.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// A task's name, `heldout/<source>` or `heldout/<source>/<field>=<value>`.
    pub task: String,
    pub metric: &'static str,
    pub value: f64,
    /// None where there is a single item.
    pub stderr: Option<f64>,
    /// Documents or questions.
    pub n: u64,
}

/// A checkpoint that is complete on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub step: u64,
    pub folder: PathBuf,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finished {
        step: u64,
        checkpoint: PathBuf,
        tokens: u64,
    },
    /// Loss or gradients left the finite numbers and did not come back.
    Diverged {
        step: u64,
        reason: String,
    },
    /// Asked to stop; the checkpoint lets another attempt go on from here.
    Preempted {
        step: u64,
        checkpoint: PathBuf,
    },
    /// Asked to stop at once.
    Stopped {
        step: u64,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the spec cannot be trained: {0}")]
    Spec(String),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("task `{name}`")]
    Task { name: String, source: TaskError },
    #[error("task `{name}`: its files are not those that were pinned: {found}, not {expected}")]
    TaskChanged { name: String, found: String, expected: String },
    #[error("the model to begin from")]
    Base(#[source] ModelError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the checkpoint in {} cannot be resumed: {problem}", folder.display())]
    Resume { folder: PathBuf, problem: String },
    #[error("the checkpoint in {} was trained on other data than the run is pinned to", folder.display())]
    OtherData { folder: PathBuf },
    #[error("the model does not fit into the memory there is")]
    TooLarge(#[from] TooLarge),
    #[error("no GPU that the engine `cuda-bf16` can use")]
    Gpu(#[source] anyhow::Error),
    #[error("the engine failed")]
    Engine(#[source] anyhow::Error),
    #[error("cannot carry reports into a checkpoint")]
    Carried(#[source] anyhow::Error),
}

impl TrainError {
    /// Another try with the same spec and files ends the same way.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Spec(_) | Self::TaskChanged { .. } | Self::TooLarge(_) | Self::Gpu(_) => true,
            Self::Data(error) => error.is_final(),
            Self::Task { source, .. } => source.is_final(),
            Self::Base(ModelError::Config { .. } | ModelError::Unfit { .. }) => true,
            Self::Base(ModelError::Read { .. } | ModelError::Weights(_))
            | Self::Checkpoint(_)
            | Self::Resume { .. }
            | Self::OtherData { .. }
            | Self::Engine(_)
            | Self::Carried(_) => false,
        }
    }
    /// The checkpoint that nobody can go on from, now or later.
    #[must_use]
    pub fn unusable(&self) -> Option<&Path> {
        if let Self::Checkpoint(CheckpointError::Damaged { folder, .. })
        | Self::OtherData { folder } = self
        {
            return Some(folder);
        }
        None
    }
}
