//! What the training loop asks of an engine, in host memory only.
//!
//! The loop never sees a device: it hands over token ids and gets numbers back. An engine that runs
//! ahead of the host may return a step's [`Numbers`] one call late; [`Engine::settle`] returns what
//! is still owed.

use std::collections::BTreeMap;
use std::ops::Range;

use assay_api::spec::AdamW;

use crate::by_name::{ByName, collect};
use crate::data::{IGNORED, Sequence};

/// Forward, backward and update of one model.
pub trait Engine {
    /// Where it computes, and what it keeps there, for people.
    fn facts(&self) -> String;

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

    /// Under Hugging Face's names.
    fn weights(&self) -> Box<dyn ByName + '_>;

    /// With the weights everything that the next step depends on, under the engine's own names.
    fn optimizer(&self) -> Box<dyn ByName + '_>;

    /// Both, in memory.
    fn save(&self) -> anyhow::Result<State> {
        let (weights, optimizer) = (collect(&self.weights())?, collect(&self.optimizer())?);
        Ok(State { weights, optimizer })
    }

    /// Goes on from what [`Engine::weights`] and [`Engine::optimizer`] gave.
    fn load(&mut self, weights: &dyn ByName, optimizer: &dyn ByName) -> anyhow::Result<()>;
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

/// What an engine is given of one row: tokens, and what each of them looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub inputs: Vec<u32>,
    /// [`IGNORED`] where nothing is scored.
    pub targets: Vec<u32>,
    /// Place of each token in its document.
    pub positions: Vec<u32>,
    /// Where in the row each token's document, or branch, begins: it attends from there to itself.
    pub starts: Vec<u32>,
    /// The row's first tokens, which branches attend to as well.
    pub shared: u32,
}

impl Row {
    /// One or several documents, one after another.
    #[must_use]
    pub fn new(sequence: &Sequence) -> Row {
        let length = sequence.inputs.len();
        assert!(
            sequence.targets.len() == length && sequence.documents.len() == length,
            "a sequence has as many targets and documents as inputs"
        );
        let mut row = Row {
            inputs: sequence.inputs.clone(),
            targets: sequence.targets.clone(),
            ..Row::default()
        };
        let mut start = 0;
        for at in 0..length {
            let is_border = 0 < at && sequence.documents[at] != sequence.documents[at - 1];
            start = if is_border { at } else { start };
            row.positions.push(count(at - start));
            row.starts.push(count(start));
        }
        row
    }

    /// Several sequences that begin alike, each a single document: what they have in common, as far as
    /// nothing of it is scored, stands there once, and their ends follow as branches. Also returns
    /// where the targets of each sequence's end are.
    #[must_use]
    pub fn branched(sequences: &[Sequence]) -> (Row, Vec<Range<usize>>) {
        let Some((first, others)) = sequences.split_first() else {
            return (Row::default(), Vec::new());
        };
        let scored = |sequence: &Sequence| {
            let first = sequence.targets.iter().position(|target| *target != IGNORED);
            first.unwrap_or(sequence.targets.len())
        };
        let alike = |other: &Sequence| {
            let pairs = first.inputs.iter().zip(&other.inputs);
            pairs.take_while(|(one, other)| one == other).count()
        };
        let shared = others.iter().map(alike).chain(sequences.iter().map(scored)).min();
        let shared = if others.is_empty() { 0 } else { shared.unwrap_or(0) };
        let mut row = Row { shared: count(shared), ..Row::default() };
        row.inputs.extend(&first.inputs[..shared]);
        row.targets.resize(shared, IGNORED);
        row.positions.extend(0..count(shared));
        row.starts.resize(shared, 0);
        let mut ends = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let start = row.inputs.len();
            row.inputs.extend(&sequence.inputs[shared..]);
            row.targets.extend(&sequence.targets[shared..]);
            row.positions.extend(count(shared)..count(sequence.inputs.len()));
            row.starts.resize(row.inputs.len(), count(start));
            ends.push(start..row.inputs.len());
        }
        (row, ends)
    }
}

/// Rows of equal length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub rows: usize,
    pub context: usize,
    /// All rows', one after another, as the next three.
    pub inputs: Vec<u32>,
    pub targets: Vec<u32>,
    pub positions: Vec<u32>,
    pub starts: Vec<u32>,
    /// By row: see [`Row::shared`].
    pub shared: Vec<u32>,
}

