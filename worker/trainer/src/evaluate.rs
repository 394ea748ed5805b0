//! What is measured: held-out loss of every source and slice, and multiple-choice tasks.
//!
//! Everything is tokenized once, at the start, and scored in the same batches every time, so that
//! two measurements of a run differ by the model alone. Loss is nats per token; bits per byte, which
//! compare across tokenizers, are the same nats over the bytes that the targets stand for.

use std::collections::BTreeMap;
use std::ops::Range;

use assay_api::spec::{Task as TaskSpec, TrainSpec};

use crate::data::{Dataset, HeldoutSequence, IGNORED, Sequence};
use crate::engine::{Batch, Engine, Row};
use crate::task::{Task, summarize};
use crate::watcher::{Measurement, TrainError};

/// Tokens of one forward pass: a few hundred kilobytes per layer and width.
const PASS_TOKENS: usize = 4096;

/// All that a run measures.
#[derive(Debug)]
pub struct Exam {
    heldout_at: Vec<u64>,
    heldout: BTreeMap<String, Heldout>,
    tasks: BTreeMap<String, Questions>,
}

/// A source's held-out windows.
#[derive(Debug)]
struct Heldout {
    windows: Vec<HeldoutSequence>,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Questions {
    at: Vec<u64>,
    task: Task,
    /// One for each item: its choices are branches of one row, so that their question is computed once.
    asked: Vec<Asked>,
}

/// A row, and where the sequences are whose likelihoods are asked for.
#[derive(Debug)]
struct Asked {
    row: Row,
    parts: Vec<Range<usize>>,
}

impl Asked {
    fn new(sequence: &Sequence) -> Self {
        let length = sequence.inputs.len();
        Self { row: Row::new(sequence), parts: std::iter::once(0..length).collect() }
    }

    fn branched(sequences: &[Sequence]) -> Self {
        let (row, parts) = Row::branched(sequences);
        Self { row, parts }
    }
}

/// Whether an evaluation is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Continue,
    GiveUp,
}

impl Exam {
    /// Reads the tasks and the held-out parts.
    pub fn new(
        spec: &TrainSpec,
        datasets: &BTreeMap<String, Dataset>,
        longest: u32,
    ) -> Result<Self, TrainError> {
        let mut heldout = BTreeMap::new();
        for (name, dataset) in datasets {
            let context = spec.train.context.min(longest);
            let windows = dataset.heldout(context, spec.data.heldout.tokens)?;
            let asked = windows.iter().map(|window| Asked::new(&window.sequence)).collect();
            heldout.insert(name.clone(), Heldout { windows, asked });
        }
        let mut tasks = BTreeMap::new();
        for (name, task) in &spec.eval.tasks {
            tasks.insert(name.clone(), Questions::new(name, task, spec, longest)?);
        }
        Ok(Self { heldout_at: spec.eval.heldout_at.clone(), heldout, tasks })
    }

    /// Tokens of the longest row that is scored.
    #[must_use]
    pub fn longest(&self) -> usize {
        let heldout = self.heldout.values().flat_map(|heldout| &heldout.asked);
        let asked = self.tasks.values().flat_map(|questions| &questions.asked);
        heldout.chain(asked).map(|asked| asked.row.inputs.len()).max().unwrap_or(0)
    }

    #[must_use]
    pub fn is_due(&self, step: u64) -> bool {
        self.heldout_at.contains(&step) || self.tasks.values().any(|task| task.at.contains(&step))
    }

    /// Measures what is due at a step; nothing if patience ended before it was done.
    pub fn take(
        &self,
        engine: &mut dyn Engine,
        step: u64,
        mut patience: impl FnMut() -> Patience,
    ) -> Result<Option<Vec<Measurement>>, TrainError> {
        let mut measurements = Vec::new();
        if self.heldout_at.contains(&step) {
            let Some(heldout) = self.heldout(engine, &mut patience)? else { return Ok(None) };
            measurements = heldout;
        }
        let Some(tasks) = self.tasks(engine, Some(step), &mut patience)? else { return Ok(None) };
        measurements.extend(tasks);
        Ok(Some(measurements))
    }

