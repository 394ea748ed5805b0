//! Causal attention within documents, a few queries at a time: their scores are the only part of the
//! square matrix that there ever is.

#![expect(unsafe_code, reason = "threads write blocks of columns, each its own")]

use std::ops::Range;

use super::product::{Grid, View, ViewMut, product};
use super::threads::Threads;
use super::vector::{dot, exp, exp_sum, max, vectorized};
use crate::engine::Batch;
use crate::planned::{Heads, Onto};

/// Queries at a time at most: the triangle beside the diagonal is computed for nothing, and shorter
/// products are slower.
const QUERIES: usize = 48;
/// Numbers of scores at a time, about: they stay in the second cache.
const SCORES: usize = 1 << 16;
/// Queries at a time at least.
const FEWEST_QUERIES: usize = 12;

/// Queries at a time where a row has so many tokens.
fn queries(context: usize) -> usize {
    (SCORES / context.max(1)).clamp(FEWEST_QUERIES, QUERIES).min(context.max(1))
}

/// Numbers of scratch that one thread needs for rows of so many tokens, or fewer.
pub(super) fn scratch(context: usize) -> usize {
    2 * (QUERIES * context).min(SCORES.max(FEWEST_QUERIES * context))
}

/// A batch's packed projections, and what each token may look at.
#[derive(Clone, Copy)]
pub(super) struct Projected<'a> {
    pub(super) packed: &'a [f32],
    pub(super) heads: Heads,
    pub(super) batch: &'a Batch,
}

/// One head of queries in one row, with the keys and values that serve it.
struct Head<'a> {
    q: View<'a>,
    k: View<'a>,
    v: View<'a>,
    batch: &'a Batch,
    row: usize,
    scale: f32,
}

impl<'a> Projected<'a> {
    fn tokens(&self, row: usize) -> Range<usize> {
        row * self.batch.context..(row + 1) * self.batch.context
    }

    /// Columns of a head of queries, and of the keys and values that serve it.
    fn columns(&self, head: usize) -> [Range<usize>; 3] {
        let Heads { queries, keys, width } = self.heads;
        let served = head / (queries / keys);
        [head, queries + served, queries + keys + served]
            .map(|place| place * width..(place + 1) * width)
    }

    fn head(&self, row: usize, head: usize) -> Head<'a> {
        let (packed, width) = (self.heads.packed(), self.heads.width);
        let begin = self.tokens(row).start * packed;
        let [q, k, v] = self.columns(head).map(|columns| {
            View::new(&self.packed[begin + columns.start..], self.batch.context, width, packed)
        });
        Head { q, k, v, batch: self.batch, row, scale: 1.0 / count(width).sqrt() }
    }
}

/// Some queries of a row, and all keys that any of them looks at.
struct Block {
    queries: Range<usize>,
    keys: Range<usize>,
}

impl Head<'_> {
    fn blocks(&self) -> impl Iterator<Item = Block> {
        let context = self.batch.context;
        let step = queries(context);
        (0..context).step_by(step).map(move |begin| {
            let queries = begin..(begin + step).min(context);
            // documents follow one another, so the first query looks back farthest; but for branches
            let [shared, own] = self.seen(begin);
            let last = self.seen(queries.end - 1)[0].clone();
            let first = if shared.is_empty() && last.is_empty() { own.start } else { 0 };
            Block { keys: first..queries.end, queries }
        })
    }

    /// What a query of the row may look at.
    fn seen(&self, query: usize) -> [Range<usize>; 2] {
        self.batch.seen(self.row * self.batch.context + query)
    }
}

impl Block {
    /// Where in its scores a query finds what it may look at.
    fn within(&self, seen: [Range<usize>; 2]) -> [Range<usize>; 2] {
        let begin = self.keys.start;
        seen.map(|keys| if keys.is_empty() { 0..0 } else { keys.start - begin..keys.end - begin })
    }
}

