//! Views in words and numbers for people.

use std::fmt;
use std::str::FromStr;

use assay_api::view::{
    CanaryState, CanaryView, Counts, ExclusionView, LogRow, Outcome, RunKind, RunRow, RunState,
    SweepState, SweepSummary,
};
use assay_api::worker::LogLevel;
use chrono::{DateTime, TimeDelta, Utc};

/// `sweep/number`, as runs are named everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunName {
    pub(crate) sweep: String,
    pub(crate) number: u32,
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once('/').and_then(|(sweep, number)| {
            let number = number.parse().ok().filter(|number| *number > 0)?;
            (!sweep.is_empty()).then(|| Self { sweep: sweep.to_owned(), number })
        });
        parsed.ok_or_else(|| {
            "a run is named by its sweep and number, like lr-and-mix/17; `ctl run ls SWEEP` lists them"
                .to_owned()
        })
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sweep, self.number)
    }
}

pub(crate) fn sweep_state(state: SweepState) -> &'static str {
    match state {
        SweepState::Queued => "queued",
        SweepState::Running => "running",
        SweepState::Paused => "paused",
        SweepState::Deleting => "deleting",
        SweepState::Succeeded => "succeeded",
        SweepState::Ended => "ended",
    }
}

pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Leased => "leased",
        RunState::Stopping => "stopping",
        RunState::Done => "done",
    }
}

pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Diverged => "diverged",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::StoppedEarly => "stopped_early",
    }
}

pub(crate) fn kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Prepare => "prepare",
        RunKind::Train => "train",
        RunKind::Evaluate => "evaluate",
    }
}

pub(crate) fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// Where a run stands: its outcome once it has one, else its state, with what its worker does.
pub(crate) fn standing(run: &RunRow) -> String {
    match (run.state, run.outcome, &run.phase) {
        (RunState::Done, Some(ended), _) => outcome(ended).to_owned(),
        (RunState::Leased, _, Some(phase)) => format!("leased: {phase}"),
        (state, ..) => run_state(state).to_owned(),
    }
}

/// Why it stands there, word for word as the controller says it.
pub(crate) fn why(run: &RunRow) -> &str {
    run.reason.as_deref().or(run.waiting.as_deref()).unwrap_or("")
}

/// What a sweep may take and why it does not go on, a line each; nothing where nothing was asked for.
pub(crate) fn limits(sweep: &SweepSummary) -> String {
    let mut lines = String::new();
    if let Some(why) = &sweep.paused_because {
        let name = &sweep.name;
        lines += &format!("  paused: {why}; mend it, then `ctl sweep resume {name}` goes on\n");
    }
    if sweep.priority != 0 {
        lines += &format!("  priority: {}\n", sweep.priority);
    }
    if let Some(limit) = sweep.gpu_hours.limit {
        lines += &format!("  GPU hours: {} of {limit} used\n", number(sweep.gpu_hours.used));
    }
    for CanaryView { shape, run, state, tokens_per_second } in &sweep.canaries {
        let speed = tokens_per_second
            .map(|speed| format!(", {} tokens/s", amount(speed)))
            .unwrap_or_default();
        let state = match state {
            CanaryState::Queued => "is queued",
            CanaryState::Running => "goes ahead",
            CanaryState::Passed => "has passed",
            CanaryState::Failed => "has failed: the others wait until it is retried",
        };
        lines += &format!("  canary of {shape}: run {run} {state}{speed}\n");
    }
    lines
}

