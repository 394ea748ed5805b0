//! A point: the SHA-256 of the canonical form of what trains a run.
//!
//! **Invariant:** points of stored runs never change. The canonical form is written here and not by
//! a library, whose spelling of numbers may move with its version.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::spec::{EvaluateSpec, PrepareSpec, RunSpec, TrainSpec};

/// The point of a run, in hex. `base_point` is the point of the run that the model comes from, for
/// a model `{run: …}`: its name is only a name. Of a run that evaluates it is the point of the weights.
///
/// What is evaluated, the run's name and its resources are not in it.
#[must_use]
pub fn point_of(spec: &RunSpec, base_point: Option<&str>) -> String {
    let value = match spec {
        RunSpec::Prepare(PrepareSpec { source: _, tokenizer, files, heldout }) => json!({
            "kind": "prepare",
            "tokenizer": tokenizer,
            "files": files,
            "heldout": heldout,
        }),
        RunSpec::Train(spec) => return point_of_train(spec, base_point),
        // a point of a file is scored on what the file says; what is scored later, on what it lacked
        RunSpec::Evaluate(EvaluateSpec { of, merge }) => {
            let hashes = of.eval.tasks.iter();
            let hashes: BTreeMap<&str, &str> =
                hashes.map(|(name, task)| (name.as_str(), task.sha256.as_str())).collect();
            let tasks = of.eval.heldout_at.is_empty().then_some(hashes);
            json!({ "kind": "evaluate", "weights": base_point, "merge": merge, "tasks": tasks })
        }
    };
    hash(&value)
}

/// The same of a run that trains.
pub(super) fn point_of_train(spec: &TrainSpec, base_point: Option<&str>) -> String {
    let TrainSpec { model, tokenizer, data, train, eval: _ } = spec;
    let model = match base_point {
        Some(point) => json!({ "run": point }),
        None => json!(model),
    };
    hash(&json!({
        "kind": "train",
        "model": model,
        "tokenizer": tokenizer,
        "data": data,
        "train": train,
    }))
}

fn hash(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

/// JSON with sorted keys, no white space, and the shortest decimal digits that give the number.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {
            write!(out, "{value}").expect("a string takes all");
        }
        Value::Number(number) => match number.as_f64() {
            // Rust shows a float by its shortest digits, without an exponent and, if it is whole,
            // without a point: 1 and 1.0 are one number.
            Some(float) if number.is_f64() => write!(out, "{float}").expect("a string takes all"),
            _ => write!(out, "{number}").expect("a string takes all"),
        },
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Sorted here: the order of a map depends on a feature that any crate can switch on.
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write!(out, "{}:", Value::from(key.as_str())).expect("a string takes all");
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes all");
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{hex, write_canonical};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_canonical_form_is_sorted_and_short() {
        let value = json!({"b": [1, 1.0, 1e-8, 3e-4], "a": {"z": null, "y": "ü\"\n"}, "c": true});
        let mut text = String::new();
        write_canonical(&value, &mut text);
        assert_eq!(text, r#"{"a":{"y":"ü\"\n","z":null},"b":[1,1,0.00000001,0.0003],"c":true}"#);
    }

    /// The first test vector of FIPS 180-4: the three letters `abc`.
    #[test]
    fn the_hash_is_sha_256_in_hex() {
        assert_eq!(
            hex(&Sha256::digest(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
