//! What the trainer says, gathered into reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_api::worker::limits::SERIES_MAX;
use assay_api::worker::{
    CheckpointSaved, Evaluation, LogLevel, LogLine, MetricBatch, Pace, Progress, Report, Wish,
};
use assay_trainer::engine::Verdict;
use assay_trainer::{Measurement, Phase, Saved, Stepped, Watcher};

use crate::card::Card;
use crate::clock;
use crate::portion;
use crate::reporter::Shared;
use crate::stopwatch::Stopwatch;
use crate::usage::Usage;

/// Points are gathered for so long before they become a report.
const GATHER: Duration = Duration::from_millis(500);

/// Room is left for what every run measures: training, 100 sources and 100 tasks.
const SLICE_SERIES_MAX: usize = SERIES_MAX - 1_000;

/// The trainer's watcher of one attempt.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    attempt: u32,
    storage: PathBuf,
    steps: u64,
    report: Report,
    points: BTreeMap<String, MetricBatch>,
    progress: Progress,
    gathered_since: Instant,
    /// Tokens and time when speed was last measured.
    speed_from: Option<(u64, Instant)>,
    skipped: u64,
    /// Names of the slices that were measured.
    slices: BTreeSet<String>,
    /// Some had no room, which was said.
    is_full: bool,
    usage: Usage,
    stopwatch: Stopwatch,
    trouble: Option<anyhow::Error>,
}

impl Recorder {
    #[must_use]
    pub fn new(shared: Arc<Shared>, attempt: u32, storage: &Path, steps: u64) -> Self {
        let progress = Progress { step: 0, steps, tokens: 0, phase: "loading".to_owned() };
        Self {
            shared,
            attempt,
            storage: storage.to_owned(),
            steps,
            report: Report::default(),
            points: BTreeMap::new(),
            progress,
            gathered_since: clock::instant(),
            speed_from: None,
            skipped: 0,
            slices: BTreeSet::new(),
            is_full: false,
            usage: Usage::new(storage),
            stopwatch: Stopwatch::default(),
            trouble: None,
        }
    }

    /// Records how the GPU fares, too, where the engine has one.
    pub fn watch_card(&mut self) {
        self.usage.watch(Card::open());
    }

    /// The newest error that the driver reported of that GPU.
    #[must_use]
    pub fn take_xid(&self) -> Option<u64> {
        self.usage.card()?.take_xid()
    }

    pub fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        self.report.logs.push(LogLine { time: clock::now_ms(), level, text: text.into() });
    }

    /// How far it is, where no training step says so.
    pub fn progressed(&mut self, step: u64, steps: u64, tokens: u64) {
        self.progress = Progress { step, steps, tokens, phase: "preparing".to_owned() };
        self.report.progress = Some(self.progress.clone());
        self.flush_when_due();
    }

    fn point(&mut self, name: &str, step: u64, value: f64) {
        let batch = self.points.entry(name.to_owned()).or_insert_with(|| MetricBatch {
            name: name.to_owned(),
            steps: Vec::new(),
            values: Vec::new(),
            times: Vec::new(),
        });
        batch.steps.push(step);
        batch.values.push(value);
        batch.times.push(clock::now_ms());
    }

    /// False: its source has more slices than a run has series. Those that came first are kept, and
    /// always the same, as they come in the order of their names.
    fn has_room_for(&mut self, name: &str) -> bool {
        if !name.contains('=') || self.slices.contains(name) {
            return true;
        }
        if self.slices.len() < SLICE_SERIES_MAX {
            self.slices.insert(name.to_owned());
            return true;
        }
        if !self.is_full {
            self.is_full = true;
            let text = format!(
                "a run has at most {SERIES_MAX} series: {name} and further slices are not recorded; \
                 `slices` is for fields of few values"
            );
            self.log(LogLevel::Warn, text);
        }
        false
    }

    fn flush_when_due(&mut self) {
        if GATHER <= self.gathered_since.elapsed() {
            self.flush();
        }
    }

    /// Writes down what was gathered.
    pub fn flush(&mut self) {
        self.gathered_since = clock::instant();
        let mut report = std::mem::take(&mut self.report);
        report.metrics = std::mem::take(&mut self.points).into_values().collect();
        if report == Report::default() {
            return;
        }
        if let Err(error) = self.shared.write(report) {
            // a full disk: training stops rather than losing what it measured
            self.trouble.get_or_insert(error);
        }
    }

    /// Steps taken, as far as was told.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.progress.step
    }

    /// What was measured of the first steps, if there were enough.
    #[must_use]
    pub fn pace(&self) -> Option<Pace> {
        self.stopwatch.pace(clock::instant())
    }

    /// What kept a report from being written down.
    pub fn take_trouble(&mut self) -> Option<anyhow::Error> {
        self.trouble.take()
    }

    /// Tokens per second since the last look, at most once a second.
    fn speed(&mut self, step: u64, tokens: u64) {
        let now = clock::instant();
        let Some((from, since)) = self.speed_from else {
            self.speed_from = Some((tokens, now));
            return;
        };
        let seconds = now.duration_since(since).as_secs_f64();
        if 1.0 <= seconds {
            #[expect(clippy::cast_precision_loss, reason = "a speed")]
            let speed = tokens.saturating_sub(from) as f64 / seconds;
            self.point("train/tokens_per_second", step, speed);
            self.speed_from = Some((tokens, now));
        }
    }
}

