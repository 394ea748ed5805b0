//! What a Llama is: its dimensions, its parameters by name, and what they cost.

use std::collections::BTreeMap;

/// The vocabulary of a preset with the tokenizer `bytes`: 257 tokens, padded to a multiple of 8 so
/// that the head's matrix fills whole vector registers. The seven that are left are never targets.
pub const BYTES_VOCABULARY: usize = 264;

/// The deepest published Llama has 126.
const LAYERS_MAX: usize = 10_000;
/// Far over the largest vocabulary, and products of two of them fit into 64 bits.
const DIMENSION_MAX: usize = 1 << 28;

/// The dimensions of a Llama, under short names; `hugging_face.rs` has the long ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    pub vocabulary: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Heads of keys and values: each serves `heads / kv_heads` queries.
    pub kv_heads: usize,
    pub head_width: usize,
    pub ffn: usize,
    /// Longest sequence that the positions are meant for.
    pub context: usize,
    pub rope_theta: f64,
    pub rope_scaling: Option<Llama3Scaling>,
    pub norm_eps: f64,
    pub head: Head,
}

/// Where the last projection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The embedding, transposed.
    Tied,
    Own,
}

/// Llama 3.1's stretching of the slow rotations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3Scaling {
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    /// Context of the model before it was stretched.
    pub original_context: usize,
}

/// Name, width, layers, heads, heads of keys and values, head width, feed-forward width.
type Row = (&'static str, [usize; 6]);

/// Parameters with the byte vocabulary stand behind each.
const PRESETS: [Row; 11] = [
    ("llama-300k", [96, 3, 3, 1, 32, 256]),      // 321 k
    ("llama-1m", [128, 4, 4, 2, 32, 448]),       // 920 k
    ("llama-3m", [192, 6, 6, 2, 32, 640]),       // 2.85 M
    ("llama-6m", [256, 7, 8, 2, 32, 896]),       // 6.04 M
    ("llama-15m", [384, 9, 6, 2, 64, 1088]),     // 14.9 M
    ("llama-30m", [512, 10, 8, 4, 64, 1408]),    // 29.6 M
    ("llama-60m", [640, 13, 10, 2, 64, 1792]),   // 57.7 M
    ("llama-135m", [768, 21, 12, 4, 64, 2048]),  // 132 M
    ("llama-1b", [2048, 16, 32, 8, 64, 8192]),   // 974 M; Llama 3.2 1B without its vocabulary
    ("llama-3b", [3072, 28, 24, 8, 128, 8192]),  // 2.82 B; Llama 3.2 3B likewise
    ("llama-8b", [4096, 32, 32, 8, 128, 14336]), // 6.98 B; Llama 3 8B likewise
];

/// The names of the presets, smallest first.
pub fn presets() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// A model to be trained from scratch.
#[must_use]
pub fn preset(name: &str) -> Option<Config> {
    let (name, dimensions) = PRESETS.iter().find(|(known, _)| *known == name)?;
    let [width, layers, heads, kv_heads, head_width, ffn] = *dimensions;
    let is_large = 1024 < width;
    Some(Config {
        vocabulary: BYTES_VOCABULARY,
        width,
        layers,
        heads,
        kv_heads,
        head_width,
        ffn,
        context: if is_large { 8192 } else { 2048 },
        rope_theta: if is_large { 500_000.0 } else { 10_000.0 },
        rope_scaling: None,
        norm_eps: 1e-5,
        head: if *name == "llama-8b" { Head::Own } else { Head::Tied },
    })
}

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const LAST_NORM: &str = "model.norm.weight";
pub(crate) const HEAD: &str = "lm_head.weight";

/// A parameter of layer `layer`, as Hugging Face names it.
#[must_use]
pub(crate) fn in_layer(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}.weight")
}