/// `log_partition` is (rows, heads, context).
pub(super) fn forward(
    threads: &Threads,
    of: Projected<'_>,
    (y, log_partition): (&mut [f32], &mut [f32]),
    scratch: &mut [f32],
) {
    let (heads, context) = (of.heads, of.batch.context);
    let y = Grid::new(y, heads.joined());
    let per_thread = scratch.len() / threads.count();
    let scratch = &mut scratch[..per_thread * threads.count()];
    let pairs = of.batch.rows * heads.queries;
    threads.split_with(
        pairs,
        [(&mut log_partition[..pairs * context], context)],
        (scratch, per_thread),
        |pairs, [log_partition], scratch| {
            for (pair, log_partition) in pairs.zip(log_partition.chunks_exact_mut(context)) {
                let (row, head) = (pair / heads.queries, pair % heads.queries);
                let columns = head * heads.width..(head + 1) * heads.width;
                // SAFETY: every pair of row and head is one thread's.
                let mut y = unsafe { y.block(&of.tokens(row), &columns) };
                of.head(row, head).attend(&mut y, log_partition, scratch);
            }
        },
    );
}

impl Head<'_> {
    fn attend(&self, y: &mut ViewMut<'_>, log_partition: &mut [f32], scratch: &mut [f32]) {
        for block in self.blocks() {
            let (queries, keys) = (block.queries.clone(), block.keys.clone());
            let scores = &mut scratch[..queries.len() * keys.len()];
            let mut totals = [0.0; QUERIES];
            let (q, k) = (self.q.some_rows(&queries), self.k.some_rows(&keys));
            let into = ViewMut::dense(scores, keys.len());
            product(into, Onto::Fresh, 1.0, q, k.transposed());
            for (query, scores) in queries.clone().zip(scores.chunks_exact_mut(keys.len())) {
                let seen = block.within(self.seen(query));
                (totals[query - queries.start], log_partition[query]) =
                    soften(scores, &seen, self.scale);
            }
            let weights = View::dense(scores, keys.len());
            let v = self.v.some_rows(&keys);
            product(y.some_rows(&queries), Onto::Fresh, 1.0, weights, v);
            for (query, total) in queries.zip(totals) {
                share(y.row(query), total);
            }
        }
    }
}

vectorized! {
    /// Scores of one query become weights, 0 where it may not look, but for a factor; returns what
    /// they sum up to, and the log-partition.
    fn soften(scores: &mut [f32], seen: &[Range<usize>; 2], scale: f32) -> (f32, f32) {
        let [shared, own] = seen;
        scores[..shared.start].fill(0.0);
        scores[shared.end..own.start].fill(0.0);
        scores[own.end..].fill(0.0);
        let top = max(&scores[own.clone()]);
        let of_shared = max(&scores[shared.clone()]);
        let top = if top < of_shared { of_shared } else { top };
        let total = exp_sum(&mut scores[own.clone()], top, scale)
            + exp_sum(&mut scores[shared.clone()], top, scale);
        (total, top.mul_add(scale, total.ln()))
    }
}

vectorized! {
    fn share(y: &mut [f32], total: f32) {
        let share = 1.0 / total;
        for y in y {
            *y *= share;
        }
    }
}

/// What the forward pass left.
#[derive(Clone, Copy)]
pub(super) struct Attended<'a> {
    pub(super) y: &'a [f32],
    pub(super) log_partition: &'a [f32],
}

