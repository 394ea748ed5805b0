//! docs/sweep.schema.json, as a validator that knows nothing of Assay reads it: editors have one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use assay_api::sweep::SCHEMA;
use serde_json::{Value, json};

use super::{outside, root};

/// Bad files that a schema cannot tell from good ones, and why.
const MEANT: [&[&str]; 6] = [
    // what YAML has taken away or made of it
    &["nul-escape", "quoted-number", "tag"],
    // names that have to be somewhere else in the file, or in a run
    &[
        "axis-eval",
        "axis-no-path",
        "first-circle",
        "first-typo",
        "mixture-source",
        "of-base-unknown",
    ],
    // sums, and how large a number is
    &[
        "axis-share-no-proportion",
        "axis-share-over-one",
        "axis-shares-over-one",
        "axis-shares-under-one",
        "long-value",
        "measured-too-often",
        "merge-from-nothing",
        "model-folder-context",
        "random-too-few",
        "random-too-many",
        "shares-over-one",
        "shares-under-one",
        "too-many-points",
        "warmup-and-decay",
        "warmup-too-long",
    ],
    // what a value may be depends on the path that the axis has, or on another axis
    &[
        "axis-of-base",
        "axis-overlap",
        "axis-twice",
        "axis-value-type",
        "design-zip",
        "range-exclude",
    ],
    // what a key may be depends on another
    &[
        "first-leak",
        "inverse-sqrt-no-warmup",
        "missing-mixture",
        "model-folder",
        "of-base-wrong",
        "range-in-grid",
    ],
    // what a word of a timetable says
    &[
        "schedule-minute",
        "schedule-never",
        "schedule-range",
        "schedule-step",
        "schedule-step-zero",
        "schedule-word",
        "schedule-zone",
    ],
];

/// Every YAML file of a folder, by its name; those that are no YAML are none.
fn files(folder: &str) -> BTreeMap<String, Option<Value>> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_yaml = |path: &Path| path.extension().is_some_and(|end| end == "yaml");
    let read = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let file = serde_yaml::from_str(&text).and_then(|mut file: serde_yaml::Value| {
            file.apply_merge()?; // `<<`
            serde_yaml::from_value(file)
        });
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), file.ok())
    };
    paths.filter(|path| is_yaml(path)).map(|path| read(&path)).collect()
}

/// Why each is refused, if it is.
fn judge(schema: &Value, documents: &BTreeMap<String, Value>) -> BTreeMap<String, Option<String>> {
    let mut python = outside("python");
    python.arg(root().join("tests/outside/judge.py"));
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({ "schema": schema, "documents": documents }).to_string();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the schema is none, see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

#[test]
fn every_example_is_one_to_the_schema() {
    let read = |(name, file): (String, Option<Value>)| (name, file.expect("an example is YAML"));
    let examples: BTreeMap<_, _> = files("examples").into_iter().map(read).collect();
    assert!(3 <= examples.len());
    for (name, why) in judge(&schema(), &examples) {
        assert_eq!(why, None, "examples/{name}.yaml");
    }
}

#[test]
fn a_file_that_is_wrong_in_its_structure_is_none_to_the_schema() {
    let bad = files("controller/api/tests/bad");
    let bad = bad.into_iter().filter_map(|(name, file)| Some((name, file?))).collect();
    let judged = judge(&schema(), &bad);
    let passed = judged.iter().filter(|(_, why)| why.is_none()).map(|(name, _)| name.as_str());
    assert_eq!(passed.collect::<BTreeSet<_>>(), MEANT.concat().into_iter().collect());
}
