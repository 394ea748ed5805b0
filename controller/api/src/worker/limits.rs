//! What one message of a worker may hold. The worker keeps to these by construction (it divides
//! what is larger and cuts what is longer), and the controller refuses what goes over them.

use super::{Finish, FoundCheckpoint, MetricBatch, Pace, Progress, Report, StartRequest};

/// Bytes of one request. The largest report is 100,000 points of some 45 bytes and 1,000 lines of 4 KiB,
/// six times as long where all of it must be escaped: 29 MB.
pub const REQUEST_BYTES_MAX: usize = 32 << 20;
/// Reports in one request: at two a second, what gathers in eight minutes without a controller.
pub const REPORTS_MAX: usize = 1_000;
/// Points in one report. A worker writes one twice a second, so this is far over what it measures.
pub const POINTS_MAX: usize = 100_000;
/// Metric batches in one report, each of another series.
pub const BATCHES_MAX: usize = 1_000;
/// Series of one run. Training has 7, a source 2, and each value of a slice 2 more: room for a dozen
/// sources in a hundred languages. A field with more values than that is no slice.
pub const SERIES_MAX: usize = 5_000;
/// Bytes of a name: of a series, a task, a metric, a phase.
pub const NAME_BYTES_MAX: usize = 200;
/// Lines of a log in one report.
pub const LOG_LINES_MAX: usize = 1_000;
/// Bytes of one line. What is longer is cut, not refused: a run does not fail for what it printed.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Scores in one report: as many as series.
pub const EVALUATIONS_MAX: usize = 1_000;
/// Checkpoints in one report: a worker reports each as it is saved.
pub const CHECKPOINTS_MAX: usize = 100;
/// Checkpoints that one start may list: those of every attempt that were not cleared yet.
pub const FOUND_MAX: usize = 10_000;
/// Bytes of a path in the pool's storage, which is where Linux ends too.
pub const PATH_BYTES_MAX: usize = 4 << 10;
/// Bytes of what a worker says of its end, for people.
pub const REASON_BYTES_MAX: usize = 8 << 10;
/// Steps, tokens, bytes and numbers of reports. Beyond 2^53 a JSON number is no longer exact in a
/// browser; a trillion tokens are 2^40.
pub const COUNT_MAX: u64 = 1 << 53;
/// The last millisecond of the year 9999: later ones have no date in RFC 3339.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// A message that is over a limit, or is not what its type alone can say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It names the limit.
    #[error("{what}: {found} are over the limit of {limit}; send them in parts")]
    TooMany { what: String, found: usize, limit: usize },
    #[error("{what} has {found} bytes, over the limit of {limit}")]
    TooLong { what: String, found: usize, limit: usize },
    #[error("{what} is {found}; the limit is {limit}")]
    TooLarge { what: String, found: u64, limit: u64 },
    #[error("{0}")]
    Malformed(String),
}

impl Unfit {
    /// It is right in kind, and there is too much of it.
    #[must_use]
    pub fn is_over_a_limit(&self) -> bool {
        !matches!(self, Self::Malformed(_))
    }
}

impl StartRequest {
    /// # Errors
    /// The first thing that is over a limit.
    pub fn check(&self) -> Result<(), Unfit> {
        few("checkpoints", self.checkpoints.len(), FOUND_MAX)?;
        for FoundCheckpoint { attempt, step } in &self.checkpoints {
            count(
                "the attempt of a checkpoint",
                (*attempt).into(),
                i32::MAX.cast_unsigned().into(),
            )?;
            count("the step of a checkpoint", *step, COUNT_MAX)?;
        }
        text("`host`", &self.host, NAME_BYTES_MAX)
    }
}

impl Report {
    /// # Errors
    /// The first thing that is over a limit, or columns that do not belong together.
    pub fn check(&self) -> Result<(), Unfit> {
        if self.seq == 0 {
            return Err(Unfit::Malformed("reports are numbered from 1".to_owned()));
        }
        count("`seq`", self.seq, COUNT_MAX)?;
        if let Some(Progress { step, steps, tokens, phase }) = &self.progress {
            counts(&[("step", *step), ("steps", *steps), ("tokens", *tokens)])?;
            text("`phase`", phase, NAME_BYTES_MAX)?;
        }
        few("metric batches", self.metrics.len(), BATCHES_MAX)?;
        few("points", self.metrics.iter().map(|batch| batch.steps.len()).sum(), POINTS_MAX)?;
        self.metrics.iter().try_for_each(MetricBatch::check)?;
        let mut names: Vec<&str> = self.metrics.iter().map(|batch| batch.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = twice[0];
            return Err(Unfit::Malformed(format!("`{name}` has two batches; write one")));
        }
        few("log lines", self.logs.len(), LOG_LINES_MAX)?;
        for line in &self.logs {
            time(line.time)?;
            // a NUL is replaced when it is stored: it was printed, and is no mistake of the worker's
            short("a log line", &line.text, LOG_LINE_BYTES_MAX)?;
        }
        few("checkpoints", self.checkpoints.len(), CHECKPOINTS_MAX)?;
        for saved in &self.checkpoints {
            counts(&[("step", saved.step), ("bytes", saved.bytes)])?;
            text("the path of a checkpoint", &saved.path, PATH_BYTES_MAX)?;
        }
        few("evaluations", self.evaluations.len(), EVALUATIONS_MAX)?;
        for score in &self.evaluations {
            counts(&[("step", score.step), ("n", score.n)])?;
            text("the name of a task", &score.task, NAME_BYTES_MAX)?;
            text("the name of a metric", &score.metric, NAME_BYTES_MAX)?;
        }
        Ok(())
    }
}

