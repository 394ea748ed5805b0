//! What the training loop asks of an engine, in host memory only.
//!
//! The loop never sees a device: it hands over token ids and gets numbers back. An engine that runs
//! ahead of the host may return a step's [`Numbers`] one call late; [`Engine::settle`] returns what
//! is still owed.

use std::collections::BTreeMap;

use assay_api::spec::AdamW;

use crate::data::{IGNORED, Sequence};

/// Forward, backward and update of one model.
pub trait Engine {
    /// Forward and backward of one micro-batch; its gradients are added to those of the step.
    /// `weight` is what one target counts in the loss: 1 / targets of the whole step.
    fn accumulate(&mut self, batch: &Batch, weight: f64) -> anyhow::Result<()>;

    /// Clips the gradients, updates the parameters and forgets the gradients. A step whose loss or
    /// gradient norm is not finite changes nothing but is numbered.
    fn update(&mut self, update: Update) -> anyhow::Result<Option<Numbers>>;

    /// The numbers of a step that [`Engine::update`] has not returned yet.
    fn settle(&mut self) -> anyhow::Result<Option<Numbers>>;

    /// Log-likelihood of each target in nats, row by row; 0 where the target is ignored.
    fn log_likelihoods(&mut self, batch: &Batch) -> anyhow::Result<Vec<f32>>;

    /// Everything that the next step depends on.
    fn save(&self) -> anyhow::Result<State>;

    /// Takes over what [`Engine::save`] gave.
    fn load(&mut self, state: &State) -> anyhow::Result<()>;
}

/// What an engine is told once.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub adamw: AdamW,
    pub clip: f64,
    pub z_loss: f64,
    pub threads: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// The step that this update completes: the first is 1.
    pub step: u64,
    pub lr: f64,
}

/// One step, as measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    pub step: u64,
    /// Mean cross-entropy in nats per target, without the z-loss.
    pub loss: f64,
    /// Mean squared log-partition.
    pub z: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Norm of all parameters after the update, and of the update.
    pub param_norm: f64,
    pub update_norm: f64,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Applied,
    /// Loss or gradient norm was not finite.
    Skipped,
}

/// A tensor in host memory, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// By name, in the order of the names.
pub type Tensors = BTreeMap<String, HostTensor>;

#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Under Hugging Face's names.
    pub weights: Tensors,
    /// The engine's own.
    pub optimizer: Tensors,
}

/// Rows of equal length, each holding one or several documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub rows: usize,
    pub context: usize,
    pub inputs: Vec<u32>,
    /// [`IGNORED`] where nothing is scored.
    pub targets: Vec<u32>,
    /// Place of each token in its document.
    pub positions: Vec<u32>,
    /// Where in its row each token's document begins: it attends from there to itself.
    pub starts: Vec<u32>,
}

impl Batch {
    /// Shorter rows are padded on the right with tokens that nothing looks at.
    #[must_use]
    pub fn new(sequences: &[Sequence]) -> Batch {
        let context = sequences.iter().map(|sequence| sequence.inputs.len()).max().unwrap_or(0);
        let size = sequences.len() * context;
        let mut batch = Batch {
            rows: sequences.len(),
            context,
            inputs: Vec::with_capacity(size),
            targets: Vec::with_capacity(size),
            positions: Vec::with_capacity(size),
            starts: Vec::with_capacity(size),
        };
        for sequence in sequences {
            batch.push(sequence);
        }
        batch
    }

    /// Empty, and of no shape yet.
    pub(crate) fn with_room_for(tokens: usize) -> Batch {
        let list = || Vec::with_capacity(tokens);
        let (inputs, targets, positions, starts) = (list(), list(), list(), list());
        Batch { rows: 0, context: 0, inputs, targets, positions, starts }
    }

    /// Becomes another, within the room that there is.
    pub(crate) fn copy(&mut self, other: &Batch) {
        (self.rows, self.context) = (other.rows, other.context);
        self.inputs.clone_from(&other.inputs);
        self.targets.clone_from(&other.targets);
        self.positions.clone_from(&other.positions);
        self.starts.clone_from(&other.starts);
    }

    fn push(&mut self, sequence: &Sequence) {
        let length = sequence.inputs.len();
        assert!(
            sequence.targets.len() == length && sequence.documents.len() == length,
            "a sequence has as many targets and documents as inputs"
        );
        let mut start = 0;
        for at in 0..self.context {
            let is_border =
                0 < at && at < length && sequence.documents[at] != sequence.documents[at - 1];
            start = if is_border { at } else { start };
            self.inputs.push(sequence.inputs.get(at).copied().unwrap_or(0));
            self.targets.push(sequence.targets.get(at).copied().unwrap_or(IGNORED));
            self.positions.push(count(at - start));
            self.starts.push(count(start));
        }
    }

    /// Targets that are scored.
    #[must_use]
    pub fn scored(&self) -> usize {
        self.targets.iter().filter(|target| **target != IGNORED).count()
    }

    /// Consecutive rows in at most `parts` parts, as equal as they can be.
    #[must_use]
    pub fn split(&self, parts: usize) -> Vec<Batch> {
        let rows = self.rows.div_ceil(parts.clamp(1, self.rows.max(1)));
        let starts = (0..self.rows).step_by(rows.max(1));
        starts.map(|row| self.part(row, rows.min(self.rows - row))).collect()
    }

    pub(crate) fn part(&self, row: usize, rows: usize) -> Batch {
        let range = row * self.context..(row + rows) * self.context;
        Batch {
            rows,
            context: self.context,
            inputs: self.inputs[range.clone()].to_vec(),
            targets: self.targets[range.clone()].to_vec(),
            positions: self.positions[range.clone()].to_vec(),
            starts: self.starts[range].to_vec(),
        }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).expect("a context has fewer than 2^32 tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(documents: &[u32]) -> Sequence {
        let inputs: Vec<u32> = (10..).take(documents.len()).collect();
        let targets = inputs.iter().map(|input| input + 1).collect();
        Sequence { inputs, targets, documents: documents.to_vec(), source: 0 }
    }

    #[test]
    fn positions_begin_again_with_each_document() {
        let batch = Batch::new(&[sequence(&[0, 0, 1, 1, 1]), sequence(&[0, 1, 2])]);
        assert_eq!(batch.positions, [0, 1, 0, 1, 2, 0, 0, 0, 1, 2]);
        assert_eq!(batch.starts, [0, 0, 2, 2, 2, 0, 1, 2, 2, 2]);
        assert_eq!(batch.inputs, [10, 11, 12, 13, 14, 10, 11, 12, 0, 0]);
        assert_eq!(batch.targets[5..], [11, 12, 13, IGNORED, IGNORED]);
        assert_eq!(batch.scored(), 8);
    }

    #[test]
    fn parts_hold_every_row_once_and_in_order() {
        let rows: Vec<Sequence> = (0..5).map(|_| sequence(&[0, 0])).collect();
        let batch = Batch::new(&rows);
        for (parts, sizes) in [(1, vec![5]), (2, vec![3, 2]), (4, vec![2, 2, 1]), (9, vec![1; 5])] {
            let split = batch.split(parts);
            assert_eq!(split.iter().map(|part| part.rows).collect::<Vec<_>>(), sizes);
            let inputs: Vec<u32> = split.iter().flat_map(|part| part.inputs.clone()).collect();
            assert_eq!(inputs, batch.inputs);
        }
    }
}
