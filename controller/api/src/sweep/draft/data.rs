//! `data:` as the file writes it.

use std::collections::BTreeMap;

use super::super::errors::{Errors, Place, did_you_mean};
use super::super::fields::{Fields, Keys, Placed, entries, join};
use super::super::value;
use super::super::yaml::Node;
use super::{check_name, few, local};

#[derive(Clone, Debug)]
pub(crate) struct DataDraft {
    pub(crate) heldout_share: Option<f64>,
    pub(crate) heldout_tokens: Option<u64>,
    pub(crate) sources: BTreeMap<String, SourceDraft>,
    /// Sums to 1. None: left out, which only a single source allows.
    pub(crate) mixture: Option<BTreeMap<String, f64>>,
    pub(crate) document_masks: Option<bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct SourceDraft {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) field: Option<String>,
    pub(crate) group_by: Option<String>,
    pub(crate) slices: Vec<String>,
}

const DATA: Keys =
    Keys { known: &["heldout", "sources", "mixture", "document_masks"], later: &["stages", "fim"] };
const HELDOUT: Keys = Keys { known: &["share", "tokens"], later: &["documents"] };
const SOURCE: Keys = Keys {
    known: &["path", "field", "group_by", "slices"],
    later: &["format", "dataset", "weight_by"],
};

/// A share written with a few digits (33.3 %) may miss the sum by this much.
pub(crate) const SUM_TOLERANCE: f64 = 1e-6;

impl DataDraft {
    pub(crate) fn read(node: &Node, path: &str, errors: &mut Errors) -> Option<Self> {
        let fields = Fields::open(node, path, DATA, errors)?;
        let (mut heldout_share, mut heldout_tokens) = (None, None);
        let heldout_path = join(path, "heldout");
        if let Some(entry) = fields.entry("heldout")
            && let Some(heldout) = Fields::open(&entry.value, &heldout_path, HELDOUT, errors)
        {
            heldout_share = heldout.value("share", value::heldout_share, errors);
            heldout_tokens = heldout.value("tokens", value::tokens, errors);
        }
        let sources = sources(&fields, errors);
        let names: Vec<&str> = match fields.entry("sources") {
            // A source with a mistake in it is still a known name.
            Some(entry) => entries(&entry.value, path, &mut Errors::default())
                .unwrap_or_default()
                .iter()
                .map(|entry| entry.key.as_str())
                .collect(),
            None => Vec::new(),
        };
        let mixture = mixture(&fields, &names, errors);
        let document_masks = fields.value("document_masks", value::truth, errors);
        Some(Self {
            heldout_share: heldout_share.map(|share| share.value),
            heldout_tokens: heldout_tokens.map(|tokens| tokens.value),
            sources: sources?,
            mixture,
            document_masks: document_masks.map(|masks| masks.value),
        })
    }
}

fn sources(fields: &Fields<'_>, errors: &mut Errors) -> Option<BTreeMap<String, SourceDraft>> {
    let path = join(fields.path, "sources");
    let missing = "no default for sources: write at least `sources: {name: {path: file.jsonl}}`";
    let Some(entry) = fields.entry("sources") else {
        errors.add(fields.node.place, &path, missing);
        return None;
    };
    let entries = entries(&entry.value, &path, errors)?;
    if entries.is_empty() {
        errors.add(entry.place, &path, missing);
    }
    few("sources", entries, entry.place, &path, errors)?;
    let mut sources = BTreeMap::new();
    for entry in entries {
        let path = join(&path, &entry.key);
        check_name(&entry.key, entry.place, &path, errors);
        if let Some(source) = source(&entry.value, &path, errors) {
            sources.insert(entry.key.clone(), source);
        }
    }
    Some(sources)
}

fn source(node: &Node, path: &str, errors: &mut Errors) -> Option<SourceDraft> {
    let fields = Fields::open(node, path, SOURCE, errors)?;
    let missing = "no default for path: a .jsonl file, one object per line, or a .txt file";
    let file = fields.required("path", source_path, missing, errors);
    let field = fields.value("field", value::text, errors);
    let group_by = fields.value("group_by", value::text_or_none, errors);
    let slices = fields.value("slices", value::texts, errors);
    let Placed { value: file, .. } = file?;
    if file.ends_with(".txt") {
        for key in ["field", "group_by", "slices"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` names a JSON field, and a .txt file has none");
                errors.add(entry.place, &join(path, key), message);
            }
        }
    }
    Some(SourceDraft {
        place: node.place,
        path: file,
        field: field.map(|field| field.value),
        group_by: group_by.and_then(|group_by| group_by.value),
        slices: slices.map(|slices| slices.value).unwrap_or_default(),
    })
}

fn source_path(node: &Node) -> value::Read<String> {
    let path = local(value::text(node)?)?;
    let later = [".parquet", ".jsonl.gz", ".jsonl.zst", ".json", ".csv"];
    if path.ends_with(".jsonl") || path.ends_with(".txt") {
        return Ok(path);
    }
    Err(match later.iter().find(|end| path.ends_with(**end)) {
        Some(end) => format!("`{path}`: {end} files are not there yet; expected .jsonl or .txt"),
        None => format!("expected a .jsonl or a .txt file, found `{path}`"),
    })
}

fn mixture(
    fields: &Fields<'_>,
    sources: &[&str],
    errors: &mut Errors,
) -> Option<BTreeMap<String, f64>> {
    let path = join(fields.path, "mixture");
    let Some(entry) = fields.entry("mixture") else {
        if sources.len() > 1 {
            let message = format!(
                "no default for mixture with {} sources: write the share of each, for example \
                 `mixture: {{{}}}`",
                sources.len(),
                even(sources)
            );
            errors.add(fields.node.place, &path, message);
        }
        return None;
    };
    let mut shares = BTreeMap::new();
    let entries = entries(&entry.value, &path, errors)?;
    let mut is_whole = true;
    for share in entries {
        let path = join(&path, &share.key);
        if !sources.contains(&share.key.as_str()) {
            let hint = did_you_mean(&share.key, sources.iter().copied());
            let known = sources.join(", ");
            let message = format!("no source `{}`{hint} (known: {known})", share.key);
            errors.add(share.place, &path, message);
            is_whole = false;
        }
        match value::share(&share.value) {
            Ok(value) => {
                shares.insert(share.key.clone(), value);
            }
            Err(message) => {
                errors.add(share.value.place, &path, message);
                is_whole = false;
            }
        }
    }
    let sum: f64 = shares.values().sum();
    if is_whole && (sum - 1.0).abs() > SUM_TOLERANCE {
        let message = format!("the shares sum to {}; they must sum to 1", value::shown(sum));
        errors.add(entry.place, &path, message);
    }
    Some(shares)
}

/// An even split to show as an example: the last share takes what rounding leaves.
fn even(sources: &[&str]) -> String {
    let n = value::as_float(sources.len() as u64);
    let share = (100.0 / n).floor() / 100.0;
    let last = 1.0 - share * (n - 1.0);
    let shown = |index: usize| value::shown(if index + 1 == sources.len() { last } else { share });
    let shares: Vec<String> = sources
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{name}: {}", shown(index)))
        .collect();
    shares.join(", ")
}
