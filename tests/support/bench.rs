//! `target/bench.json`, which all benchmarks share: a list of figures, each under its name.
//!
//! Included by path, so that the trainer's benchmark needs nothing else of this crate.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One figure: ours, and the peer's from the same run where there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub unit: String,
    pub ours: f64,
    pub peer: Option<f64>,
    /// Over 1: ours is better.
    pub ratio: Option<f64>,
}

/// Writes figures over those of the same name, and leaves the others.
///
/// # Panics
/// If the file cannot be written.
pub fn record(figures: &[Figure]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = path.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    let path = root.expect("a workspace").join("target/bench.json");
    let stored = std::fs::read(&path).unwrap_or_default();
    let mut all: Vec<Figure> = serde_json::from_slice(&stored).unwrap_or_default();
    all.retain(|stored| figures.iter().all(|figure| figure.name != stored.name));
    all.extend_from_slice(figures);
    let text = serde_json::to_string_pretty(&all).expect("numbers and names");
    std::fs::write(&path, text + "\n").expect("target/ is there");
}
