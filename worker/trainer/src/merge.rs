//! Means of weights.

use crate::by_name::{ByName, Shapes};
use crate::engine::HostTensor;
use crate::hugging_face::Loaded;

/// The linear mean of models, each parameter by itself: `sum of share * value`, in f64 and rounded once
/// ("model soups", 2203.05482; between a model and what it was tuned from, 2109.01903). One model alone
/// stays as it is, bit for bit.
///
/// # Errors
/// In words: there is none, or they are not of one shape.
pub fn linear(models: Vec<(Loaded, f64)>) -> Result<Loaded, String> {
    let mut models = models.into_iter();
    let (first, share) = models.next().ok_or("there are no weights to score")?;
    let others: Vec<(Loaded, f64)> = models.collect();
    if others.is_empty() {
        return Ok(first);
    }
    let shapes = first.weights.shapes();
    for (other, _) in &others {
        if other.config != first.config {
            return Err(format!(
                "models of different shapes cannot be merged: {:?} and {:?}",
                first.config, other.config
            ));
        }
        let mut found = other.weights.shapes();
        for (name, shape) in &shapes {
            match found.remove(name) {
                None => {
                    return Err(format!(
                        "one of the models has no `{name}`: they cannot be merged"
                    ));
                }
                Some(other) if other != *shape => {
                    return Err(format!(
                        "`{name}` is {shape:?} in one model and {other:?} in another: they cannot be merged"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = found.keys().next() {
            return Err(format!("one of the models alone has `{name}`: they cannot be merged"));
        }
    }
    let Loaded { config, json, weights } = first;
    let mut parts = vec![(weights, share)];
    parts.extend(others.into_iter().map(|(other, share)| (other.weights, share)));
    Ok(Loaded { config, json, weights: Box::new(Mean { parts }) })
}

/// Made when it is asked for: one whole model need not fit.
struct Mean {
    parts: Vec<(Box<dyn ByName>, f64)>,
}

impl ByName for Mean {
    fn shapes(&self) -> Shapes {
        self.parts.first().map(|(source, _)| source.shapes()).unwrap_or_default()
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        let (mut shape, mut sums) = (Vec::new(), Vec::new());
        for (source, share) in &self.parts {
            let tensor = source.tensor(name)?;
            sums.resize(tensor.values.len(), 0.0);
            for (sum, value) in sums.iter_mut().zip(tensor.values) {
                *sum += share * f64::from(value);
            }
            shape = tensor.shape;
        }
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        let values = sums.into_iter().map(|sum| sum as f32).collect();
        Ok(HostTensor { shape, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_name::collect;
    use crate::engine::Tensors;
    use crate::hugging_face::bytes_tokens;
    use crate::initial::Drawing;
    use crate::model::{EMBEDDING, preset};

    fn drawn(name: &str, seed: u64) -> Loaded {
        let config = preset(name).unwrap();
        Loaded { config, json: bytes_tokens(), weights: Box::new(Drawing { config, seed }) }
    }

    fn weights(of: &Loaded) -> Tensors {
        collect(&of.weights).unwrap()
    }

    #[test]
    fn a_mean_is_that_of_every_parameter_and_one_alone_stays() {
        let [a, b] = [1, 2].map(|seed| weights(&drawn("llama-300k", seed)));
        let alone = linear(vec![(drawn("llama-300k", 1), 1.0)]).unwrap();
        assert_eq!(weights(&alone), a);
        let mean = linear(vec![(drawn("llama-300k", 1), 0.25), (drawn("llama-300k", 2), 0.75)]);
        for (name, tensor) in weights(&mean.unwrap()) {
            let pairs = a[&name].values.iter().zip(&b[&name].values);
            for (value, (a, b)) in tensor.values.iter().zip(pairs) {
                let exact = 0.25 * f64::from(*a) + 0.75 * f64::from(*b);
                assert!((f64::from(*value) - exact).abs() <= exact.abs() * 6e-8, "{name}");
            }
        }
    }

    #[test]
    fn models_that_do_not_belong_together_are_refused() {
        let (a, other) = (drawn("llama-300k", 1), drawn("llama-1m", 1));
        let refused = linear(vec![(a, 0.5), (other, 0.5)]).unwrap_err();
        assert!(refused.contains("different shapes"), "{refused}");
        let (a, mut b) = (drawn("llama-300k", 1), drawn("llama-300k", 1));
        let mut fewer = weights(&b);
        fewer.remove(EMBEDDING);
        b.weights = Box::new(fewer);
        let refused = linear(vec![(a, 0.5), (b, 0.5)]).unwrap_err();
        assert!(refused.contains(EMBEDDING), "{refused}");
        assert!(linear(Vec::new()).is_err());
    }
}
