//! What a file changes about the runs that are stored.

use std::collections::{BTreeMap, HashSet};

use assay_api::RunId;
use assay_api::expand::{Expansion, PlannedRun};
use assay_api::spec::RunSpec;
use assay_api::view::{ApplyRequest, Outcome, PlanView, PointChange, RunKind, RunState, SourceUse};

use super::estimate::Estimate;
use super::evaluate::Later;
use crate::store::run::Stored;
use crate::store::view;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Added,
    Kept,
    /// No longer in the file, and left alone.
    Dropped,
    /// No longer in the file, and pruned.
    Cancelled,
    /// Ended without success, and queued again.
    Retried,
    /// Data that was prepared, and is prepared again.
    Renewed,
}

#[derive(Debug)]
pub(super) struct Diff {
    /// In the order of the file, then what it lacks by number, then what is only scored.
    points: Vec<(Change, Option<RunId>, PointChange)>,
    warnings: Vec<String>,
}

impl Diff {
    pub(super) fn new(
        expansion: &Expansion,
        stored: &[Stored],
        later: &[Later],
        request: &ApplyRequest,
    ) -> Self {
        let by_point: BTreeMap<&str, &Stored> =
            stored.iter().map(|run| (run.point.as_str(), run)).collect();
        let mut points = Vec::new();
        for planned in &expansion.runs {
            let known = by_point.get(planned.point.as_str()).copied();
            let change = known.map_or(Change::Added, |run| kept_or_retried(run, request));
            let view = point(planned.label.clone(), planned.kind, planned.is_baseline);
            points.push(entry(change, known, view));
        }
        let planned: BTreeMap<&str, ()> =
            expansion.runs.iter().map(|run| (run.point.as_str(), ())).collect();
        for run in stored.iter().filter(|run| !planned.contains_key(run.point.as_str())) {
            let open = view::run_state(&run.state) != RunState::Done;
            let change = match (run.is_derived, request.prune && open) {
                (true, _) => Change::Kept,
                (false, true) => Change::Cancelled,
                (false, false) => Change::Dropped,
            };
            let view = point(run.label.clone(), view::run_kind(&run.kind), run.is_baseline);
            points.push(entry(change, Some(run), view));
        }
        for run in later {
            let view = point(run.label.clone(), RunKind::Evaluate, false);
            points.push(entry(Change::Added, None, view));
        }
        let trained = || stored.iter().filter(|run| view::run_kind(&run.kind) == RunKind::Train);
        let n = trained().filter(|run| run.outcome.as_deref() == Some("succeeded")).count();
        let warnings = (request.repin && 0 < n).then(|| {
            format!(
                "{n} run(s) have been trained on the data as it was and stay as they are; if it has changed, \
                 runs to come cannot be compared with them (a new name for the sweep trains all)"
            )
        });
        Self { points, warnings: warnings.into_iter().collect() }
    }

    pub(super) fn to(&self, change: Change) -> impl Iterator<Item = RunId> + '_ {
        self.points.iter().filter(move |(what, ..)| *what == change).filter_map(|(_, run, _)| *run)
    }

    pub(super) fn view(
        self,
        expansion: &Expansion,
        is_new: bool,
        (sources, trained): (Vec<SourceUse>, &HashSet<String>),
        estimate: &Estimate,
    ) -> PlanView {
        let count = |change| {
            let n = self.points.iter().filter(|(what, ..)| *what == change).count();
            u32::try_from(n).expect("a sweep has at most 10,000 points")
        };
        let (added, kept) = (count(Change::Added), count(Change::Kept));
        let dropped = count(Change::Dropped) + count(Change::Cancelled);
        let retried = count(Change::Retried) + count(Change::Renewed);
        // the runs of the file come first in `points`, in its order
        let new_runs = || {
            let runs = expansion.runs.iter().zip(&self.points);
            runs.filter(|(_, (change, ..))| *change == Change::Added).map(|(run, _)| run)
        };
        let n_reused = new_runs().filter(|run| trained.contains(&run.point)).count();
        let to_train = || new_runs().filter(|run| !trained.contains(&run.point));
        // 10,000 runs of 2^53 tokens are over 2^64
        let tokens = to_train().map(|run| tokens(&run.spec)).fold(0, u64::saturating_add);
        let flops = to_train().filter_map(PlannedRun::flops).sum();
        PlanView {
            sweep: expansion.name.clone(),
            is_new,
            added,
            kept,
            dropped,
            retried,
            reused: u32::try_from(n_reused).expect("a sweep has at most 10,000 points"),
            tokens,
            flops,
            hours: estimate.hours(to_train()),
            sources,
            schedule: None,
            warnings: self.warnings,
            points: self.points.into_iter().map(|(.., point)| point).collect(),
        }
    }
}

fn kept_or_retried(run: &Stored, request: &ApplyRequest) -> Change {
    if request.repin && run.state == "done" && view::run_kind(&run.kind) == RunKind::Prepare {
        let has_succeeded = run.outcome.as_deref().map(view::outcome) == Some(Outcome::Succeeded);
        return if has_succeeded { Change::Renewed } else { Change::Retried };
    }
    let asked = match run.outcome.as_deref().map(view::outcome) {
        Some(outcome) if run.state == "done" => request.retry.iter().any(|wish| match wish {
            // `--retry failed` means whatever ended badly by itself
            Outcome::Failed => matches!(outcome, Outcome::Failed | Outcome::Diverged),
            Outcome::Cancelled | Outcome::Diverged | Outcome::StoppedEarly => *wish == outcome,
            Outcome::Succeeded => false,
        }),
        _ => false,
    };
    if asked { Change::Retried } else { Change::Kept }
}

fn point(label: String, kind: RunKind, is_baseline: bool) -> PointChange {
    PointChange { number: None, label, kind, change: String::new(), is_baseline }
}

fn entry(
    change: Change,
    known: Option<&Stored>,
    mut view: PointChange,
) -> (Change, Option<RunId>, PointChange) {
    let word = match change {
        Change::Added => "added",
        Change::Kept => "kept",
        Change::Dropped => "dropped",
        Change::Cancelled => "cancelled",
        Change::Retried => "retried",
        Change::Renewed => "renewed",
    };
    word.clone_into(&mut view.change);
    view.number = known.map(|run| run.number.unsigned_abs());
    (change, known.map(|run| RunId(run.run_id)), view)
}

pub(super) fn kind_word(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Prepare => "prepare",
        RunKind::Train => "train",
        RunKind::Evaluate => "evaluate",
    }
}

/// Steps that a run will take; 0: not known before it runs.
pub(super) fn steps(spec: &RunSpec) -> u64 {
    match spec {
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => 0,
        RunSpec::Train(train) => train.train.steps(),
    }
}

/// Tokens that a run trains on.
fn tokens(spec: &RunSpec) -> u64 {
    match spec {
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => 0,
        RunSpec::Train(train) => train.train.steps() * train.train.batch,
    }
}
