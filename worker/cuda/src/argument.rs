//! What kernels are given: where things are, laid out as the structure of that name in `kernels/`, and counts.

use assay_trainer::planned::{Heads, Matrix};

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

/// Of the kernels for rows that come out even and for others, the one for rows of this width.
pub(crate) fn fitting(names: [&'static str; 2], width: usize) -> &'static str {
    names[usize::from(step(width) == 1)]
}

/// Pieces of a matrix that threads take, and blocks for them.
pub(crate) fn pieces(of: Matrix) -> (usize, (usize, usize, usize)) {
    let pieces = of.rows * of.columns / step(of.columns);
    (pieces, (pieces.div_ceil(THREADS as usize).min(1 << 16), 1, 1))
}

pub(crate) fn wide(count: usize) -> u64 {
    count as u64
}
