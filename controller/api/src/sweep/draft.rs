//! One run as the file writes it: typed, placed, and without the defaults.

mod data;
mod train;

use std::collections::BTreeMap;

use super::errors::{Errors, Place, did_you_mean};
use super::fields::{Fields, Keys, Placed, entries, join};
use super::limits::NAMES_MAX;
use super::value::{self, Span};
use super::yaml::{Content, Entry, Node};
use crate::preset;
use crate::spec::{Model, Tokenizer};

pub(crate) use data::{DataDraft, SourceDraft};
pub(crate) use train::{LrDraft, Peak, TrainDraft};

#[derive(Clone, Debug)]
pub(crate) struct RunDraft {
    pub(crate) model: Placed<Model>,
    /// The peak that the model's weights were trained with, as the file says it.
    pub(crate) pretraining_lr: Option<f64>,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) data: DataDraft,
    pub(crate) train: TrainDraft,
    pub(crate) eval: EvalDraft,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EvalDraft {
    pub(crate) heldout_every: Option<Placed<Span>>,
    pub(crate) tasks: BTreeMap<String, TaskDraft>,
}

#[derive(Clone, Debug)]
pub(crate) struct TaskDraft {
    pub(crate) path: String,
    pub(crate) every: Option<Placed<Span>>,
}

const RUN: Keys = Keys {
    known: &["model", "tokenizer", "data", "train", "eval"],
    later: &["merge", "command", "evaluate"],
};
const MODEL: Keys = Keys { known: &["preset", "from", "run", PRETRAINING_LR], later: &[] };
const PRETRAINING_LR: &str = "pretraining_lr";
const EVAL: Keys =
    Keys { known: &["heldout_every", "tasks"], later: &["heldout_at", "suite", "generate"] };
const TASK: Keys = Keys { known: &["path", "every"], later: &["at", "fewshot", "limit"] };

impl RunDraft {
    /// None: something without which there is no run is missing or wrong; `errors` says what.
    pub(crate) fn read(
        node: &Node,
        path: &str,
        first: &[String],
        errors: &mut Errors,
    ) -> Option<Self> {
        let fields = Fields::open(node, path, RUN, errors)?;
        let model = model(&fields, first, errors);
        let tokenizer = fields.value("tokenizer", tokenizer, errors);
        if let (Some((Placed { value: Model::From(_), place }, _)), None) =
            (&model, fields.entry("tokenizer"))
        {
            errors.add(
                *place,
                &join(path, "tokenizer"),
                "a folder's own tokenizer is not there yet; write `tokenizer: bytes` if the model \
                 was trained on bytes",
            );
        }
        let missing = "no default for data: write at least `data: {sources: {name: {path: \
                       file.jsonl}}}`";
        let data = section(&fields, "data", missing, errors)
            .and_then(|(node, path)| DataDraft::read(node, &path, errors));
        let missing = "no default for train: write at least `train: {tokens: 10M, lr: {peak: \
                       1e-3}}`";
        let train = section(&fields, "train", missing, errors)
            .and_then(|(node, path)| TrainDraft::read(node, &path, errors));
        let eval = match fields.entry("eval") {
            Some(entry) => eval(&entry.value, &join(path, "eval"), errors),
            None => EvalDraft::default(),
        };
        let tokenizer = tokenizer.map(|placed| placed.value);
        let (model, pretraining_lr) = model?;
        Some(Self { model, pretraining_lr, tokenizer, data: data?, train: train?, eval })
    }
}

fn section<'n>(
    fields: &Fields<'n>,
    key: &str,
    missing: &str,
    errors: &mut Errors,
) -> Option<(&'n Node, String)> {
    let path = join(fields.path, key);
    let Some(entry) = fields.entry(key) else {
        errors.add(fields.node.place, &path, missing);
        return None;
    };
    Some((&entry.value, path))
}

const MODEL_EXPECTED: &str = "{preset: llama-1m}, {from: ./folder} or {run: name of a `first` run}";

