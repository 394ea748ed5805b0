//! One run, with every default written out: what is stored, hashed and sent to a worker.
//!
//! Nothing here has a serde default: a stored spec means the same for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What one attempt does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunSpec {
    /// Tokenize one source once.
    Prepare(PrepareSpec),
    /// Train and evaluate one model.
    Train(TrainSpec),
    /// Score weights that exist, and train nothing.
    Evaluate(EvaluateSpec),
}

impl RunSpec {
    /// What it computes with, if it computes.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        match self {
            Self::Train(spec) | Self::Evaluate(EvaluateSpec { of: spec, .. }) => {
                Some(spec.train.engine)
            }
            Self::Prepare(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSpec {
    /// How the weights were trained. Its `eval` names what they are scored on, at their last step.
    pub of: TrainSpec,
    /// Share of these weights in a linear mean with those that they were trained from, each parameter
    /// by itself: `(1 - merge) * base + merge * trained`. None: they are scored as they are.
    pub merge: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareSpec {
    /// The name that the sweep gives the source.
    pub source: String,
    pub tokenizer: Tokenizer,
    pub files: Source,
    pub heldout: Heldout,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    pub model: Model,
    pub tokenizer: Tokenizer,
    pub data: Data,
    pub train: Train,
    pub eval: Eval,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// From scratch, by name: see `assay_trainer`'s presets.
    Preset(String),
    /// A folder as Hugging Face writes it: `config.json` and safetensors.
    From(String),
    /// The final checkpoint of another run: the name of a `first` run of the same sweep.
    Run(String),
}

/// `bytes`: the 256 byte values, then end-of-document = 256. Vocabulary 257, padded by the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    pub heldout: Heldout,
    pub sources: BTreeMap<String, Source>,
    /// Share of each source in the training tokens; sums to 1. A source with share 0 is evaluated
    /// and not trained on.
    pub mixture: BTreeMap<String, f64>,
    /// Attention does not cross the border between two documents (2402.13991).
    pub document_masks: bool,
}

/// What is never trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heldout {
    /// Share of a source's documents, chosen by a seed-independent hash of the document or its
    /// group, 0..=0.5.
    pub share: f64,
    /// Tokens of the fixed subset that is scored, equal for all runs.
    pub tokens: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A `.jsonl` file (one object per line, the document under `field`) or a `.txt` file (documents
    /// separated by a blank line). Absolute.
    pub path: String,
    /// The JSONL field that holds the document.
    pub field: String,
    /// Documents that share this field's value are near-copies and stay on one side of the held-out
    /// line.
    pub group_by: Option<String>,
    /// Held-out loss is also reported per value of these fields.
    pub slices: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Tokens to train on.
    pub tokens: u64,
    /// Tokens of one sequence.
    pub context: u32,
    /// Tokens per optimizer step: a multiple of `context`.
    pub batch: u64,
    /// Sequences per forward pass; the gradients of `batch / context / micro_batch` passes are summed.
    pub micro_batch: u32,
    pub lr: Lr,
    pub adamw: AdamW,
    /// Gradients are scaled down to this global norm.
    pub clip: f64,
    /// Weight of the squared log-partition in the loss.
    pub z_loss: f64,
    pub engine: Engine,
    /// Threads or GPUs: the slots that the run takes.
    pub devices: u32,
    pub seed: u64,
}

/// The learning rate as a function of the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lr {
    pub peak: f64,
    pub schedule: Schedule,
    /// Linear from 0 to the peak.
    pub warmup_steps: u64,
    /// WSD and linear: the last steps, over which the rate falls to `floor`.
    pub decay_steps: u64,
    /// The last rate, as a share of the peak; of an inverse square root the rate that it approaches.
    pub floor: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Warmup, stable, then a decay by 1-sqrt (2405.18392).
    Wsd,
    Cosine,
    Linear,
    Constant,
    /// Warmup, then as one over the root of the step (1706.03762): it has no end to plan for.
    InverseSqrt,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// On matrices only; gains are left alone.
    pub weight_decay: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// candle-core with autograd, f32, on the CPU: the truth, and slow.
    Reference,
    /// A static plan on the CPU, f32.
    CpuF32,
    /// The same, with weights and activations rounded to bf16 on their way into products. The processor
    /// must have AVX512-BF16.
    CpuBf16,
    /// The same plan on one NVIDIA GPU: bf16, with exact f32 master weights.
    CudaBf16,
}

impl Engine {
    /// As a sweep file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::CpuF32 => "cpu-f32",
            Self::CpuBf16 => "cpu-bf16",
            Self::CudaBf16 => "cuda-bf16",
        }
    }
}

/// What is measured, and at which steps (a measurement at step s sees s updates). Not in the point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Ascending; starts with 0 and ends with the last step.
    pub heldout_at: Vec<u64>,
    pub tasks: BTreeMap<String, Task>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// A task file as lm-evaluation-harness writes it, with local data. Absolute.
    pub path: String,
    /// SHA-256 of the task file and of its data file, in hex, pinned at apply; empty until then.
    pub sha256: String,
    pub at: Vec<u64>,
}

impl Train {
    /// Optimizer steps: as many as it takes to see `tokens`.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.tokens.div_ceil(self.batch).max(1)
    }

    /// Sequences per optimizer step.
    #[must_use]
    pub fn sequences(&self) -> u64 {
        self.batch / u64::from(self.context)
    }
}
