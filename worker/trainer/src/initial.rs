//! The parameters of a model that is trained from scratch, drawn on the host.
//!
//! Each value is a function of (seed, name, index): no engine, thread count or order of layers
//! changes it.

use anyhow::Context as _;

use crate::by_name::{ByName, Shapes, collect};
use crate::engine::{HostTensor, Tensors};
use crate::model::{Config, EMBEDDING};

/// Normal matrices and gains of one, drawn when they are asked for.
///
/// Matrices have the standard deviation sqrt(2 / 5d) (1910.05895), those that write into the
/// residual stream less by sqrt(2 layers), because that many branches add up; the embedding 0.02.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    pub config: Config,
    pub seed: u64,
}

impl ByName for Drawing {
    fn shapes(&self) -> Shapes {
        self.config.parameters()
    }

    #[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        let Self { config, seed } = self;
        let shape = config.parameters().remove(name);
        let shape = shape.with_context(|| format!("there is no {name}"))?;
        let std = (2.0 / (5.0 * config.width as f64)).sqrt();
        let std_residual = std / (2.0 * config.layers as f64).sqrt();
        let size = shape.iter().product();
        let values = if shape.len() == 1 {
            vec![1.0; size]
        } else if name == EMBEDDING {
            normal(name, *seed, 0.02, size)
        } else if name.contains("o_proj") || name.contains("down_proj") {
            normal(name, *seed, std_residual, size)
        } else {
            normal(name, *seed, std, size)
        };
        Ok(HostTensor { shape, values })
    }
}

/// All of a [`Drawing`].
#[must_use]
pub fn draw(config: &Config, seed: u64) -> Tensors {
    collect(&Drawing { config: *config, seed }).expect("a drawing has all that it names")
}

/// Box and Muller's two normal numbers from two uniform ones.
#[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
fn normal(name: &str, seed: u64, std: f64, size: usize) -> Vec<f32> {
    let key = scramble(seed ^ scramble(fnv1a(name)));
    let mut values = Vec::with_capacity(size + 1);
    for pair in 0..size.div_ceil(2) as u64 {
        let radius = (-2.0 * uniform(key, 2 * pair).ln()).sqrt() * std;
        let angle = std::f64::consts::TAU * uniform(key, 2 * pair + 1);
        values.push((radius * angle.cos()) as f32);
        values.push((radius * angle.sin()) as f32);
    }
    values.truncate(size);
    values
}

/// In (0, 1): the middle of one of 2^53 equal parts, so that its logarithm is finite.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn uniform(key: u64, counter: u64) -> f64 {
    let bits = scramble(key.wrapping_add(counter.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 11;
    (bits as f64 + 0.5) / (1_u64 << 53) as f64
}

/// `SplitMix64`'s finalizer.
fn scramble(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    #[test]
    fn a_drawing_is_a_function_of_its_seed() {
        let config = preset("llama-300k").unwrap();
        assert_eq!(draw(&config, 7), draw(&config, 7));
        let (one, other) = (draw(&config, 7), draw(&config, 8));
        let same = |name: &str| one[name] == other[name];
        assert!(same("model.norm.weight") && !same(EMBEDDING));
    }

    #[test]
    fn two_parameters_of_one_shape_differ() {
        let drawn = draw(&preset("llama-300k").unwrap(), 7);
        let gate = &drawn["model.layers.0.mlp.gate_proj.weight"];
        assert_ne!(gate, &drawn["model.layers.0.mlp.up_proj.weight"]);
        assert_ne!(gate, &drawn["model.layers.1.mlp.gate_proj.weight"]);
    }

    /// Mean, deviation and kurtosis of 2^16 draws, within four standard errors.
    #[test]
    fn drawings_are_normal() {
        let values = normal("x", 1, 1.0, 1 << 16);
        let moment = |power: i32| {
            values.iter().map(|value| f64::from(*value).powi(power)).sum::<f64>() / 65536.0
        };
        assert!(moment(1).abs() < 4.0 / 256.0);
        assert!((moment(2) - 1.0).abs() < 4.0 * 2.0_f64.sqrt() / 256.0);
        assert!((moment(4) - 3.0).abs() < 4.0 * 96.0_f64.sqrt() / 256.0);
    }
}