/// The values of an axis; of many, only where they begin and end.
pub(crate) fn values(values: &[serde_json::Value]) -> String {
    const VALUES_MAX: usize = 12;
    let shown =
        |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match values {
        [first, .., last] if VALUES_MAX < values.len() => {
            format!("{} … {} ({} values)", shown(first), shown(last), values.len())
        }
        _ => values.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

/// The point, and what people should know when they read its numbers.
pub(crate) fn label(run: &RunRow) -> String {
    let mut label = run.label.clone();
    for (is_so, mark) in [(run.is_baseline, " (baseline)"), (run.excluded.is_some(), " (excluded)")]
    {
        label.push_str(if is_so { mark } else { "" });
    }
    label
}

/// `the disk was failing (anna, 2026-11-25)`.
pub(crate) fn exclusion(excluded: &ExclusionView) -> String {
    let ExclusionView { because, author, at } = excluded;
    let author = author.as_ref().map_or_else(String::new, |author| format!("{author}, "));
    format!("{because} ({author}{})", at.format("%Y-%m-%d"))
}

pub(crate) fn total(counts: &Counts) -> u32 {
    ended(counts) + counts.queued + counts.leased + counts.stopping
}

pub(crate) fn ended(counts: &Counts) -> u32 {
    counts.succeeded + counts.diverged + counts.failed + counts.cancelled + counts.stopped_early
}

/// `14 runs: 3 queued, 2 leased, 9 succeeded`.
pub(crate) fn counts(counts: &Counts) -> String {
    let parts = [
        (counts.queued, "queued"),
        (counts.leased, "leased"),
        (counts.stopping, "stopping"),
        (counts.succeeded, "succeeded"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.stopped_early, "stopped early"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let total = total(counts);
    format!("{total} run{}: {}", plural(total.into()), parts.join(", "))
}

pub(crate) fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// Three digits and a suffix: `950`, `12.3k`, `1.50M`.
pub(crate) fn amount(n: f64) -> String {
    let suffixes = ["", "k", "M", "G", "T", "P", "E"];
    let mut scaled = n;
    let mut suffix = 0;
    while scaled.abs() >= 999.5 && suffix + 1 < suffixes.len() {
        scaled /= 1000.0;
        suffix += 1;
    }
    let digits = match scaled.abs() {
        _ if suffix == 0 && scaled.fract() == 0.0 => 0,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$}{}", suffixes[suffix])
}

/// Counts of tokens and bytes fit: 2^53 of anything is more than there is.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn count(n: u64) -> String {
    amount(n as f64)
}

/// A metric: enough digits to tell two runs apart.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => value.to_string(),
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

/// `42s`, `3m 05s`, `2h 10m`, `3d 4h`.
pub(crate) fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s:02}s"),
        (0, h, m, _) => format!("{h}h {m:02}m"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

pub(crate) fn hours(hours: f64) -> String {
    if hours < 1.0 { format!("{:.0} min", (hours * 60.0).ceil()) } else { format!("{hours:.1} h") }
}

/// How long a run took, or takes by now.
pub(crate) fn took(run: &RunRow, now: DateTime<Utc>) -> String {
    run.started_at.map_or_else(String::new, |start| duration(run.ended_at.unwrap_or(now) - start))
}

/// `12/200`, or what is known of it.
pub(crate) fn progress(run: &RunRow) -> String {
    match (run.step, run.steps) {
        (0, 0) => String::new(),
        (step, 0) => step.to_string(),
        (step, steps) => format!("{step}/{steps}"),
    }
}

pub(crate) fn log_line(row: &LogRow) -> String {
    let at = row.at.format("%Y-%m-%d %H:%M:%S%.3f");
    format!("{at} attempt {} {:<5} {}", row.attempt, level(row.level), row.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_sweep_and_number() {
        let name: RunName = "lr-and-mix/17".parse().unwrap();
        assert_eq!((name.sweep.as_str(), name.number), ("lr-and-mix", 17));
        assert_eq!(name.to_string(), "lr-and-mix/17");
        for wrong in ["17", "lr-and-mix", "lr-and-mix/0", "lr-and-mix/x", "/3", ""] {
            assert!(wrong.parse::<RunName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_have_three_digits() {
        let texts = [0.0, 950.0, 999.4, 999.6, 12_345.0, 1.5e6, 2.5e18, 7e23].map(amount);
        assert_eq!(texts, ["0", "950", "999", "1.00k", "12.3k", "1.50M", "2.50E", "700000E"]);
    }

    #[test]
    fn metrics_keep_the_digits_that_tell_runs_apart() {
        let texts = [2.05432, 0.0003, 0.0, 123_456.0, f64::NAN].map(number);
        assert_eq!(texts, ["2.0543", "3.000e-4", "0", "1.235e5", "NaN"]);
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let texts = [7, 185, 7800, 273_600, -3].map(|s| duration(TimeDelta::seconds(s)));
        assert_eq!(texts, ["7s", "3m 05s", "2h 10m", "3d 4h", "0s"]);
    }

    #[test]
    fn counts_name_only_what_there_is() {
        let some = Counts { queued: 3, succeeded: 1, ..Counts::default() };
        assert_eq!(counts(&some), "4 runs: 3 queued, 1 succeeded");
    }
}
