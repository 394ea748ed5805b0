//! What kernels are given: structures laid out as those of the same names in `kernels/`, and counts.

use assay_trainer::planned::{Heads, Matrix, Rates};

use crate::backend::THREADS;

/// Where things are in a batch's packed rows.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Shape {
    context: u32,
    queries: u32,
    keys: u32,
    columns: u32,
    scale: f32,
}

impl Shape {
    pub(crate) fn new(heads: Heads, context: usize) -> Self {
        Self {
            context: narrow(context),
            queries: narrow(heads.queries),
            keys: narrow(heads.keys),
            columns: narrow(heads.packed()),
            scale: 1.0 / single(heads.width as f64).sqrt(),
        }
    }
}

/// What one update multiplies by, computed in f64 once.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Factors {
    grad: f32,
    beta1: f32,
    beta1_rest: f32,
    beta2: f32,
    beta2_rest: f32,
    first: f32,
    second: f32,
    eps: f32,
    keep: f32,
    lr: f32,
}

impl Factors {
    pub(crate) fn new(rates: &Rates) -> Self {
        let Rates { beta1, beta2, eps, lr, weight_decay, .. } = *rates;
        let power = i32::try_from(rates.updates).unwrap_or(i32::MAX);
        Self {
            grad: single(rates.grad_scale),
            beta1: single(beta1),
            beta1_rest: single(1.0 - beta1),
            beta2: single(beta2),
            beta2_rest: single(1.0 - beta2),
            first: single(1.0 / (1.0 - beta1.powi(power))),
            second: single(1.0 / (1.0 - beta2.powi(power))),
            eps: single(eps),
            keep: single(1.0 - lr * weight_decay),
            lr: single(lr),
        }
    }
}

/// Kernels count in 32 bits, but for parameters.
pub(crate) fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("no dimension has 2^32 numbers")
}

#[expect(clippy::cast_possible_truncation, reason = "applied to f32")]
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

/// Numbers that a thread takes at a time of rows this wide.
pub(crate) fn step(width: usize) -> usize {
    if width.is_multiple_of(8) { 8 } else { 1 }
}

/// Pieces of a matrix that threads take, and blocks for them.
pub(crate) fn pieces(of: Matrix) -> (usize, (usize, usize, usize)) {
    let pieces = of.rows * of.columns / step(of.columns);
    (pieces, (pieces.div_ceil(THREADS as usize).min(1 << 16), 1, 1))
}

pub(crate) fn wide(count: usize) -> u64 {
    count as u64
}