impl MetricBatch {
    fn check(&self) -> Result<(), Unfit> {
        let Self { name, steps, values, times } = self;
        text("the name of a series", name, NAME_BYTES_MAX)?;
        let n = steps.len();
        if n == 0 || values.len() != n || times.len() != n {
            return Err(Unfit::Malformed(format!("the columns of `{name}` are empty or differ")));
        }
        if !steps.is_sorted_by(|a, b| a < b) {
            return Err(Unfit::Malformed(format!("the steps of `{name}` do not ascend")));
        }
        // they ascend: the last is the largest
        count(&format!("a step of `{name}`"), steps[n - 1], COUNT_MAX)?;
        times.iter().try_for_each(|at| time(*at))
    }
}

impl Finish {
    /// # Errors
    /// The first thing that is over a limit.
    pub fn check(&self) -> Result<(), Unfit> {
        match self {
            Self::Succeeded { step, path, fingerprint, tokens } => {
                counts(&[("step", *step), ("tokens", *tokens)])?;
                text("`path`", path, PATH_BYTES_MAX)?;
                text("`fingerprint`", fingerprint, NAME_BYTES_MAX)
            }
            Self::Diverged { step, reason } => {
                count("`step`", *step, COUNT_MAX)?;
                text("`reason`", reason, REASON_BYTES_MAX)
            }
            Self::Error { step, message, is_final: _ } => {
                count("`step`", *step, COUNT_MAX)?;
                text("`message`", message, REASON_BYTES_MAX)
            }
            Self::Preempted { step, pace } => {
                count("`step`", *step, COUNT_MAX)?;
                pace.as_ref().map_or(Ok(()), Pace::check)
            }
        }
    }
}

impl Pace {
    fn check(&self) -> Result<(), Unfit> {
        let Self { tokens_per_second, heldout_seconds, task_seconds, checkpoint_seconds } = *self;
        let seconds = [heldout_seconds, task_seconds, checkpoint_seconds];
        let is_speed = tokens_per_second.is_finite() && 0.0 < tokens_per_second;
        if is_speed && seconds.iter().all(|seconds| seconds.is_finite() && 0.0 <= *seconds) {
            return Ok(());
        }
        Err(Unfit::Malformed(
            "`pace` is no speed: finite numbers are expected, and some tokens a second".to_owned(),
        ))
    }
}

fn few(what: &str, found: usize, limit: usize) -> Result<(), Unfit> {
    if found <= limit {
        return Ok(());
    }
    Err(Unfit::TooMany { what: what.to_owned(), found, limit })
}

fn counts(all: &[(&str, u64)]) -> Result<(), Unfit> {
    all.iter().try_for_each(|(key, found)| count(&format!("`{key}`"), *found, COUNT_MAX))
}

fn count(what: &str, found: u64, limit: u64) -> Result<(), Unfit> {
    if found <= limit {
        return Ok(());
    }
    Err(Unfit::TooLarge { what: what.to_owned(), found, limit })
}

fn time(ms: i64) -> Result<(), Unfit> {
    if (0..=TIME_MS_MAX).contains(&ms) {
        return Ok(());
    }
    Err(Unfit::Malformed(format!("{ms} is no time: milliseconds since 1970 are expected")))
}

fn short(what: &str, found: &str, limit: usize) -> Result<(), Unfit> {
    if found.len() <= limit {
        return Ok(());
    }
    Err(Unfit::TooLong { what: what.to_owned(), found: found.len(), limit })
}

/// What Postgres stores and people read.
fn text(what: &str, found: &str, limit: usize) -> Result<(), Unfit> {
    if found.is_empty() {
        return Err(Unfit::Malformed(format!("{what} is empty")));
    }
    if found.contains('\0') {
        return Err(Unfit::Malformed(format!("{what} holds a NUL character")));
    }
    short(what, found, limit)
}
