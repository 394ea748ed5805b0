//! What `make.py` beside this wrote: batches, settings, and what `PyTorch` made of them. Included by path by the tests of
//! every engine.

use std::path::{Path, PathBuf};

use assay_api::spec::{AdamW, Lr, Schedule};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::Tensors;
use assay_trainer::engine::{Batch, Settings};
use assay_trainer::hugging_face::{self, Loaded};
use assay_trainer::safetensors;
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Golden {
    z_loss: f64,
    clip: f64,
    lr: Rate,
    adamw: AdamW,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Rate {
    peak: f64,
    floor: f64,
    warmup_steps: u64,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    inputs: Vec<Vec<u32>>,
    targets: Vec<Vec<i64>>,
    documents: Vec<Vec<u32>>,
    pub(crate) loss: f64,
    pub(crate) z: f64,
    pub(crate) grad_norm: f64,
}

impl Golden {
    /// 50 steps of a variant.
    pub(crate) fn read(variant: &str) -> Self {
        Self::at(&folder(variant).join("golden.json"))
    }

    /// 200 steps of the variant `stretched`.
    pub(crate) fn curve() -> Self {
        Self::at(&folder("stretched").join("curve.json"))
    }

    fn at(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("what make.py writes");
        serde_json::from_str(&text).expect("as make.py writes it")
    }

    pub(crate) fn settings(&self, threads: usize) -> Settings {
        Settings { adamw: self.adamw, clip: self.clip, z_loss: self.z_loss, threads }
    }

    pub(crate) fn lr(&self) -> Lr {
        Lr {
            peak: self.lr.peak,
            schedule: Schedule::Cosine,
            warmup_steps: self.lr.warmup_steps,
            decay_steps: 0,
            floor: self.lr.floor,
        }
    }
}

impl Step {
    pub(crate) fn batch(&self) -> Batch {
        let rows = self.inputs.iter().zip(&self.targets).zip(&self.documents);
        let sequences: Vec<Sequence> = rows
            .map(|((inputs, targets), documents)| Sequence {
                inputs: inputs.clone(),
                targets: targets.iter().map(|t| u32::try_from(*t).unwrap_or(IGNORED)).collect(),
                documents: documents.clone(),
                source: 0,
            })
            .collect();
        Batch::new(&sequences)
    }
}

/// The model before the first step, as transformers wrote it.
pub(crate) fn model(variant: &str) -> Loaded {
    hugging_face::load(&folder(variant)).expect("a model that transformers wrote")
}

/// Gradients of the first step within a share of the largest of their tensor.
pub(crate) fn assert_grads(variant: &str, found: &Tensors, tolerance: f32) {
    let expected = safetensors::read(&folder(variant).join("grads.safetensors")).expect("grads");
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, expected) in expected {
        let largest = expected.values.iter().fold(0.0_f32, |largest, grad| largest.max(grad.abs()));
        for (grad, expected) in found[&name].values.iter().zip(&expected.values) {
            let error = (grad - expected).abs() / largest;
            assert!(
                error < tolerance,
                "{variant}, {name}: {grad}, not {expected} (largest {largest})"
            );
        }
    }
}

fn folder(variant: &str) -> PathBuf {
    // of the crate whose test includes this; both lie two folders below the root
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(variant)
}