impl Batch {
    #[must_use]
    pub fn new(sequences: &[Sequence]) -> Batch {
        Self::of_rows(&sequences.iter().map(Row::new).collect::<Vec<_>>())
    }

    /// Shorter rows are padded on the right with tokens that nothing looks at.
    #[must_use]
    pub fn of_rows(rows: &[Row]) -> Batch {
        let context = rows.iter().map(|row| row.inputs.len()).max().unwrap_or(0);
        let mut batch = Batch::with_room_for(rows.len(), context);
        (batch.rows, batch.context) = (rows.len(), context);
        for row in rows {
            let start = row.starts.last().copied().unwrap_or(0);
            batch.inputs.extend(&row.inputs);
            batch.targets.extend(&row.targets);
            batch.positions.extend(&row.positions);
            batch.starts.extend(&row.starts);
            for at in count(row.inputs.len())..count(context) {
                batch.inputs.push(0);
                batch.targets.push(IGNORED);
                batch.positions.push(at - start);
                batch.starts.push(start);
            }
            batch.shared.push(row.shared);
        }
        batch
    }

    /// What the token at a place of the whole batch attends to, as places of its row: first what
    /// branches share, then from its document's beginning to itself.
    #[must_use]
    pub fn seen(&self, token: usize) -> [Range<usize>; 2] {
        let (row, own) = (token / self.context, token % self.context);
        let start = self.starts[token] as usize;
        [0..start.min(self.shared[row] as usize), start..own + 1]
    }

    /// Empty, and of no shape yet.
    pub(crate) fn with_room_for(rows: usize, context: usize) -> Batch {
        let list = || Vec::with_capacity(rows * context);
        let (inputs, targets, positions, starts) = (list(), list(), list(), list());
        let shared = Vec::with_capacity(rows);
        Batch { rows: 0, context: 0, inputs, targets, positions, starts, shared }
    }

    /// Becomes another, within the room that there is.
    pub(crate) fn copy(&mut self, other: &Batch) {
        (self.rows, self.context) = (other.rows, other.context);
        self.inputs.clone_from(&other.inputs);
        self.targets.clone_from(&other.targets);
        self.positions.clone_from(&other.positions);
        self.starts.clone_from(&other.starts);
        self.shared.clone_from(&other.shared);
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
            shared: self.shared[row..row + rows].to_vec(),
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
    fn branches_share_what_they_have_in_common() {
        let branch = |inputs: &[u32], scored: usize| {
            let mut targets: Vec<u32> = inputs.iter().map(|input| input + 100).collect();
            targets[..scored].fill(IGNORED);
            let documents = vec![0; inputs.len()];
            Sequence { inputs: inputs.to_vec(), targets, documents, source: 0 }
        };
        // three in common, of which the last already predicts something
        let (row, ends) = Row::branched(&[branch(&[1, 2, 3, 4], 2), branch(&[1, 2, 3, 7, 8], 2)]);
        assert_eq!(row.shared, 2);
        assert_eq!(row.inputs, [1, 2, 3, 4, 3, 7, 8]);
        assert_eq!(row.targets, [IGNORED, IGNORED, 103, 104, 103, 107, 108]);
        assert_eq!(row.positions, [0, 1, 2, 3, 2, 3, 4]);
        assert_eq!(ends, [2..4, 4..7]);
        let batch = Batch::of_rows(&[row, Row::new(&sequence(&[0; 9]))]);
        let seen: Vec<_> = (0..9).map(|token| batch.seen(token)).collect();
        assert_eq!(seen[1], [0..0, 0..2]);
        assert_eq!(seen[3], [0..2, 2..4]);
        assert_eq!(seen[6], [0..2, 4..7]);
        assert_eq!(seen[8], [0..2, 4..9], "padding");
        assert_eq!(batch.seen(12), [0..0, 0..4]);
        // alone, or with nothing in common, each is a document
        for alone in [vec![branch(&[1, 2], 1)], vec![branch(&[1, 2], 1), branch(&[2, 2], 1)]] {
            assert_eq!(Row::branched(&alone).0.shared, 0);
        }
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