pub(super) fn backward<'a>(
    threads: &Threads,
    of: Projected<'_>,
    attended: Attended<'a>,
    (dy, dpacked): (&'a [f32], &mut [f32]),
    scratch: &mut [f32],
) {
    let (heads, context) = (of.heads, of.batch.context);
    let dpacked = Grid::new(dpacked, heads.packed());
    let per_thread = scratch.len() / threads.count();
    let scratch = &mut scratch[..per_thread * threads.count()];
    let served = heads.queries / heads.keys;
    let nothing: [(&mut [f32], usize); 0] = [];
    // keys and values gather from all heads that they serve: these are one thread's
    let pairs = of.batch.rows * heads.keys;
    threads.split_with(pairs, nothing, (scratch, per_thread), |pairs, [], scratch| {
        for pair in pairs {
            let (row, key) = (pair / heads.keys, pair % heads.keys);
            let tokens = of.tokens(row);
            let [_, k, v] = of.columns(key * served);
            // SAFETY: every pair of row and head of keys is one thread's, with the queries it serves.
            let (mut dk, mut dv) =
                unsafe { (dpacked.block(&tokens, &k), dpacked.block(&tokens, &v)) };
            for token in 0..context {
                dk.row(token).fill(0.0);
                dv.row(token).fill(0.0);
            }
            for head in key * served..(key + 1) * served {
                let [q, ..] = of.columns(head);
                // SAFETY: as above.
                let mut dq = unsafe { dpacked.block(&tokens, &q) };
                let joined = tokens.start * heads.joined() + head * heads.width;
                let of_head = |values: &'a [f32]| {
                    View::new(&values[joined..], context, heads.width, heads.joined())
                };
                let seen = Seen {
                    y: of_head(attended.y),
                    dy: of_head(dy),
                    log_partition: &attended.log_partition
                        [(row * heads.queries + head) * context..][..context],
                };
                of.head(row, head).go_back(&seen, [&mut dq, &mut dk, &mut dv], scratch);
            }
        }
    });
}

/// One head's output, its gradient, and its log-partitions.
struct Seen<'a> {
    y: View<'a>,
    dy: View<'a>,
    log_partition: &'a [f32],
}

impl Head<'_> {
    fn go_back(&self, seen: &Seen<'_>, [dq, dk, dv]: [&mut ViewMut<'_>; 3], scratch: &mut [f32]) {
        for block in self.blocks() {
            let (queries, keys) = (block.queries.clone(), block.keys.clone());
            let size = queries.len() * keys.len();
            let (weights, dscores) = scratch[..2 * size].split_at_mut(size);
            let (q, k) = (self.q.some_rows(&queries), self.k.some_rows(&keys));
            let (v, dy) = (self.v.some_rows(&keys), seen.dy.some_rows(&queries));
            let width = keys.len();
            product(ViewMut::dense(weights, width), Onto::Fresh, 1.0, q, k.transposed());
            product(ViewMut::dense(dscores, width), Onto::Fresh, 1.0, dy, v.transposed());
            let rows = weights.chunks_exact_mut(width).zip(dscores.chunks_exact_mut(width));
            for (query, (weights, dscores)) in queries.clone().zip(rows) {
                let [_, keys] = block.within(self.seen(query));
                let (y, dy) = (seen.y.row(query), seen.dy.row(query));
                differentiate(
                    (weights, dscores),
                    &keys,
                    self.scale,
                    seen.log_partition[query],
                    (y, dy),
                );
            }
            let (weights, dscores) = (View::dense(weights, width), View::dense(dscores, width));
            product(dv.some_rows(&keys), Onto::Sum, 1.0, weights.transposed(), dy);
            product(dq.some_rows(&queries), Onto::Fresh, 1.0, dscores, k);
            product(dk.some_rows(&keys), Onto::Sum, 1.0, dscores.transposed(), q);
        }
    }
}

vectorized! {
    /// Of one query: scores become weights, and the weights' gradient becomes the scores'.
    fn differentiate(
        rows: (&mut [f32], &mut [f32]),
        seen: &Range<usize>,
        scale: f32,
        log_partition: f32,
        ys: (&[f32], &[f32]),
    ) {
        let (weights, dscores) = rows;
        for row in [&mut *weights, &mut *dscores] {
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
        }
        let mean = dot(ys.0, ys.1);
        let places = weights[seen.clone()].iter_mut().zip(&mut dscores[seen.clone()]);
        for (weight, dscore) in places {
            *weight = exp((*weight).mul_add(scale, -log_partition));
            *dscore = *weight * (*dscore - mean) * scale;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a head is narrow")]
fn count(of: usize) -> f32 {
    of as f32
}
