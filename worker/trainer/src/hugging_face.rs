//! `config.json` and weights, as Hugging Face writes them.
//!
//! There are two ways to write the rotation and the dtype: transformers 5 has `rope_parameters` and
//! `dtype`, older files `rope_theta`, `rope_scaling` and `torch_dtype`. Both are read, and both are
//! written, so that either generation opens what is trained here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::by_name::{ByName, Shapes};
use crate::engine::HostTensor;
use crate::model::{Config, HEAD, Head, Llama3Scaling};
use crate::safetensors::{self, Opened, SafetensorsError};

pub const CONFIG: &str = "config.json";
pub const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Why a folder cannot be used as a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {problem}")]
    Config { path: String, problem: String },
    #[error(transparent)]
    Weights(#[from] SafetensorsError),
    #[error("the weights in {folder} do not fit its {CONFIG}: {problem}")]
    Unfit { folder: String, problem: String },
}

/// A model read from a folder.
pub struct Loaded {
    pub config: Config,
    /// The whole file: keys that mean nothing here are handed on when the model is written again.
    pub json: Map<String, Value>,
    pub weights: Box<dyn ByName>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Reads `config.json` and the weights that it asks for, in one file or with an index.
pub fn load(folder: &Path) -> Result<Loaded, ModelError> {
    let path = folder.join(CONFIG);
    let failed = |source| ModelError::Read { path: path.display().to_string(), source };
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let refused = |problem| ModelError::Config { path: path.display().to_string(), problem };
    let json: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
    let config = parse(&json).map_err(refused)?;
    let mut weights = Weights::default();
    for file in weight_files(folder)? {
        let file = safetensors::open(&file)?;
        weights.shapes.extend(file.shapes());
        weights.files.push(file);
    }
    if config.head == Head::Tied {
        // Some files hold the tied head as a second copy.
        let _copy = weights.shapes.remove(HEAD);
    }
    weights.shapes.retain(|name, _| !name.ends_with(".rotary_emb.inv_freq"));
    fit(&config, &weights.shapes)
        .map_err(|problem| ModelError::Unfit { folder: folder.display().to_string(), problem })?;
    Ok(Loaded { config, json, weights: Box::new(weights) })
}

/// In one file or several: the last that has a tensor counts.
#[derive(Debug, Default)]
struct Weights {
    files: Vec<Opened>,
    shapes: Shapes,
}

impl ByName for Weights {
    fn shapes(&self) -> Shapes {
        self.shapes.clone()
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        let mut files = self.files.iter().rev();
        let found = files.find(|file| file.has(name));
        Ok(found.with_context(|| format!("there is no {name}"))?.read(name)?)
    }
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let failed = |source| ModelError::Read { path: index.display().to_string(), source };
    let text = std::fs::read_to_string(&index).map_err(failed)?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| ModelError::Config {
        path: index.display().to_string(),
        problem: error.to_string(),
    })?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether these are exactly the parameters of such a model.
pub(crate) fn fit(config: &Config, weights: &Shapes) -> Result<(), String> {
    let expected = config.parameters();
    for (name, shape) in &expected {
        match weights.get(name) {
            None => return Err(format!("{name} is missing")),
            Some(found) if found != shape => {
                return Err(format!("{name} has the shape {found:?}, not {shape:?}"));
            }
            Some(_) => {}
        }
    }
    match weights.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(format!("{name} is no parameter of a Llama without biases")),
        None => Ok(()),
    }
}