impl Watcher for Recorder {
    fn phase(&mut self, phase: Phase) {
        if self.progress.phase == phase.name() {
            return;
        }
        self.stopwatch.enter(phase, clock::instant());
        phase.name().clone_into(&mut self.progress.phase);
        // speed is of training alone
        self.speed_from = None;
        self.report.progress = Some(self.progress.clone());
        self.flush_when_due();
    }

    fn opened(&mut self, facts: &str) {
        self.log(LogLevel::Info, format!("engine: {facts}"));
    }

    fn stepped(&mut self, stepped: &Stepped) {
        let Stepped { step, tokens, loss, grad_norm, lr, .. } = *stepped;
        self.stopwatch.stepped(tokens, clock::instant());
        self.point("train/loss", step, loss);
        self.point("train/grad_norm", step, grad_norm);
        self.point("train/lr", step, lr);
        self.point("train/param_norm", step, stepped.param_norm);
        self.point("train/update_norm", step, stepped.update_norm);
        self.speed(step, tokens);
        for (name, value) in self.usage.sample() {
            self.point(name, step, value);
        }
        if stepped.verdict != Verdict::Applied {
            self.point("train/skipped", step, count(stepped.skipped));
            if self.skipped == 0 {
                self.log(
                    LogLevel::Warn,
                    format!("step {step} was skipped: loss {loss}, gradient norm {grad_norm}"),
                );
            }
            self.skipped = stepped.skipped;
        }
        self.progress.step = step;
        self.progress.steps = self.steps;
        self.progress.tokens = tokens;
        self.report.progress = Some(self.progress.clone());
        self.flush_when_due();
    }

    fn measured(&mut self, step: u64, measurements: &[Measurement]) {
        for measurement in measurements {
            let Measurement { task, metric, value, stderr, n } = measurement;
            let name = if task.starts_with("heldout/") {
                format!("{task}/{metric}")
            } else {
                format!("task/{task}/{metric}")
            };
            let name = portion::name(&name);
            if !self.has_room_for(&name) {
                continue;
            }
            self.point(&name, step, *value);
            if !value.is_finite() {
                continue; // a point can say so, a score cannot
            }
            self.report.evaluations.push(Evaluation {
                step,
                task: portion::name(task),
                metric: (*metric).to_owned(),
                value: *value,
                stderr: stderr.filter(|stderr| stderr.is_finite()),
                n: *n,
            });
        }
        self.report.progress = Some(Progress { step, ..self.progress.clone() });
        self.flush();
    }

    fn carried(&mut self) -> anyhow::Result<Vec<u8>> {
        self.flush();
        // whoever went on from this checkpoint would never report what could not be written down
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        self.shared.unacknowledged(self.attempt)
    }

    fn saved(&mut self, saved: &Saved) {
        let path = relative(&self.storage, &saved.folder);
        let (step, bytes) = (saved.step, saved.bytes);
        self.report.checkpoints.push(CheckpointSaved { step, path, bytes });
        self.flush();
    }

    fn wish(&mut self) -> Wish {
        if self.trouble.is_some() { Wish::Stop } else { self.shared.wish() }
    }
}

/// A path as it is stored: relative to the storage folder, which lies elsewhere on another machine.
#[must_use]
pub fn relative(storage: &Path, folder: &Path) -> String {
    folder.strip_prefix(storage).unwrap_or(folder).to_string_lossy().into_owned()
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 steps")]
fn count(n: u64) -> f64 {
    n as f64
}
