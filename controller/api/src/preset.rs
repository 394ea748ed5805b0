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

/// Smallest first.
pub const PRESETS: [Preset; 10] = [
    preset("llama-300k", 300 * K, (4, 80), 256),
    preset("llama-1m", 900 * K, (4, 128), 256),
    preset("llama-3m", 3 * M, (6, 192), 256),
    preset("llama-6m", 6 * M, (6, 288), 256),
    preset("llama-15m", 15 * M, (8, 384), 256),
    preset("llama-30m", 30 * M, (10, 512), 256),
    // The shapes of SmolLM-135M, Llama 3.2 1B and 3B, and Llama 3.1 8B, without their vocabularies.
    preset("llama-135m", 106 * M, (30, 576), 2_048),
    preset("llama-1b", 974 * M, (16, 2_048), 131_072),
    preset("llama-3b", 2_820 * M, (28, 3_072), 131_072),
    preset("llama-8b", 6_982 * M, (32, 4_096), 131_072),
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
