//! Cross-entropy with the z-loss, in place on a chunk of logits; and log-likelihoods.

use super::threads::Threads;
use super::vector::{exp_sum, max, vectorized};
use crate::data::IGNORED;
use crate::planned::{Losses, Weights};

/// One chunk. `found` holds two numbers for each of its tokens: nats, and squared log-partition.
pub(super) fn cross_entropy(
    threads: &Threads,
    logits: &mut [f32],
    targets: &[u32],
    weights: Weights,
    found: &mut [f32],
) -> Losses {
    let vocabulary = logits.len() / targets.len();
    let found = &mut found[..2 * targets.len()];
    let slices = [(logits, vocabulary), (&mut *found, 2)];
    threads.split(targets.len(), slices, |rows, [logits, found]| {
        differentiate(logits, &targets[rows], weights, found);
    });
    let mut losses = Losses::default();
    for token in found.chunks_exact(2) {
        losses.nats += f64::from(token[0]);
        losses.z += f64::from(token[1]);
    }
    losses
}

vectorized! {
    fn differentiate(logits: &mut [f32], targets: &[u32], weights: Weights, found: &mut [f32]) {
        let vocabulary = logits.len() / targets.len().max(1);
        let (weight, z_weight) = (single(weights.target), single(2.0 * weights.z));
        let rows = logits.chunks_exact_mut(vocabulary.max(1)).zip(found.chunks_exact_mut(2));
        for ((logits, found), target) in rows.zip(targets) {
            if *target == IGNORED {
                logits.fill(0.0);
                found.fill(0.0);
                continue;
            }
            let own = logits[*target as usize];
            let (partition, total) = partition(logits);
            let scale = (weight + z_weight * partition) / total;
            for logit in logits.iter_mut() {
                *logit *= scale;
            }
            logits[*target as usize] -= weight;
            found[0] = partition - own;
            found[1] = partition * partition;
        }
    }
}

/// ln of the sum of e^logit, and that sum relative to the largest; leaves e^(logit - largest).
#[inline(always)]
fn partition(logits: &mut [f32]) -> (f32, f32) {
    let top = max(logits);
    let total = exp_sum(logits, top, 1.0);
    (top + total.ln(), total)
}

pub(super) fn log_likelihoods(
    threads: &Threads,
    logits: &mut [f32],
    targets: &[u32],
    out: &mut [f32],
) {
    let vocabulary = logits.len() / targets.len();
    threads.split(targets.len(), [(logits, vocabulary), (out, 1)], |rows, [logits, out]| {
        score(logits, &targets[rows], out);
    });
}

vectorized! {
    fn score(logits: &mut [f32], targets: &[u32], out: &mut [f32]) {
        let vocabulary = logits.len() / targets.len().max(1);
        let rows = logits.chunks_exact_mut(vocabulary.max(1)).zip(out);
        for ((logits, out), target) in rows.zip(targets) {
            *out = if *target == IGNORED {
                0.0
            } else {
                let own = logits[*target as usize];
                own - partition(logits).0
            };
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
#[inline(always)]
fn single(value: f64) -> f32 {
    value as f32
}
