//! `merge`: weights between what a run began from and what it trained.

use super::errors::Errors;
use super::fields::{Fields, Keys, Placed, join};
use super::value;
use super::yaml::{Content, Node};

const MERGE: Keys = Keys { known: &["weights", "method"], later: &[] };

/// Shares of the trained weights, ascending, and where the first stands; empty: nothing is merged.
pub(super) fn read(file: &Fields<'_>, errors: &mut Errors) -> Vec<Placed<f64>> {
    let Some(entry) = file.entry("merge") else { return Vec::new() };
    let Some(fields) = Fields::open(&entry.value, "merge", MERGE, errors) else {
        return Vec::new();
    };
    let later = ["slerp", "task_arithmetic", "ties"];
    fields.value("method", |node| value::word(node, &[("linear", ())], &later), errors);
    let Some(entry) = fields.entry("weights") else {
        let message = "no default for weights: the shares of the trained weights, for example \
                       `weights: [0.25, 0.5, 0.75]`";
        errors.add(entry.place, "merge.weights", message);
        return Vec::new();
    };
    let Content::List(nodes) = &entry.value.content else {
        let message =
            format!("expected a list such as [0.25, 0.5, 0.75], found {}", entry.value.describe());
        errors.add(entry.value.place, "merge.weights", message);
        return Vec::new();
    };
    if nodes.is_empty() {
        errors.add(entry.value.place, "merge.weights", "an empty list merges nothing");
    }
    let mut weights: Vec<Placed<f64>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match weight(node, &weights) {
            Ok(value) => weights.push(Placed { value, place: node.place }),
            Err(message) => {
                errors.add(node.place, &join("merge.weights", &index.to_string()), message);
            }
        }
    }
    weights.sort_by(|left, right| left.value.total_cmp(&right.value));
    weights
}

fn weight(node: &Node, known: &[Placed<f64>]) -> value::Read<f64> {
    let share = value::share(node)?;
    if share <= 0.0 || 1.0 <= share {
        return Err(format!(
            "expected a share between 0 and 1, found {share}: 0 is what the run began from, scored at \
             its step 0, and 1 is the run itself"
        ));
    }
    if known.iter().any(|weight| weight.value.to_bits() == share.to_bits()) {
        return Err(format!("{share} comes twice"));
    }
    Ok(share)
}
