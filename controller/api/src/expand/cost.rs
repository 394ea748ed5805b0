//! What a run costs: arithmetic, and passes over its data.

use std::collections::BTreeMap;

use crate::spec::{Train, TrainSpec};
use crate::sweep::value::{as_float, rounded};

/// Floating-point operations of a training run, estimated.
///
/// 6 per parameter and token: two for the forward pass, four for the backward pass. Attention adds
/// 6 · layers · width · context per token when the model's (layers, width) are known: half of
/// 12 · layers · width · context, because a causal mask needs half of the square.
#[must_use]
pub fn train_flops(train: &Train, parameters: u64, size: Option<(u32, u32)>) -> f64 {
    let tokens = as_float(train.steps()) * as_float(train.batch);
    let attention = size.map_or(0.0, |(layers, width)| {
        6.0 * f64::from(layers) * f64::from(width) * f64::from(train.context)
    });
    tokens * (6.0 * as_float(parameters) + attention)
}

/// Tokens that a run draws from each source. A source of share 0 is drawn from by evaluation alone.
#[must_use]
pub fn source_tokens_needed(spec: &TrainSpec) -> BTreeMap<String, u64> {
    let tokens = as_float(spec.train.steps()) * as_float(spec.train.batch);
    let needed = |share: &f64| rounded(share * tokens);
    spec.data.mixture.iter().map(|(source, share)| (source.clone(), needed(share))).collect()
}
