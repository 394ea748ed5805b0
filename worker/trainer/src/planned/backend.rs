//! What a device must be able to do, and no more.
//!
//! A backend owns one arena, sized when it is made. Operations name stretches of it ([`Region`]);
//! the plan guarantees that those of one operation do not overlap unless its text says so. No
//! operation allocates. Matrices are row-major, and a weight is (outputs, inputs) as in Hugging
//! Face's files. n stands for the tokens of the micro-batch that was last [loaded](Backend::load).
//!
//! Element types are the backend's: what [`Formats`](super::Formats) says of weights, gradients, moments and
//! activations.
//! Norms' statistics, log-partitions and tables are f32 everywhere.

use std::ops::Range;

use super::arena::Region;
use super::plan::{Needs, Shape};
use crate::engine::Batch;
use crate::model::Config;

/// A stretch of the arena as a row-major matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    pub region: Region,
    pub rows: usize,
    pub columns: usize,
}

impl Matrix {
    /// Some of its rows.
    #[must_use]
    pub fn some_rows(self, rows: &Range<usize>) -> Self {
        let region = self.region.part(rows.start * self.columns, rows.len() * self.columns);
        Self { region, rows: rows.len(), ..self }
    }

    /// Its first rows.
    #[must_use]
    pub fn top(self, rows: usize) -> Self {
        self.some_rows(&(0..rows))
    }
}

/// The heads that lie side by side in a row of the packed projections: queries, keys, values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub queries: usize,
    /// Heads of keys, and as many of values; each serves `queries / keys` heads of queries.
    pub keys: usize,
    pub width: usize,
}

impl Heads {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { queries: config.heads, keys: config.kv_heads, width: config.head_width }
    }

    /// Columns of a packed row.
    #[must_use]
    pub fn packed(&self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }

    /// Columns of what attention gives.
    #[must_use]
    pub fn joined(&self) -> usize {
        self.queries * self.width
    }
}

/// Which way rotations turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Forward,
    /// The gradient's way: a rotation's transpose is its inverse.
    Back,
}

/// What a matrix product does with what its output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    Fresh,
    Sum,
}

/// One block's normalization, `RMSNorm` (1910.07467): y = x / rms(x) * gain.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// (n, width)
    pub x: Matrix,
    /// (width)
    pub gain: Region,
    /// (n): 1 / rms of each row, sqrt(mean(x^2) + eps) inverted.
    pub scale: Region,
    pub eps: f64,
}

impl Norm {
    /// Of the first rows.
    #[must_use]
    pub fn top(self, rows: usize) -> Self {
        Self { x: self.x.top(rows), scale: self.scale.part(0, rows), ..self }
    }
}

/// All parameters, and what belongs to each: four stretches of the same layout.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub weights: Region,
    pub grads: Region,
    pub first: Region,
    pub second: Region,
    /// So many at the front are matrices; the rest are gains, which are not decayed.
    pub decayed: usize,
}

/// `AdamW` (1711.05101, algorithm 2) for one step; the rates are applied in f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub lr: f64,
    /// Updates applied, this one included: the first is 1.
    pub updates: u64,
    /// Each gradient is multiplied by this first: clipping.
    pub grad_scale: f64,
}

/// What one update multiplies by, computed in f64 once. A kernel is given it as it lies here.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Factors {
    pub grad: f32,
    pub beta1: f32,
    pub beta1_rest: f32,
    pub beta2: f32,
    pub beta2_rest: f32,
    /// 1 / (1 - beta^updates)
    pub first: f32,
    pub second: f32,
    pub eps: f32,
    /// 1 - lr * decay
    pub keep: f32,
    pub lr: f32,
}

impl Rates {
    #[expect(clippy::cast_possible_truncation, reason = "rates are applied in f32")]
    #[must_use]
    pub fn factors(&self, weight_decay: f64) -> Factors {
        let Self { beta1, beta2, eps, lr, .. } = *self;
        let power = i32::try_from(self.updates).unwrap_or(i32::MAX);
        Factors {
            grad: self.grad_scale as f32,
            beta1: beta1 as f32,
            beta1_rest: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            beta2_rest: (1.0 - beta2) as f32,
            first: (1.0 / (1.0 - beta1.powi(power))) as f32,
            second: (1.0 / (1.0 - beta2.powi(power))) as f32,
            eps: eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
            lr: lr as f32,
        }
    }
}

/// Squared norms after an update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Squares {
    pub weights: f64,
    pub update: f64,
}

/// What one target counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of its cross-entropy.
    pub target: f64,
    /// Of its squared log-partition (the z-loss of 2204.02311).
    pub z: f64,
}

