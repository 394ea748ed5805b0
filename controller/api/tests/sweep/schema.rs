//! The JSON Schema of the file, which editors complete and check with, knows the keys that the reader
//! knows: those that the reader names where it meets one that it does not.

use std::collections::BTreeSet;

use assay_api::sweep::{SCHEMA, parse};
use serde_json::Value;

/// A file with an unknown key in every mapping that has known ones, and wrong words.
const UNKNOWN: &str = "
assay: v1
sweep: s
zzzzzz: 1
base:
  zzzzzz: 1
  model: {preset: zzzzzz, zzzzzz: 1}
  data:
    zzzzzz: 1
    heldout: {zzzzzz: 1}
    sources: {a: {path: a.txt, zzzzzz: 1}}
  train:
    zzzzzz: 1
    tokens: 1M
    engine: zzzzzz
    lr: {peak: 1, schedule: zzzzzz, zzzzzz: 1}
    adamw: {zzzzzz: 1}
  eval:
    zzzzzz: 1
    tasks: {t: {path: t.yaml, zzzzzz: 1}}
merge: {zzzzzz: 1, method: zzzzzz}
schedule: {zzzzzz: 1, overlap: zzzzzz}
resources: {zzzzzz: 1}
limits: {zzzzzz: 1}
";

/// Where the schema has what stands at a path of the file.
const PLACES: [(&str, &str); 15] = [
    ("", ""),
    ("base", "/$defs/run"),
    ("base.model", "/$defs/run/properties/model"),
    ("base.data", "/$defs/run/properties/data"),
    ("base.data.heldout", "/$defs/run/properties/data/properties/heldout"),
    ("base.data.sources.a", "/$defs/source"),
    ("base.train", "/$defs/run/properties/train"),
    ("base.train.lr", "/$defs/run/properties/train/properties/lr"),
    ("base.train.adamw", "/$defs/run/properties/train/properties/adamw"),
    ("base.eval", "/$defs/run/properties/eval"),
    ("base.eval.tasks.t", "/$defs/task"),
    ("merge", "/properties/merge"),
    ("resources", "/properties/resources"),
    ("schedule", "/properties/schedule/anyOf/1"),
    ("limits", "/properties/limits"),
];

const WORDS: [(&str, &str); 5] = [
    ("base.model.preset", "/$defs/run/properties/model/properties/preset/enum"),
    ("merge.method", "/properties/merge/properties/method/enum"),
    ("schedule.overlap", "/properties/schedule/anyOf/1/properties/overlap/enum"),
    ("base.train.engine", "/$defs/run/properties/train/properties/engine/enum"),
    (
        "base.train.lr.schedule",
        "/$defs/run/properties/train/properties/lr/properties/schedule/enum",
    ),
];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("docs/sweep.schema.json is JSON")
}

/// What the reader says it knows at a path.
fn known(path: &str, after: &str) -> BTreeSet<String> {
    let errors = parse(UNKNOWN).expect_err("nothing in it is known");
    let mut said = errors.iter().filter(|error| error.path == path);
    let list = said.find_map(|error| Some(error.message.split_once(after)?.1.to_owned()));
    let list = list.unwrap_or_else(|| panic!("nothing is said of {path}: {errors:?}"));
    list.split(')')
        .next()
        .expect("there is always a first part")
        .replace(" found `zzzzzz`", "")
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_key_of_the_reader_is_in_the_schema_and_no_other() {
    let schema = schema();
    for (path, pointer) in PLACES {
        let key = if path.is_empty() { "zzzzzz".to_owned() } else { format!("{path}.zzzzzz") };
        let reader = known(&key, "(known here: ");
        let place = schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        assert_eq!(place["additionalProperties"], Value::Bool(false), "{pointer}");
        let properties = place["properties"].as_object().unwrap();
        let own: BTreeSet<String> = properties.keys().cloned().collect();
        assert_eq!(own, reader, "keys of `{path}`, left in docs/sweep.schema.json");
        for (key, property) in properties {
            assert!(property["description"].is_string(), "{path}.{key} has no description");
        }
    }
}

#[test]
fn every_word_of_the_reader_is_in_the_schema() {
    let schema = schema();
    for (path, pointer) in WORDS {
        let after = if path.ends_with("preset") { "(known: " } else { "expected one of " };
        let reader = known(path, after);
        let own = schema.pointer(pointer).unwrap().as_array().unwrap();
        let own: BTreeSet<String> =
            own.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
        assert_eq!(own, reader, "{path}");
    }
}