    /// Scores every held-out part; nothing if patience ended before it was done.
    pub fn heldout(
        &self,
        engine: &mut dyn Engine,
        patience: &mut dyn FnMut() -> Patience,
    ) -> Result<Option<Vec<Measurement>>, TrainError> {
        let mut measurements = Vec::new();
        for (source, heldout) in &self.heldout {
            let Some(scores) = score(engine, &heldout.asked, patience)? else { return Ok(None) };
            let scores = scores.concat();
            measurements.extend(heldout_measurements(source, &heldout.windows, &scores));
        }
        Ok(Some(measurements))
    }

    /// Answers the tasks that are due at a step, or all of them; nothing if patience ended before it
    /// was done.
    pub fn tasks(
        &self,
        engine: &mut dyn Engine,
        step: Option<u64>,
        patience: &mut dyn FnMut() -> Patience,
    ) -> Result<Option<Vec<Measurement>>, TrainError> {
        let mut measurements = Vec::new();
        for (name, questions) in &self.tasks {
            if step.is_some_and(|step| !questions.at.contains(&step)) {
                continue;
            }
            let Some(scores) = score(engine, &questions.asked, patience)? else { return Ok(None) };
            measurements.extend(questions.measurements(name, &scores));
        }
        Ok(Some(measurements))
    }
}

impl Questions {
    fn new(
        name: &str,
        asked: &TaskSpec,
        spec: &TrainSpec,
        longest: u32,
    ) -> Result<Self, TrainError> {
        let failed = |source| TrainError::Task { name: name.to_owned(), source };
        let task = Task::open(asked.path.as_ref()).map_err(failed)?;
        if !asked.sha256.is_empty() && task.sha256 != asked.sha256 {
            let (found, expected) = (task.sha256, asked.sha256.clone());
            return Err(TrainError::TaskChanged { name: name.to_owned(), found, expected });
        }
        let mut items = Vec::new();
        for item in 0..task.items.len() {
            let choices = task.sequences(item, spec.tokenizer, longest).map_err(failed)?;
            items.push(Asked::branched(&choices));
        }
        Ok(Self { at: asked.at.clone(), task, asked: items })
    }

    /// `scores` are by item, and then by choice.
    fn measurements(&self, name: &str, scores: &[Vec<Score>]) -> Vec<Measurement> {
        let outcomes: Vec<_> = self
            .task
            .items
            .iter()
            .zip(scores)
            .map(|(item, own)| {
                let likelihoods: Vec<f64> = own.iter().map(|score| -score.nats).collect();
                item.judge(&likelihoods)
            })
            .collect();
        let measurement = |score: crate::task::Score| Measurement {
            task: name.to_owned(),
            metric: score.metric,
            value: score.value,
            stderr: score.stderr,
            n: score.n,
        };
        summarize(&outcomes).into_iter().map(measurement).collect()
    }
}

/// What one sequence cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Score {
    nats: f64,
    targets: u64,
}

/// Scores each part of each row, in the order given.
fn score(
    engine: &mut dyn Engine,
    asked: &[Asked],
    patience: &mut dyn FnMut() -> Patience,
) -> Result<Option<Vec<Vec<Score>>>, TrainError> {
    // Equal lengths beside each other waste nothing on padding.
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(asked[*at].row.inputs.len()));
    let mut scores = vec![Vec::new(); asked.len()];
    let mut rest = order.as_slice();
    while let Some(longest) = rest.first() {
        if patience() == Patience::GiveUp {
            return Ok(None);
        }
        let rows = PASS_TOKENS / asked[*longest].row.inputs.len().max(1);
        let (pass, others) = rest.split_at(rows.clamp(1, rest.len()));
        rest = others;
        let rows: Vec<Row> = pass.iter().map(|at| asked[*at].row.clone()).collect();
        let batch = Batch::of_rows(&rows);
        let likelihoods = engine.log_likelihoods(&batch).map_err(TrainError::Engine)?;
        for (row, at) in pass.iter().enumerate() {
            let begin = row * batch.context;
            let part = |part: &Range<usize>| {
                let places = begin + part.start..begin + part.end;
                Score::of(&batch.targets[places.clone()], &likelihoods[places])
            };
            scores[*at] = asked[*at].parts.iter().map(part).collect();
        }
    }
    Ok(Some(scores))
}

impl Score {
    fn of(targets: &[u32], likelihoods: &[f32]) -> Self {
        Self {
            nats: -likelihoods.iter().map(|nats| f64::from(*nats)).sum::<f64>(),
            targets: targets.iter().filter(|target| **target != IGNORED).count() as u64,
        }
    }
}

