//! The softmax of attention: scaled, causal, and blind beyond the borders of a document.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::super::math::{dot, exp, max, sum};
use super::{output, single, slice, tensor, view};

/// What each query may look at.
#[derive(Clone, Debug)]
pub(in super::super) struct Attended {
    /// The first key of each token's document; the last is the token's own.
    pub(in super::super) starts_bt: Arc<[u32]>,
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
    fn keys(&self, at: usize) -> std::ops::RangeInclusive<usize> {
        let Attended { starts_bt, heads, context } = &self.attended;
        let (row, own) = (at / (heads * context), at % context);
        starts_bt[row * context + own] as usize..=own
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
            let (weights, scores) = (&mut weights[self.keys(at)], &scores[self.keys(at)]);
            let top = max(scores);
            for (weight, score) in weights.iter_mut().zip(scores) {
                *weight = exp((score - top) * self.scale);
            }
            let share = 1.0 / sum(weights);
            for weight in weights {
                *weight *= share;
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
            let keys = self.keys(at);
            let row = at * context;
            let range = row + keys.start()..row + keys.end() + 1;
            let (weights, dweights) = (&weights[range.clone()], &dweights[range]);
            let mean = dot(weights, dweights);
            let places = dscores[keys].iter_mut().zip(weights.iter().zip(dweights));
            for (dscore, (weight, dweight)) in places {
                *dscore = self.scale * weight * (dweight - mean);
            }
        }
        Ok(Some(tensor(dscores, scores.shape())?))
    }
}