/// The model, and the peak that its weights were trained with where the file says it.
fn model(
    fields: &Fields<'_>,
    first: &[String],
    errors: &mut Errors,
) -> Option<(Placed<Model>, Option<f64>)> {
    let missing = format!("no default for model: write {MODEL_EXPECTED}");
    let (node, path) = section(fields, "model", &missing, errors)?;
    if !matches!(node.content, Content::Map(_)) {
        let message = format!("expected {MODEL_EXPECTED}, found {}", node.describe());
        errors.add(node.place, &path, message);
        return None;
    }
    let fields = Fields::open(node, &path, MODEL, errors)?;
    let origins = MODEL.known.iter().copied().filter(|key| *key != PRETRAINING_LR);
    let written: Vec<&str> = origins.filter(|key| fields.entry(key).is_some()).collect();
    if written.len() != 1 {
        let found = if written.is_empty() {
            "none of them".to_owned()
        } else {
            format!("`{}` at once", written.join("` and `"))
        };
        errors.add(node.place, &path, format!("expected one of {MODEL_EXPECTED}, found {found}"));
        return None;
    }
    let preset =
        fields.value("preset", preset_name, errors).map(|name| name.value).map(Model::Preset);
    let from = fields.value("from", folder, errors).map(|path| path.value).map(Model::From);
    let run = fields.value("run", |node| run_name(node, first), errors);
    let run = run.map(|name| Model::Run(name.value));
    let pretraining_lr = fields.value(PRETRAINING_LR, value::above_zero, errors);
    if let (Some(_), Some(Placed { place, .. })) = (&preset, pretraining_lr) {
        let message = "a preset is trained from scratch: it was not pretrained with any rate";
        errors.add(place, &join(&path, PRETRAINING_LR), message);
    }
    let model = Placed { value: preset.or(from).or(run)?, place: node.place };
    Some((model, pretraining_lr.map(|rate| rate.value)))
}

fn preset_name(node: &Node) -> value::Read<String> {
    let name = value::text(node)?;
    if preset::find(&name).is_some() {
        return Ok(name);
    }
    let names = || preset::PRESETS.iter().map(|preset| preset.name);
    let hint = did_you_mean(&name, names());
    let known = names().collect::<Vec<_>>().join(", ");
    Err(format!("unknown preset `{name}`{hint} (known: {known})"))
}

fn folder(node: &Node) -> value::Read<String> {
    local(value::text(node)?)
}

fn run_name(node: &Node, first: &[String]) -> value::Read<String> {
    let name = value::text(node)?;
    if name.contains('/') {
        return Err(format!(
            "`{name}`: a run of another sweep is not there yet; name a run under `first:`"
        ));
    }
    if first.contains(&name) {
        return Ok(name);
    }
    let hint = did_you_mean(&name, first.iter().map(String::as_str));
    let known = if first.is_empty() {
        "nothing stands there yet".to_owned()
    } else {
        format!("known: {}", first.join(", "))
    };
    Err(format!("no run `{name}` under `first:`{hint} ({known})"))
}

fn tokenizer(node: &Node) -> value::Read<Tokenizer> {
    if let Content::Plain(text) | Content::Quoted(text) = &node.content
        && text.ends_with(".json")
    {
        return Err(format!(
            "`{text}`: tokenizer files are not there yet; the tokenizer of this version is `bytes`"
        ));
    }
    value::word(node, &[("bytes", Tokenizer::Bytes)], &[])
}

/// A path on this machine: object storage comes later.
pub(crate) fn local(path: String) -> value::Read<String> {
    if path.contains("://") {
        return Err(format!("`{path}`: only local paths are there yet; copy it here first"));
    }
    Ok(path)
}

fn eval(node: &Node, path: &str, errors: &mut Errors) -> EvalDraft {
    let Some(fields) = Fields::open(node, path, EVAL, errors) else {
        return EvalDraft::default();
    };
    let heldout_every = fields.value("heldout_every", value::interval, errors);
    let mut tasks = BTreeMap::new();
    if let Some(entry) = fields.entry("tasks") {
        let path = join(path, "tasks");
        let listed = entries(&entry.value, &path, errors).unwrap_or_default();
        let listed = few("tasks", listed, entry.place, &path, errors).map_or(&[][..], |()| listed);
        for entry in listed {
            let path = join(&path, &entry.key);
            check_name(&entry.key, entry.place, &path, errors);
            if let Some(task) = task(&entry.value, &path, errors) {
                tasks.insert(entry.key.clone(), task);
            }
        }
    }
    EvalDraft { heldout_every, tasks }
}

fn task(node: &Node, path: &str, errors: &mut Errors) -> Option<TaskDraft> {
    let fields = Fields::open(node, path, TASK, errors)?;
    let missing = "no default for path: the task file, as lm-evaluation-harness writes it";
    let file = fields.required("path", |node| local(value::text(node)?), missing, errors);
    let every = fields.value("every", value::interval, errors);
    Some(TaskDraft { path: file?.value, every })
}

/// None: they are too many, which is said.
pub(crate) fn few(
    what: &str,
    entries: &[Entry],
    place: Place,
    path: &str,
    errors: &mut Errors,
) -> Option<()> {
    if entries.len() <= NAMES_MAX {
        return Some(());
    }
    errors.add(place, path, format!("{} {what}; the limit is {NAMES_MAX}", entries.len()));
    None
}

pub(crate) fn check_name(name: &str, place: Place, path: &str, errors: &mut Errors) {
    if let Err(message) = value::name(name) {
        errors.add(place, path, message);
    }
}