/// One document's share in a mean.
#[derive(Clone, Copy, Debug, Default)]
struct Item {
    nats: f64,
    targets: f64,
    bytes: f64,
}

/// The source as a whole, then each value of each slice.
fn heldout_measurements(
    source: &str,
    heldout: &[HeldoutSequence],
    scores: &[Score],
) -> Vec<Measurement> {
    let mut groups: BTreeMap<String, BTreeMap<u64, Item>> = BTreeMap::new();
    for (it, score) in heldout.iter().zip(scores) {
        let slices = it.slices.iter().map(|(field, value)| format!("/{field}={value}"));
        for slice in slices.chain([String::new()]) {
            let name = format!("heldout/{source}{slice}");
            let item = groups.entry(name).or_default().entry(it.document).or_default();
            item.add(score, it.bytes);
        }
    }
    let measure = |(task, items): (String, BTreeMap<u64, Item>)| {
        let items: Vec<Item> = items.into_values().collect();
        let of = |metric, over: fn(&Item) -> f64, unit: f64| {
            let (value, stderr) = ratio(&items, over);
            let stderr = stderr.map(|stderr| stderr / unit);
            let task = task.clone();
            Measurement { task, metric, value: value / unit, stderr, n: items.len() as u64 }
        };
        [
            of("loss", |item| item.targets, 1.0),
            of("bits_per_byte", |item| item.bytes, std::f64::consts::LN_2),
        ]
    };
    groups.into_iter().flat_map(measure).collect()
}

impl Item {
    #[expect(clippy::cast_precision_loss, reason = "a document has fewer than 2^52 tokens")]
    fn add(&mut self, score: &Score, bytes: u64) {
        self.nats += score.nats;
        self.targets += score.targets as f64;
        self.bytes += bytes as f64;
    }
}

/// Nats over `over`, both summed over the documents, and the standard error of that ratio: of the
/// residuals `nats - ratio * over`, because documents are drawn and tokens are not (Cochran,
/// Sampling Techniques, 6.3).
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 documents")]
fn ratio(items: &[Item], over: fn(&Item) -> f64) -> (f64, Option<f64>) {
    let total: f64 = items.iter().map(over).sum();
    let ratio = items.iter().map(|item| item.nats).sum::<f64>() / total;
    if items.len() < 2 {
        return (ratio, None);
    }
    let n = items.len() as f64;
    let square: f64 = items.iter().map(|item| (item.nats - ratio * over(item)).powi(2)).sum();
    (ratio, Some((square * n / (n - 1.0)).sqrt() / total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heldout(document: u64, language: &str, targets: usize, bytes: u64) -> HeldoutSequence {
        let sequence = Sequence {
            inputs: vec![0; targets],
            targets: vec![1; targets],
            documents: vec![0; targets],
            source: 0,
        };
        let slices = BTreeMap::from([("language".to_owned(), language.to_owned())]);
        HeldoutSequence { sequence, bytes, slices, document }
    }

    /// Two windows of document 0 and one of document 1: by hand.
    #[test]
    fn windows_of_a_document_are_one_item() {
        let heldout = [heldout(0, "de", 2, 2), heldout(0, "de", 2, 4), heldout(1, "en", 4, 6)];
        let scores = [(1.0, 2), (3.0, 2), (8.0, 4)].map(|(nats, targets)| Score { nats, targets });
        let found = heldout_measurements("web", &heldout, &scores);
        let names: Vec<_> = found.iter().map(|it| (it.task.as_str(), it.metric, it.n)).collect();
        assert_eq!(
            names,
            [
                ("heldout/web", "loss", 2),
                ("heldout/web", "bits_per_byte", 2),
                ("heldout/web/language=de", "loss", 1),
                ("heldout/web/language=de", "bits_per_byte", 1),
                ("heldout/web/language=en", "loss", 1),
                ("heldout/web/language=en", "bits_per_byte", 1),
            ]
        );
        let values: Vec<f64> = found.iter().map(|it| it.value).collect();
        let bit = std::f64::consts::LN_2;
        assert_eq!(values, [1.5, 1.0 / bit, 1.0, 4.0 / 6.0 / bit, 2.0, 8.0 / 6.0 / bit]);
        // Residuals 4 - 1.5 * 4 = -2 and 8 - 1.5 * 4 = 2: sqrt(8 * 2 / 1) / 8.
        assert_eq!(found[0].stderr, Some(0.5));
        assert_eq!(found[2].stderr, None);
    }
}