/// Sums over the targets since they were last asked for: nats, and squared log-partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    pub nats: f64,
    pub z: f64,
}

pub trait Backend {
    /// What a plan for batches of such a shape must give it.
    fn needs(config: &Config, shape: &Shape) -> Needs
    where
        Self: Sized;

    /// Where it computes, for people.
    fn place(&self) -> String;

    /// Puts numbers into the arena, rounded to the region's format.
    fn write(&mut self, region: Region, values: &[f32]);
    /// Gets them back.
    fn read(&self, region: Region, values: &mut [f32]);
    fn zero(&mut self, region: Region);

    /// The tokens, targets, positions and masks that operations speak of from now on.
    fn load(&mut self, batch: &Batch);

    /// x[i] = table[inputs[i]]. `table` is (vocabulary, width), `x` (n, width).
    fn embed(&mut self, table: Matrix, x: Matrix);

    /// dtable[inputs[i]] += dx[i], summed in the order of the tokens.
    fn embed_backward(&mut self, dx: Matrix, dtable: Matrix);

    /// Residual and normalization: with `delta`, `norm.x` = `from` + `delta` first. Writes `y` and
    /// `norm.scale`. All but the gain are (n, width).
    fn norm(&mut self, from: Option<(Matrix, Matrix)>, norm: &Norm, y: Matrix);

    /// With x^ = x scale and g = dy gain: dx (+)= scale (g - x^ mean(g x^)), dgain += sum of dy x^
    /// over the tokens. In place of `dy` it leaves y = x^ gain, which the weight gradient needs next.
    fn norm_backward(&mut self, norm: &Norm, dy: Matrix, dx: Matrix, onto: Onto, dgain: Region);

    /// y = x w^T. `x` is (n, inputs), `w` (outputs, inputs), `y` (n, outputs).
    fn linear(&mut self, x: Matrix, w: Matrix, y: Matrix);

    /// dx = dy w.
    fn linear_dgrad(&mut self, dy: Matrix, w: Matrix, dx: Matrix);

    /// dw += dy^T x.
    fn linear_wgrad(&mut self, dy: Matrix, x: Matrix, dw: Matrix);

    /// Rotates queries and keys in place, each pair (j, j + width/2) of a head by the angle that
    /// `table` has for the token's position (2104.09864, with halves instead of neighbors, as
    /// Hugging Face has it). `table` is (positions, width): cosines, then sines.
    fn rope(&mut self, packed: Matrix, heads: Heads, table: Matrix, turn: Turn);

    /// y = softmax(q k^T / sqrt(width), where the mask lets) v, head by head, and each query's
    /// log-partition. `packed` is (n, queries + 2 keys), `y` (n, queries), `log_partition`
    /// (rows, heads of queries, context). The square matrix is never built (2205.14135).
    fn attention(&mut self, packed: Matrix, heads: Heads, y: Matrix, log_partition: Region);

    /// With p recomputed from the log-partitions, dp = dy v^T and ds = p (dp - sum of dy y):
    /// dq = ds k, dk = ds^T q (both over sqrt(width)), dv = p^T dy, into `dpacked`.
    fn attention_backward(
        &mut self,
        forward: (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    );

    /// hidden = silu(gate) up (2002.05202). `packed` is (n, 2 ffn): gates, then ups.
    fn swiglu(&mut self, packed: Matrix, hidden: Matrix);

    /// In place: `packed` becomes its own gradient, and `dhidden` becomes hidden, which the weight
    /// gradient needs next. With s = sigmoid(gate): dgate = dhidden up s (1 + gate (1 - s)),
    /// dup = dhidden gate s.
    fn swiglu_backward(&mut self, packed: Matrix, dhidden: Matrix);

    /// Some tokens' logits become their gradient: p (weight + 2 z log-partition), less the weight at
    /// the target; 0 where the target is ignored. Adds to the losses.
    fn cross_entropy(&mut self, logits: Matrix, tokens: Range<usize>, weights: Weights);

    /// The log-likelihood of some tokens' targets; 0 where ignored. `out` is (n), f32.
    fn log_likelihoods(&mut self, logits: Matrix, tokens: Range<usize>, out: Region);

    /// What was lost since this was last asked.
    fn losses(&mut self) -> Losses;

    /// The sum of squares, NaN if there is one.
    fn square(&mut self, region: Region) -> f64;

    /// Updates all parameters and zeroes their gradients, in one pass. The squares are of what the update
    /// is before it is rounded to the weights' format.
    fn adamw(&mut self, parameters: &Parameters, rates: &Rates) -> Squares;

    /// What went wrong in any operation so far; numbers read after that mean nothing.
    ///
    /// # Errors
    /// The device failed.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
