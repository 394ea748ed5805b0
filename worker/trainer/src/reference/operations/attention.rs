//! The softmax of attention: scaled, causal, and blind beyond the borders of a document.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::super::math::{dot, exp, max, sum};
use super::{output, single, slice, tensor, view};

/// What each query may look at.
#[derive(Clone, Debug)]
pub(in super::super) struct Attended {
    /// For each token of the batch: see [`Batch::seen`](crate::engine::Batch::seen).
    pub(in super::super) seen_bt: Arc<[[Range<usize>; 2]]>,
    /// Heads of queries.
    pub(in super::super) heads: usize,
    pub(in super::super) context: usize,
}

/// Weights of the keys of each query; 0 where it may not look.
pub(in super::super) fn attention_weights(
    scores_bkgt: &Tensor,
    attended: Attended,
    scale: f64,
) -> Result<Tensor> {
    scores_bkgt.apply_op1(AttentionWeights { attended, scale: single(scale) })
}

struct AttentionWeights {
    attended: Attended,
    scale: f32,
}

impl AttentionWeights {
    /// The keys of the query that stands `at` that place of (rows, heads, context).
    fn keys(&self, at: usize) -> &[Range<usize>; 2] {
        let Attended { seen_bt, heads, context } = &self.attended;
        let (row, own) = (at / (heads * context), at % context);
        &seen_bt[row * context + own]
    }
}

impl CustomOp1 for AttentionWeights {
    fn name(&self) -> &'static str {
        "attention-weights"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = slice(scores, layout)?;
        let mut weights = vec![0.0; scores.len()];
        let context = self.attended.context;
        let queries = weights.chunks_exact_mut(context).zip(scores.chunks_exact(context));
        for (at, (weights, scores)) in queries.enumerate() {
            let keys = self.keys(at);
            let top = keys.clone().map(|keys| max(&scores[keys]));
            let top = if top[0] > top[1] || top[0].is_nan() { top[0] } else { top[1] };
            let mut total = 0.0;
            for keys in keys.clone() {
                for (weight, score) in weights[keys.clone()].iter_mut().zip(&scores[keys.clone()]) {
                    *weight = exp((score - top) * self.scale);
                }
                total += sum(&weights[keys]);
            }
            let share = 1.0 / total;
            for weight in keys.clone().into_iter().flatten() {
                weights[weight] *= share;
            }
        }
        Ok(output(weights, layout.shape()))
    }

    /// dscore = scale w (dw - sum of w dw).
    fn bwd(&self, scores: &Tensor, weights: &Tensor, dweights: &Tensor) -> Result<Option<Tensor>> {
        let dweights = dweights.contiguous()?;
        let (weights, dweights) = (view(weights)?, view(&dweights)?);
        let (weights, dweights) = (weights.values(), dweights.values());
        let mut dscores = vec![0.0; weights.len()];
        let context = self.attended.context;
        for (at, dscores) in dscores.chunks_exact_mut(context).enumerate() {
            let (weights, dweights) = (&weights[at * context..], &dweights[at * context..]);
            let keys = self.keys(at);
            let means = keys.clone().map(|keys| dot(&weights[keys.clone()], &dweights[keys]));
            let mean = means[0] + means[1];
            for key in keys.clone().into_iter().flatten() {
                dscores[key] = self.scale * weights[key] * (dweights[key] - mean);
            }
        }
        Ok(Some(tensor(dscores, scores.shape())?))
    }
}
