//! Tasks that a file names and stored runs have not been scored on: they are scored by runs of kind
//! `evaluate`, from the weights that there are, and nothing is trained again.

use std::collections::{BTreeMap, HashMap, HashSet};

use assay_api::expand::{Expansion, point_of};
use assay_api::spec::{Eval, EvaluateSpec, RunSpec, Task, TrainSpec};
use assay_api::view::RunKind;
use uuid::Uuid;

use crate::store::run::{Scored, Stored};

/// What is to be scored later than its weights were trained.
#[derive(Clone, Debug)]
pub(super) struct Later {
    /// The run that has the same weights, whose scores they are.
    pub(super) of: Uuid,
    /// Runs that must succeed first.
    pub(super) needs: Vec<Uuid>,
    pub(super) point: String,
    pub(super) label: String,
    pub(super) slots: u32,
    pub(super) spec: RunSpec,
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
        let run = by_point.get(planned.point.as_str())?;
        let known = known.get(&run.run_id).unwrap_or(&nothing);
        let is_missing = |(name, task): &(&String, &Task)| {
            !known.contains(&((*name).clone(), task.sha256.clone()))
        };
        let step = train.train.steps();
        let tasks: BTreeMap<String, Task> = train
            .eval
            .tasks
            .iter()
            .filter(is_missing)
            .map(|(name, task)| (name.clone(), Task { at: vec![step], ..task.clone() }))
            .collect();
        if tasks.is_empty() {
            return None;
        }
        let names = tasks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let eval = Eval { heldout_at: Vec::new(), tasks };
        let of = TrainSpec { eval, ..train.clone() };
        let spec = RunSpec::Evaluate(EvaluateSpec { of, merge });
        // merged weights are those of the runs that the merging needs
        let needed = planned.needs.iter().map(|at| &expansion.runs[*at]);
        let needed = needed.filter(|run| merge.is_some() && run.kind == RunKind::Train);
        let needed = needed.filter_map(|run| Some(by_point.get(run.point.as_str())?.run_id));
        let own = merge.is_none().then_some(run.run_id);
        Some(Later {
            of: run.run_id,
            needs: own.into_iter().chain(needed).collect(),
            point: point_of(&spec, Some(&run.point)),
            label: format!("{names} of {}", planned.label),
            slots: planned.slots,
            spec,
        })
    });
    later.collect()
}