/// Reads the dimensions; the error names the key and what it should hold.
pub fn parse(json: &Map<String, Value>) -> Result<Config, String> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    if text("model_type") != Some("llama") {
        let found = json.get("model_type").unwrap_or(&Value::Null);
        return Err(format!("`model_type` is {found}; only \"llama\" is trained"));
    }
    if let Some(activation) = text("hidden_act").filter(|activation| *activation != "silu") {
        return Err(format!("`hidden_act` is \"{activation}\"; only \"silu\" is trained"));
    }
    for key in ["attention_bias", "mlp_bias"] {
        if json.get(key).and_then(Value::as_bool) == Some(true) {
            return Err(format!("`{key}` is true; biases are not trained"));
        }
    }
    let width = whole(json, "hidden_size")?;
    let heads = whole(json, "num_attention_heads")?;
    let or = |key: &str, default: usize| {
        if has(json, key) { whole(json, key) } else { Ok(default) }
    };
    let rope = Rope::parse(json)?;
    let config = Config {
        vocabulary: whole(json, "vocab_size")?,
        width,
        layers: whole(json, "num_hidden_layers")?,
        heads,
        kv_heads: or("num_key_value_heads", heads)?,
        head_width: or("head_dim", width / heads.max(1))?,
        ffn: whole(json, "intermediate_size")?,
        context: or("max_position_embeddings", 2048)?,
        rope_theta: rope.theta,
        rope_scaling: rope.scaling,
        norm_eps: if has(json, "rms_norm_eps") { number(json, "rms_norm_eps")? } else { 1e-6 },
        head: match json.get("tie_word_embeddings").and_then(Value::as_bool) {
            Some(true) => Head::Tied,
            Some(false) | None => Head::Own,
        },
    };
    config.check()?;
    Ok(config)
}

struct Rope {
    theta: f64,
    scaling: Option<Llama3Scaling>,
}

impl Rope {
    fn parse(json: &Map<String, Value>) -> Result<Self, String> {
        let object = |key: &str| json.get(key).and_then(Value::as_object);
        let Some(parameters) = object("rope_parameters").or_else(|| object("rope_scaling")) else {
            return Ok(Self { theta: Self::theta(json, None)?, scaling: None });
        };
        let theta = Self::theta(json, Some(parameters))?;
        // The oldest files call it `type`.
        let kind = parameters.get("rope_type").or_else(|| parameters.get("type"));
        let scaling = match kind.and_then(Value::as_str).unwrap_or("default") {
            "default" => None,
            "llama3" => Some(Llama3Scaling {
                factor: number(parameters, "factor")?,
                low_freq_factor: number(parameters, "low_freq_factor")?,
                high_freq_factor: number(parameters, "high_freq_factor")?,
                original_context: whole(parameters, "original_max_position_embeddings")?,
            }),
            other => {
                return Err(format!(
                    "`rope_type` is \"{other}\"; \"default\" and \"llama3\" are trained"
                ));
            }
        };
        Ok(Self { theta, scaling })
    }

    fn theta(
        json: &Map<String, Value>,
        parameters: Option<&Map<String, Value>>,
    ) -> Result<f64, String> {
        let holders = parameters.into_iter().chain([json]);
        match holders.into_iter().find(|holder| has(holder, "rope_theta")) {
            Some(holder) => number(holder, "rope_theta"),
            None => Ok(10_000.0),
        }
    }
}

fn has(json: &Map<String, Value>, key: &str) -> bool {
    json.get(key).is_some_and(|value| !value.is_null())
}

fn whole(json: &Map<String, Value>, key: &str) -> Result<usize, String> {
    let value = json.get(key).unwrap_or(&Value::Null);
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("`{key}` is {value}, not a whole number"))
}

fn number(json: &Map<String, Value>, key: &str) -> Result<f64, String> {
    let value = json.get(key).unwrap_or(&Value::Null);
    value.as_f64().ok_or_else(|| format!("`{key}` is {value}, not a number"))
}

/// `config.json` of these dimensions and of weights in this format, over the keys of the file that the model came
/// from.
#[must_use]
pub fn json(config: &Config, dtype: &str, base: &Map<String, Value>) -> Map<String, Value> {
    let mut rope = json!({ "rope_type": "default", "rope_theta": config.rope_theta });
    let mut scaling = Value::Null;
    if let Some(llama3) = config.rope_scaling {
        scaling = json!({
            "rope_type": "llama3",
            "factor": llama3.factor,
            "low_freq_factor": llama3.low_freq_factor,
            "high_freq_factor": llama3.high_freq_factor,
            "original_max_position_embeddings": llama3.original_context,
        });
        rope = scaling.clone();
        rope["rope_theta"] = json!(config.rope_theta);
    }
    let ours = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": config.head == Head::Tied,
        "rope_parameters": rope,
        "rope_theta": config.rope_theta,
        "rope_scaling": scaling,
        "dtype": dtype,
        "torch_dtype": dtype,
    });
    let mut all = base.clone();
    if let Value::Object(ours) = ours {
        all.extend(ours);
    }
    all
}

