//! The files that a sweep names: there, large enough, and pinned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use assay_api::expand::{Expansion, source_tokens_needed};
use assay_api::spec::{EvaluateSpec, Model, RunSpec, TrainSpec};
use assay_api::sweep::limits::{TASK_BYTES_MAX, TASK_DATA_BYTES_MAX};
use assay_api::view::{FileError, SourceUse};
use sha2::{Digest, Sha256};

/// Files that are not there, and sources that some run would pass over too often (2305.16264).
pub(super) fn check(expansion: &Expansion, file: &str) -> Vec<FileError> {
    let mut errors = Vec::new();
    for (name, path) in files(expansion) {
        if let Err(error) = fs::File::open(&path) {
            let message = format!(
                "the workers cannot read {path} ({error}): write the path of a file on this machine, \
                 absolute or relative to the sweep file"
            );
            errors.push(at(file, &format!("data.sources.{name}.path"), &path, message));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    let limit = expansion.limits.epochs;
    for used in uses(expansion) {
        if limit < used.epochs_max {
            let message = format!(
                "some run would see `{}` {:.1} times (about {} tokens in the file), over `limits.epochs` = \
                 {limit}: give it more data, a smaller share or fewer tokens, or raise the limit",
                used.source, used.epochs_max, used.tokens
            );
            errors.push(at(file, &format!("data.sources.{}", used.source), &used.source, message));
        }
    }
    errors
}

/// Files that lie where the pool's workers do not see them, by the pool's own word.
pub(super) fn unreadable(
    expansion: &Expansion,
    file: &str,
    cannot_read: impl Fn(&str) -> Option<String>,
) -> Vec<FileError> {
    let sources = files(expansion).into_iter();
    let sources = sources.map(|(name, path)| (format!("data.sources.{name}.path"), path));
    let named = sources.chain(tasks(expansion)).chain(folders(expansion));
    let error = |(place, path): (String, String)| {
        cannot_read(&path).map(|why| at(file, &place, &path, format!("{path}: {why}")))
    };
    named.filter_map(error).collect()
}

fn trained(expansion: &Expansion) -> impl Iterator<Item = &TrainSpec> {
    expansion.runs.iter().filter_map(|run| match &run.spec {
        RunSpec::Train(train) => Some(train),
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => None,
    })
}

fn tasks(expansion: &Expansion) -> BTreeSet<(String, String)> {
    let tasks = trained(expansion).flat_map(|train| &train.eval.tasks);
    tasks.map(|(name, task)| (format!("eval.tasks.{name}.path"), task.path.clone())).collect()
}

fn folders(expansion: &Expansion) -> BTreeSet<(String, String)> {
    let folder = |train: &TrainSpec| match &train.model {
        Model::From(path) => Some(("base.model.from".to_owned(), path.clone())),
        Model::Preset(_) | Model::Run(_) => None,
    };
    trained(expansion).filter_map(folder).collect()
}

fn files(expansion: &Expansion) -> BTreeSet<(String, String)> {
    let of = |spec: &RunSpec| match spec {
        RunSpec::Prepare(prepare) => Some((prepare.source.clone(), prepare.files.path.clone())),
        RunSpec::Train(_) | RunSpec::Evaluate(_) => None,
    };
    expansion.runs.iter().filter_map(|run| of(&run.spec)).collect()
}

/// How often the runs see each source. One token a byte, less the held-out part: exact enough for
/// `bytes`.
pub(super) fn uses(expansion: &Expansion) -> Vec<SourceUse> {
    let mut uses: BTreeMap<String, SourceUse> = BTreeMap::new();
    for run in &expansion.runs {
        let RunSpec::Train(train) = &run.spec else { continue };
        for (name, needed) in source_tokens_needed(train) {
            let source = &train.data.sources[&name];
            let bytes = fs::metadata(&source.path).map_or(0, |meta| meta.len());
            let tokens = keep(bytes, 1.0 - train.data.heldout.share).max(1);
            let epochs = ratio(needed, tokens);
            let entry = uses.entry(name.clone()).or_insert_with(|| SourceUse {
                source: name,
                bytes,
                tokens,
                epochs_min: epochs,
                epochs_max: epochs,
            });
            entry.epochs_min = entry.epochs_min.min(epochs);
            entry.epochs_max = entry.epochs_max.max(epochs);
        }
    }
    uses.into_values().collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate"
)]
fn keep(bytes: u64, share: f64) -> u64 {
    (bytes as f64 * share) as u64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// Writes the fingerprint of every task into the specs: a worker that finds another task file stops.
pub(super) fn pin_tasks(expansion: &mut Expansion, file: &str) -> Vec<FileError> {
    let mut pins: BTreeMap<String, Result<String, String>> = BTreeMap::new();
    let mut errors = BTreeMap::new();
    for run in &mut expansion.runs {
        let eval = match &mut run.spec {
            RunSpec::Train(train) => &mut train.eval,
            RunSpec::Evaluate(EvaluateSpec { of, .. }) => &mut of.eval,
            RunSpec::Prepare(_) => continue,
        };
        for (name, task) in &mut eval.tasks {
            let pin = pins.entry(task.path.clone()).or_insert_with(|| fingerprint(&task.path));
            match pin {
                Ok(pin) => task.sha256.clone_from(pin),
                Err(message) => {
                    let path = format!("eval.tasks.{name}.path");
                    errors
                        .entry(path.clone())
                        .or_insert_with(|| at(file, &path, &task.path, message.clone()));
                }
            }
        }
    }
    errors.into_values().collect()
}

/// SHA-256 of the SHA-256 of the task file and that of its data file: `assay_trainer::task` has the
/// same, and a worker compares.
fn fingerprint(path: &str) -> Result<String, String> {
    let task = read(Path::new(path), TASK_BYTES_MAX)?;
    let data = read(&data_file(Path::new(path), &task)?, TASK_DATA_BYTES_MAX)?;
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(&task));
    hash.update(Sha256::digest(&data));
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Workers read no more of it, either.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error| format!("cannot read {shown}: {error}");
    // a pipe would wait for a writer, and a device has no end
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{shown} is no regular file: name one that holds the task"));
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if limit < bytes.len() as u64 {
        return Err(format!(
            "{shown} is over the limit of {limit} bytes: divide it into several tasks"
        ));
    }
    Ok(bytes)
}

/// Where a task's questions lie: `data`, or `dataset_kwargs.data_files` as lm-evaluation-harness has
/// it; relative to the task file.
fn data_file(path: &Path, task: &[u8]) -> Result<PathBuf, String> {
    let shown = path.display();
    let yaml: serde_yaml::Value = serde_yaml::from_slice(task)
        .map_err(|error| format!("{shown} is no task file: {error}"))?;
    let files = yaml.get("dataset_kwargs").and_then(|kwargs| kwargs.get("data_files"));
    let files = files.and_then(|files| match files.as_mapping() {
        Some(splits) => splits.values().next(),
        None => Some(files),
    });
    let name = yaml.get("data").or(files).and_then(serde_yaml::Value::as_str).ok_or_else(|| {
        format!("{shown} names no data: write `dataset_kwargs: {{data_files: questions.jsonl}}`")
    })?;
    Ok(path.parent().unwrap_or(Path::new("/")).join(name))
}

/// An error at the line of the file that holds `word` (the end of a path, as people write it), looked
/// for from where the path's section begins.
pub(super) fn at(file: &str, path: &str, word: &str, message: String) -> FileError {
    let tail = word.rsplit('/').next().unwrap_or(word);
    let section = path.split('.').next().unwrap_or(path);
    let begins = file.lines().position(|line| line.starts_with(section)).unwrap_or(0);
    let found = file.lines().enumerate().skip(begins).find_map(|(index, line)| {
        line.find(tail).map(|column| (index + 1, column + 1, line.to_owned()))
    });
    let (line, column, text) = found.unwrap_or_default();
    let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
    FileError { line: number(line), column: number(column), text, path: path.to_owned(), message }
}