impl Config {
    /// Every parameter's shape by name. A matrix is (outputs, inputs).
    #[must_use]
    pub fn parameters(&self) -> BTreeMap<String, Vec<usize>> {
        let (d, f) = (self.width, self.ffn);
        let (q, kv) = (self.heads * self.head_width, self.kv_heads * self.head_width);
        let mut shapes = BTreeMap::from([
            (EMBEDDING.to_owned(), vec![self.vocabulary, d]),
            (LAST_NORM.to_owned(), vec![d]),
        ]);
        for layer in 0..self.layers {
            for (name, shape) in [
                ("input_layernorm", vec![d]),
                ("self_attn.q_proj", vec![q, d]),
                ("self_attn.k_proj", vec![kv, d]),
                ("self_attn.v_proj", vec![kv, d]),
                ("self_attn.o_proj", vec![d, q]),
                ("post_attention_layernorm", vec![d]),
                ("mlp.gate_proj", vec![f, d]),
                ("mlp.up_proj", vec![f, d]),
                ("mlp.down_proj", vec![d, f]),
            ] {
                shapes.insert(in_layer(layer, name), shape);
            }
        }
        if self.head == Head::Own {
            shapes.insert(HEAD.to_owned(), vec![self.vocabulary, d]);
        }
        shapes
    }

    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.parameters().values().map(|shape| shape.iter().product::<usize>() as u64).sum()
    }

    /// Floating-point operations to train on one token of a sequence of `context`: 6 for every
    /// parameter that is multiplied by (the head counts, the embedding's look-up does not), and
    /// attention counted in full, without the half that causality spares (`PaLM`'s convention).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn flops_per_token(&self, context: u32) -> f64 {
        let own_embedding = match self.head {
            Head::Tied => 0,
            Head::Own => self.vocabulary * self.width,
        };
        let gains = (2 * self.layers + 1) * self.width;
        let multiplied = self.parameter_count() as f64 - (own_embedding + gains) as f64;
        let attention = (self.layers * self.heads * self.head_width) as f64 * f64::from(context);
        6.0 * multiplied + 12.0 * attention
    }

    /// The speed of each pair of a head's rotation, in radians a position.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "dimensions are small")]
    #[expect(clippy::cast_possible_truncation, reason = "angles are f32, as Hugging Face has them")]
    pub fn rotation_speeds(&self) -> Vec<f32> {
        let speed = |pair: usize| {
            let plain = self.rope_theta.powf(-((2 * pair) as f64) / self.head_width as f64);
            let Some(scaling) = self.rope_scaling else { return plain as f32 };
            let wavelength = std::f64::consts::TAU / plain;
            let turns = scaling.original_context as f64 / wavelength;
            let blend = (turns - scaling.low_freq_factor)
                / (scaling.high_freq_factor - scaling.low_freq_factor);
            let blend = blend.clamp(0.0, 1.0);
            (plain * blend + plain / scaling.factor * (1.0 - blend)) as f32
        };
        (0..self.head_width / 2).map(speed).collect()
    }

    /// For each of so many positions a row of a head's width: cosines, then sines.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "positions are below 2^24")]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sines are computed in f64 and used in f32"
    )]
    pub fn rotations(&self, positions: usize) -> Vec<f32> {
        let speeds = self.rotation_speeds();
        let row = |position: usize| {
            let angle = move |speed: &f32| f64::from(position as f32 * speed);
            let cosines = speeds.iter().map(move |speed| angle(speed).cos() as f32);
            cosines.chain(speeds.iter().map(move |speed| angle(speed).sin() as f32))
        };
        (0..positions).flat_map(row).collect()
    }

    /// What makes these dimensions impossible, if anything does.
    pub fn check(&self) -> Result<(), String> {
        let Config { vocabulary, width, layers, heads, kv_heads, head_width, ffn, .. } = *self;
        if [vocabulary, width, layers, heads, kv_heads, head_width, ffn].contains(&0) {
            return Err("a dimension is 0".to_owned());
        }
        // what is listed and allocated by these must not be believed to any length
        if LAYERS_MAX < layers {
            return Err(format!("{layers} layers; the limit is {LAYERS_MAX}"));
        }
        let widest = [vocabulary, width, heads, head_width, ffn].into_iter().max().unwrap_or(0);
        if DIMENSION_MAX < widest {
            return Err(format!("a dimension of {widest}; the limit is {DIMENSION_MAX}"));
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} heads cannot share {kv_heads} heads of keys and values"));
        }
        if !head_width.is_multiple_of(2) {
            return Err(format!("a head of {head_width} cannot be rotated in pairs: it is odd"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_size_that_their_name_says() {
        let sizes: Vec<(&str, u64)> =
            presets().map(|name| (name, preset(name).expect("listed").parameter_count())).collect();
        // llama-1m by hand: 264*128 + 128 + 4 * (128*128*2 + 64*128*2 + 3*448*128 + 2*128)
        assert_eq!(sizes[1], ("llama-1m", 919_680));
        for (name, count) in sizes {
            let digits = name.trim_start_matches("llama-");
            let (number, unit) = digits.split_at(digits.len() - 1);
            let unit = match unit {
                "k" => 1e3,
                "m" => 1e6,
                _ => 1e9,
            };
            let ratio = count as f64 / (number.parse::<f64>().expect("a number") * unit);
            assert!((0.85..1.1).contains(&ratio), "{name} has {count}");
            preset(name).expect("listed").check().expect("possible");
        }
        assert_eq!(preset("llama-2m"), None);
    }

    /// Llama 3 8B, as in the published table: 7.505e9 parameters multiplied by, 51.5 GF a token
    /// at 4,096.
    #[test]
    fn flops_follow_the_published_convention() {
        let llama3 = Config { vocabulary: 128_256, ..preset("llama-8b").expect("listed") };
        assert_eq!(llama3.parameter_count(), 8_030_261_248);
        let gigaflops = llama3.flops_per_token(4096) / 1e9;
        assert!((gigaflops - 51.5).abs() < 0.05, "{gigaflops}");
    }
}
