//! Means of weights.

use crate::hugging_face::Loaded;

/// The linear mean of models, each parameter by itself: `sum of share * value`, in f64 and rounded once
/// ("model soups", 2203.05482; between a model and what it was tuned from, 2109.01903). One model alone
/// stays as it is, bit for bit.
///
/// # Errors
/// In words: there is none, or they are not of one shape.
pub fn linear(models: Vec<(Loaded, f64)>) -> Result<Loaded, String> {
    let mut models = models.into_iter();
    let (mut first, share) = models.next().ok_or("there are no weights to score")?;
    let mut others: Vec<(Loaded, f64)> = models.collect();
    if others.is_empty() {
        return Ok(first);
    }
    for (other, _) in &others {
        if other.config != first.config {
            return Err(format!(
                "models of different shapes cannot be merged: {:?} and {:?}",
                first.config, other.config
            ));
        }
    }
    for (name, tensor) in &mut first.weights {
        let mut sum: Vec<f64> =
            tensor.values.iter().map(|value| share * f64::from(*value)).collect();
        for (other, share) in &mut others {
            // each is dropped once it is added: three whole models need not fit
            let Some(found) = other.weights.remove(name) else {
                return Err(format!("one of the models has no `{name}`: they cannot be merged"));
            };
            if found.shape != tensor.shape {
                return Err(format!(
                    "`{name}` is {:?} in one model and {:?} in another: they cannot be merged",
                    tensor.shape, found.shape
                ));
            }
            for (sum, value) in sum.iter_mut().zip(found.values) {
                *sum += *share * f64::from(value);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        for (value, sum) in tensor.values.iter_mut().zip(sum) {
            *value = sum as f32;
        }
    }
    match others.iter().find_map(|(other, _)| other.weights.keys().next()) {
        Some(name) => Err(format!("one of the models alone has `{name}`: they cannot be merged")),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hugging_face::bytes_tokens;
    use crate::initial;
    use crate::model::{EMBEDDING, preset};

    fn drawn(name: &str, seed: u64) -> Loaded {
        let config = preset(name).unwrap();
        let weights = initial::draw(&config, seed);
        Loaded { config, json: bytes_tokens(), weights }
    }

    #[test]
    fn a_mean_is_that_of_every_parameter_and_one_alone_stays() {
        let (a, b) = (drawn("llama-300k", 1), drawn("llama-300k", 2));
        let alone = linear(vec![(drawn("llama-300k", 1), 1.0)]).unwrap();
        assert_eq!(alone.weights, a.weights);
        let mean = linear(vec![(drawn("llama-300k", 1), 0.25), (drawn("llama-300k", 2), 0.75)]);
        for (name, tensor) in mean.unwrap().weights {
            let pairs = a.weights[&name].values.iter().zip(&b.weights[&name].values);
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
        b.weights.remove(EMBEDDING);
        let refused = linear(vec![(a, 0.5), (b, 0.5)]).unwrap_err();
        assert!(refused.contains(EMBEDDING), "{refused}");
        assert!(linear(Vec::new()).is_err());
    }
}
