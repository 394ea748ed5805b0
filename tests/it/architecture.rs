//! Who may know what: the crates' dependencies, as cargo sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Names of what each workspace crate depends on directly, without its tests' needs.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let of = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap();
        all.iter().filter(|d| d["kind"].as_str() != Some("dev")).map(name).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (name(package), of(package))).collect()
}

#[test]
fn no_crate_knows_what_it_may_not() {
    let table: [(&str, &[&str]); 9] = [
        ("assay-api", &["sqlx", "kube", "candle-core", "axum", "tokio"]),
        (
            "assay-scheduler",
            &["sqlx", "kube", "candle-core", "axum", "tokio", "serde", "rand", "chrono"],
        ),
        ("assay-series", &["sqlx", "kube", "candle-core", "axum", "tokio", "rand", "chrono"]),
        ("ctl", &["sqlx", "kube", "candle-core", "axum", "assay-controller", "assay-trainer"]),
        ("assay-controller", &["candle-core", "assay-trainer", "assay-worker"]),
        ("assay-trainer", &["sqlx", "kube", "axum", "reqwest", "tokio", "cudarc", "assay-cuda"]),
        ("assay-cuda", &["sqlx", "kube", "axum", "reqwest", "tokio", "candle-core"]),
        ("assay-worker", &["sqlx", "kube", "axum", "assay-controller", "assay-scheduler"]),
        ("assay-tests", &["candle-core"]),
    ];
    let dependencies = dependencies();
    let known: BTreeSet<&str> = table.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(known, there, "a new crate says here what it may not know");
    for (name, forbidden) in table {
        for other in forbidden {
            assert!(!dependencies[name].contains(*other), "{name} may not know {other}");
        }
    }
}

#[test]
fn the_scheduler_stands_on_nothing() {
    let own: Vec<String> = dependencies()["assay-scheduler"].iter().cloned().collect();
    assert_eq!(own, ["thiserror"]);
}
