//! Folders of models: they come from people, and nothing says what they were.

use std::fs;

use assay_trainer::engine::{HostTensor, Tensors};
use assay_trainer::{hugging_face, model, safetensors};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Map;
use tempfile::TempDir;

use super::{cases, damage};

/// What a config may claim.
const NUMBERS: [&str; 9] = [
    "0",
    "-1",
    "1e99",
    "9223372036854775807",
    "18446744073709551616",
    "null",
    "\"2\"",
    "2.5",
    "[]",
];

/// The smallest model that is one.
fn lay(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = model::Config {
        vocabulary: 4,
        width: 4,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_width: 2,
        ffn: 4,
        ..model::preset("llama-300k").unwrap()
    };
    let tensors: Tensors = config
        .parameters()
        .into_iter()
        .map(|(name, shape)| {
            let values = vec![0.5; shape.iter().product()];
            (name, HostTensor { shape, values })
        })
        .collect();
    let mut weights = Vec::new();
    safetensors::write(&mut weights, &tensors).unwrap();
    let json =
        serde_json::to_vec_pretty(&hugging_face::json(&config, "float32", &Map::new())).unwrap();
    for (name, bytes) in [("model.safetensors", weights), ("config.json", json)] {
        fs::write(folder.path().join(name), change(name, bytes)).unwrap();
    }
    folder
}

fn is_sound(folder: &TempDir) -> Result<(), TestCaseError> {
    match hugging_face::load(folder.path()) {
        Ok(loaded) => {
            prop_assert!(loaded.config.check().is_ok());
            for (name, shape) in loaded.config.parameters() {
                let tensor = loaded.weights.tensor(&name).expect("read");
                prop_assert_eq!(tensor.values.len(), shape.iter().product::<usize>());
                prop_assert_eq!(tensor.shape, shape);
            }
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.contains(&folder.path().display().to_string()), "{text}");
        }
    }
    Ok(())
}

#[test]
fn undamaged_it_is_read() {
    let folder = lay(|_, bytes| bytes);
    hugging_face::load(folder.path()).unwrap();
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_damaged_model_is_one_or_an_error_that_names_the_file(of_config: bool, damage in damage()) {
        let hit = if of_config { "config.json" } else { "model.safetensors" };
        is_sound(&lay(|name, bytes| if name == hit { damage.of(&bytes) } else { bytes }))?;
    }

    /// Most of a file are weights: its header is hit on purpose.
    #[test]
    fn a_damaged_header_is_one_or_an_error_that_names_the_file(at: Index, bit in 0..8_u8) {
        let flip = |name: &str, mut bytes: Vec<u8>| {
            if name == "model.safetensors" {
                let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                let header = usize::try_from(header).unwrap();
                let at = at.index(8 + header);
                bytes[at] ^= 1 << bit;
            }
            bytes
        };
        is_sound(&lay(flip))?;
    }

    #[test]
    fn a_config_that_claims_anything_is_one_or_an_error_that_names_the_file(
        at: Index,
        number in select(&NUMBERS[..]),
    ) {
        let claim = |name: &str, bytes: Vec<u8>| {
            if name != "config.json" {
                return bytes;
            }
            let mut json: Map<String, serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
            let key = json.keys().nth(at.index(json.len())).unwrap().clone();
            json.insert(key, serde_json::from_str(number).unwrap());
            serde_json::to_vec(&json).unwrap()
        };
        is_sound(&lay(claim))?;
    }
}