/// The keys that a preset trained on bytes adds: documents end, and begin after, token 256.
#[must_use]
pub fn bytes_tokens() -> Map<String, Value> {
    let end = crate::data::END_OF_DOCUMENT;
    let keys = [("bos_token_id", json!(end)), ("eos_token_id", json!(end))];
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).expect("an object")
    }

    fn base() -> Map<String, Value> {
        object(json!({
            "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
            "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
            "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": true, "hidden_act": "silu",
        }))
    }

    #[test]
    fn both_ways_to_write_a_rotation_say_the_same() {
        let scaling = json!({ "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3" });
        let mut older = base();
        older.insert("rope_theta".to_owned(), json!(500_000.0));
        older.insert("rope_scaling".to_owned(), scaling.clone());
        let mut newer = base();
        let mut parameters = scaling;
        parameters["rope_theta"] = json!(500_000.0);
        newer.insert("rope_parameters".to_owned(), parameters);
        newer.insert("head_dim".to_owned(), json!(64));

        let config = parse(&older).unwrap();
        assert_eq!(parse(&newer).unwrap(), config);
        assert_eq!((config.rope_theta, config.head_width, config.head), (5e5, 64, Head::Tied));
        let expected = Llama3Scaling {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        assert_eq!(config.rope_scaling, Some(expected));
    }

    #[test]
    fn what_is_left_out_has_transformers_defaults() {
        let mut json = base();
        for key in ["num_key_value_heads", "max_position_embeddings", "rms_norm_eps"] {
            json.remove(key);
        }
        json.insert("tie_word_embeddings".to_owned(), json!(false));
        json.insert("rope_scaling".to_owned(), Value::Null);
        let config = parse(&json).unwrap();
        assert_eq!((config.kv_heads, config.context, config.norm_eps), (32, 2048, 1e-6));
        assert_eq!((config.rope_theta, config.rope_scaling), (10_000.0, None));
        assert_eq!(config.head, Head::Own);
    }

    #[test]
    fn what_is_written_is_read_again_with_foreign_keys_kept() {
        for (name, scaling) in [
            ("llama-1m", None),
            (
                "llama-8b",
                Some(Llama3Scaling {
                    factor: 8.0,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original_context: 8192,
                }),
            ),
        ] {
            let config = Config { rope_scaling: scaling, ..preset(name).unwrap() };
            let written = super::json(&config, "float32", &object(json!({ "eos_token_id": 7 })));
            assert_eq!(parse(&written).unwrap(), config);
            assert_eq!(written["eos_token_id"], 7);
            // What each generation of transformers reads.
            let mut older = written.clone();
            older.remove("rope_parameters");
            assert_eq!(parse(&older).unwrap(), config);
            let mut newer = written;
            newer.remove("rope_theta");
            newer.remove("rope_scaling");
            assert_eq!(parse(&newer).unwrap(), config);
        }
    }

    #[test]
    fn what_is_not_a_plain_llama_is_refused_by_name() {
        for (key, value, reason) in [
            ("model_type", json!("qwen2"), "`model_type` is \"qwen2\""),
            ("hidden_act", json!("gelu"), "`hidden_act` is \"gelu\""),
            ("attention_bias", json!(true), "`attention_bias` is true"),
            ("hidden_size", json!("big"), "`hidden_size` is \"big\", not a whole number"),
            ("rope_scaling", json!({ "type": "yarn" }), "`rope_type` is \"yarn\""),
            ("num_key_value_heads", json!(5), "32 heads cannot share 5"),
            ("num_hidden_layers", json!(u64::MAX), "layers; the limit is 10000"),
            ("vocab_size", json!(1_u64 << 40), "a dimension of 1099511627776; the limit is"),
        ] {
            let mut json = base();
            json.insert(key.to_owned(), value);
            let error = parse(&json).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
