//! Tasks that a file names and stored runs have not been scored on: they are scored by runs of kind
//! `evaluate`, from the weights that there are, and nothing is trained again.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use assay_api::expand::{Expansion, PlannedRun, point_of};
use assay_api::spec::{Eval, EvaluateSpec, RunSpec, Task, TrainSpec};
use assay_api::view::RunKind;
use uuid::Uuid;

use super::diff;
use crate::store::run::{NewRun, Scored, Stored};

/// What is to be scored later than its weights were trained.
#[derive(Clone, Debug)]
pub(crate) struct Later {
    /// The run that has the same weights, whose scores they are.
    of: Uuid,
    /// Runs that must succeed first.
    pub(super) needs: Vec<Uuid>,
    point: String,
    pub(super) label: String,
    slots: u32,
    spec: RunSpec,
}

/// A run whose weights can be scored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    pub(crate) run: Uuid,
    pub(crate) point: &'a str,
    pub(crate) label: &'a str,
    pub(crate) train: &'a TrainSpec,
    /// Their share in what is scored.
    pub(crate) merge: Option<f64>,
    pub(crate) slots: u32,
}

impl Later {
    /// Scores weights on those of their tasks that nobody has. None: all are known.
    pub(crate) fn score(
        weights: Weights<'_>,
        needs: Vec<Uuid>,
        is_known: impl Fn(&str, &Task) -> bool,
    ) -> Option<Self> {
        let Weights { run, point, label, train, merge, slots } = weights;
        let step = train.train.steps();
        let tasks = train.eval.tasks.iter().filter(|(name, task)| !is_known(name, task));
        let tasks: BTreeMap<String, Task> = tasks
            .map(|(name, task)| (name.clone(), Task { at: vec![step], ..task.clone() }))
            .collect();
        if tasks.is_empty() {
            return None;
        }
        let names = tasks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let eval = Eval { heldout_at: Vec::new(), tasks };
        let of = TrainSpec { eval, ..train.clone() };
        let spec = RunSpec::Evaluate(EvaluateSpec { of, merge });
        Some(Self {
            of: run,
            needs,
            point: point_of(&spec, Some(point)),
            label: format!("{names} of {label}"),
            slots,
            spec,
        })
    }

    /// The run that does so, behind everything that trains.
    pub(crate) fn run(
        &self,
        (number, order, priority): (i32, i32, i16),
        can_begin: bool,
        origin: &str,
    ) -> NewRun<'_> {
        NewRun {
            run_id: Uuid::now_v7(),
            number,
            point: self.point.clone(),
            kind: diff::kind_word(RunKind::Evaluate),
            label: self.label.clone(),
            spec: Cow::Borrowed(&self.spec),
            axes: Cow::default(),
            is_baseline: false,
            slots: self.slots.cast_signed(),
            shape: None,
            queue_order: order,
            steps: diff::steps(&self.spec).cast_signed(),
            needs: self.needs.clone(),
            of_run_id: Some(self.of),
            priority,
            is_blocked: !can_begin,
            origin: origin.to_owned(),
        }
    }
}

/// Of every run of the file that is stored already, in the file's order. A task is another one once its
/// name or its files' hash is.
pub(super) fn missing(expansion: &Expansion, stored: &[Stored], scored: Vec<Scored>) -> Vec<Later> {
    let by_point: HashMap<&str, &Stored> =
        stored.iter().map(|run| (run.point.as_str(), run)).collect();
    let mut known: HashMap<Uuid, HashSet<(String, String)>> = HashMap::new();
    for Scored { run_id, task, sha256 } in scored {
        known.entry(run_id).or_default().insert((task, sha256));
    }
    let nothing = HashSet::new();
    let later = expansion.runs.iter().filter_map(|planned| {
        let (train, merge) = match &planned.spec {
            RunSpec::Train(train) => (train, None),
            RunSpec::Evaluate(EvaluateSpec { of, merge }) => (of, *merge),
            RunSpec::Prepare(_) => return None,
        };
        let run = by_point.get(planned.point.as_str())?.run_id;
        let known = known.get(&run).unwrap_or(&nothing);
        // merged weights are those of the runs that the merging needs
        let needed = planned.needs.iter().map(|at| &expansion.runs[*at]);
        let needed = needed.filter(|run| merge.is_some() && run.kind == RunKind::Train);
        let needed = needed.filter_map(|run| Some(by_point.get(run.point.as_str())?.run_id));
        let own = merge.is_none().then_some(run);
        let needs = own.into_iter().chain(needed).collect();
        let PlannedRun { point, label, slots, .. } = planned;
        let weights = Weights { run, point, label, train, merge, slots: *slots };
        Later::score(weights, needs, |name, task| {
            known.contains(&(name.to_owned(), task.sha256.clone()))
        })
    });
    later.collect()
}
