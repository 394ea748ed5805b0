//! Cross-entropy with targets that are not scored, and the z-loss (2204.02311): the squared
//! log-partition, which keeps logits from drifting.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::super::math::{exp, max, sum};
use super::{output, single, slice, tensor, view};
use crate::data::IGNORED;

/// What one target counts in the loss.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Weights {
    pub(in super::super) target: f64,
    pub(in super::super) z: f64,
}

pub(in super::super) struct Terms {
    /// target weight * nats + z weight * z, to be differentiated.
    pub(in super::super) loss: Tensor,
    /// Sum of -log p over the scored targets.
    pub(in super::super) nats: f64,
    /// Sum of the squared log-partitions.
    pub(in super::super) z: f64,
}

pub(in super::super) fn cross_entropy(
    logits_nv: &Tensor,
    targets: &[u32],
    weights: Weights,
) -> Result<Terms> {
    check(logits_nv, targets)?;
    let sums = Arc::new(Mutex::new((0.0, 0.0)));
    let operation = CrossEntropy { targets: targets.into(), weights, sums: sums.clone() };
    let loss = logits_nv.apply_op1(operation)?;
    let (nats, z) = *sums.lock().expect("nobody panics while holding it");
    Ok(Terms { loss, nats, z })
}

/// Log-likelihood of each target; 0 where it is ignored.
pub(in super::super) fn log_likelihoods(
    logits_nv: &Tensor,
    targets: &[u32],
) -> anyhow::Result<Vec<f32>> {
    check(logits_nv, targets)?;
    let (_, v) = logits_nv.dims2()?;
    let logits = view(logits_nv)?;
    let mut scratch = vec![0.0; v];
    let score = |(logits, target): (&[f32], &u32)| {
        if *target == IGNORED {
            0.0
        } else {
            logits[*target as usize] - log_partition(logits, &mut scratch)
        }
    };
    Ok(logits.values().chunks_exact(v).zip(targets).map(score).collect())
}

fn check(logits_nv: &Tensor, targets: &[u32]) -> Result<()> {
    let (n, v) = logits_nv.dims2()?;
    assert_eq!(n, targets.len(), "one target per token");
    match targets.iter().find(|target| **target != IGNORED && v <= **target as usize) {
        None => Ok(()),
        Some(target) => Err(candle_core::Error::Msg(format!(
            "token {target} lies outside the model's vocabulary of {v}"
        ))),
    }
}

/// ln of the sum of e^logit; leaves e^(logit - largest) in `scratch`.
fn log_partition(logits: &[f32], scratch: &mut [f32]) -> f32 {
    let top = max(logits);
    for (into, logit) in scratch.iter_mut().zip(logits) {
        *into = exp(logit - top);
    }
    top + sum(scratch).ln()
}

struct CrossEntropy {
    targets: Arc<[u32]>,
    weights: Weights,
    /// Nats and z of the forward pass, in f64: the output is f32.
    sums: Arc<Mutex<(f64, f64)>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let v = layout.dims()[1];
        let mut scratch = vec![0.0; v];
        let (mut nats, mut z) = (0.0, 0.0);
        for (logits, target) in slice(logits, layout)?.chunks_exact(v).zip(&*self.targets) {
            if *target != IGNORED {
                let partition = f64::from(log_partition(logits, &mut scratch));
                nats += partition - f64::from(logits[*target as usize]);
                z += partition * partition;
            }
        }
        *self.sums.lock().expect("nobody panics while holding it") = (nats, z);
        let loss = nats * self.weights.target + z * self.weights.z;
        Ok(output(vec![single(loss)], ()))
    }

    /// dlogit = p (weight + 2 z log-partition), less the weight at the target.
    fn bwd(&self, logits_nv: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let (_, v) = logits_nv.dims2()?;
        let dloss = f64::from(dloss.to_scalar::<f32>()?);
        let weight = single(self.weights.target * dloss);
        let z_weight = single(2.0 * self.weights.z * dloss);
        let logits = view(logits_nv)?;
        let mut dlogits = vec![0.0; logits.values().len()];
        let rows = dlogits.chunks_exact_mut(v).zip(logits.values().chunks_exact(v));
        for ((dlogits, logits), target) in rows.zip(&*self.targets) {
            if *target != IGNORED {
                let partition = log_partition(logits, dlogits);
                let scale = (weight + z_weight * partition) / sum(dlogits);
                for dlogit in dlogits.iter_mut() {
                    *dlogit *= scale;
                }
                dlogits[*target as usize] -= weight;
            }
        }
        Ok(Some(tensor(dlogits, logits_nv.shape())?))
    }
}
