//! The models that can be trained from scratch, by name.
//!
//! The trainer holds their exact configuration; here is what planning needs: a context to default
//! to, and sizes to estimate the arithmetic from.

/// One preset of the Llama family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    pub name: &'static str,
    /// All parameters, with the vocabulary of the `bytes` tokenizer: about, for estimates.
    pub parameters: u64,
    pub layers: u32,
    pub width: u32,
    /// The context that it is made for: the default of `train.context`, up to 4,096.
    pub context: u32,
}

const K: u64 = 1_000;
const M: u64 = 1_000 * K;

/// Smallest first: name, parameters, (layers, width), context.
pub const PRESETS: [Preset; 11] = [
    preset("llama-300k", 321 * K, (3, 96), 256),
    preset("llama-1m", 920 * K, (4, 128), 256),
    preset("llama-3m", 2_850 * K, (6, 192), 256),
    preset("llama-6m", 6_040 * K, (7, 256), 256),
    preset("llama-15m", 14_900 * K, (9, 384), 256),
    preset("llama-30m", 29_600 * K, (10, 512), 256),
    preset("llama-60m", 57_700 * K, (13, 640), 256),
    preset("llama-135m", 132 * M, (21, 768), 2_048),
    preset("llama-1b", 974 * M, (16, 2_048), 8_192),
    preset("llama-3b", 2_820 * M, (28, 3_072), 8_192),
    preset("llama-8b", 6_980 * M, (32, 4_096), 8_192),
];

const fn preset(
    name: &'static str,
    parameters: u64,
    (layers, width): (u32, u32),
    context: u32,
) -> Preset {
    Preset { name, parameters, layers, width, context }
}

#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
