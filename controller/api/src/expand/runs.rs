//! The runs of a sweep: prepared data, the `first` runs, and one run for every choice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;

use serde_json::Value;

use super::design::{Choice, choices};
use super::label::{BaseValue, base_values, label};
use super::point::{point_of, point_of_train};
use super::resolve::{HELDOUT_SHARE, Origin, Pins, Surroundings, absolute, resolve};
use super::{Context, MERGE, POINTS_MAX, PlannedRun};
use crate::spec::{self, EvaluateSpec, Model, PrepareSpec, RunSpec, TrainSpec};
use crate::sweep::axis::with_value;
use crate::sweep::draft::RunDraft;
use crate::sweep::errors::Errors;
use crate::sweep::value::share;
use crate::sweep::{First, Placed, Sweep};
use crate::view::RunKind;

/// Fewer are resolved before a thread has begun.
const CHOICES_A_THREAD: usize = 256;

/// The queue's order: an answer early, precision later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Prepare,
    First,
    Baseline,
    Corner,
    FirstSeed,
    /// By the seed's place among the seeds.
    OtherSeed(usize),
    /// It needs one of those.
    Merge,
}

struct Planner<'s> {
    sweep: &'s Sweep,
    context: &'s Context,
    first_names: Vec<String>,
    base: RunDraft,
    prepares: Vec<PlannedRun>,
    prepare_at: HashMap<String, usize>,
    /// The last one of each source: the next run's is the same nearly always, and need not be hashed.
    last_prepare: HashMap<String, usize>,
    trains: Vec<Train>,
    train_at: HashMap<String, usize>,
    /// The `first` runs that are planned: index into `trains`, and what they bring.
    first_at: BTreeMap<String, usize>,
    origins: BTreeMap<String, Origin>,
}

/// A run as the file has it with all defaults, and its point.
struct Resolved {
    spec: TrainSpec,
    origin: Origin,
    point: String,
}

/// A train run whose needs are not yet numbers: prepares stand in a list of their own.
struct Train {
    run: PlannedRun,
    turn: Turn,
    prepares: Vec<usize>,
    base: Option<usize>,
    /// The preset or folder that its weights come from in the end.
    root: String,
}

/// Every run, needed ones first. Meaningless if `errors` is not empty then.
pub(super) fn plan(sweep: &Sweep, context: &Context, errors: &mut Errors) -> Vec<PlannedRun> {
    let first_names: Vec<String> = sweep.first.iter().map(|first| first.name.clone()).collect();
    let Some(base) = RunDraft::read(&sweep.base, "base", &first_names, errors) else {
        return Vec::new();
    };
    let mut planner = Planner {
        sweep,
        context,
        first_names,
        base,
        prepares: Vec::new(),
        prepare_at: HashMap::new(),
        last_prepare: HashMap::new(),
        trains: Vec::new(),
        train_at: HashMap::new(),
        first_at: BTreeMap::new(),
        origins: BTreeMap::new(),
    };
    planner.plan_first(errors);
    if errors.is_empty() {
        planner.plan_choices(errors);
    }
    if errors.is_empty() {
        planner.check_merges(errors);
    }
    planner.finish()
}

impl Planner<'_> {
    fn around(&self) -> Surroundings<'_> {
        Surroundings { context: self.context, origins: &self.origins, base: &self.base.data }
    }

    fn plan_first(&mut self, errors: &mut Errors) {
        let sweep = self.sweep;
        for first in in_order_of_need(&sweep.first, errors) {
            self.check_heldout(first, errors);
            let path = format!("first.{}", first.name);
            let pins = Pins::new();
            let Some((spec, origin)) = resolve(&first.draft, &pins, self.around(), &path, errors)
            else {
                // Those that need it have no model to be checked with.
                return;
            };
            let point = self.point_of(&spec);
            let resolved = Resolved { spec, origin, point };
            let at = self.add_train(resolved, Turn::First, first.name.clone());
            self.first_at.insert(first.name.clone(), at);
            self.origins.insert(first.name.clone(), origin);
        }
    }

    /// What is held out of the base's runs must not have been trained on by what they start from:
    /// with another group or a smaller share, other documents would be held out.
    fn check_heldout(&self, first: &First, errors: &mut Errors) {
        let folder = &self.context.folder;
        let base_share = self.base.data.heldout_share.unwrap_or(HELDOUT_SHARE);
        let own_share = first.draft.data.heldout_share.unwrap_or(base_share);
        let base_sources = self.base.data.sources.iter();
        for (name, source) in &first.draft.data.sources {
            let is_same_file =
                |path: &str| absolute(path, folder) == absolute(&source.path, folder);
            let Some((_, base)) = base_sources.clone().find(|(_, base)| is_same_file(&base.path))
            else {
                continue;
            };
            let path = format!("first.{}.data.sources.{name}", first.name);
            let is_other_group = (&base.field, &base.group_by) != (&source.field, &source.group_by);
            #[expect(clippy::float_cmp, reason = "the same text gives the same number")]
            if is_other_group || own_share != base_share {
                errors.add(
                    source.place,
                    &path,
                    "the base uses the same file with another held-out part, of which this run \
                     would train on some; give both the same `data.heldout.share`, `field` and \
                     `group_by`",
                );
            }
        }
    }

    fn plan_choices(&mut self, errors: &mut Errors) {
        let sweep = self.sweep;
        let Some((base, _)) = resolve(&self.base, &Pins::new(), self.around(), "base", errors)
        else {
            return;
        };
        let base_values = base_values(sweep, &base);
        let base_json: Vec<Value> = base_values.iter().map(|value| value.json.clone()).collect();
        let choices = choices(sweep, &base_json, errors);
        for (choice, resolved) in self.resolve_all(&choices, errors) {
            self.plan_choice(choice, resolved, &base_values);
        }
    }

    /// Each choice by itself, in as many threads as there are processors: of 10,000 they take longer than all
    /// else that is done with a file. None, if any of them is wrong.
    fn resolve_all<'c>(
        &self,
        choices: &'c [Choice],
        errors: &mut Errors,
    ) -> Vec<(&'c Choice, Resolved)> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let size = choices.len().div_ceil(threads).max(CHOICES_A_THREAD);
        let resolve = |part: &'c [Choice]| {
            let (mut resolved, mut errors) = (Vec::with_capacity(part.len()), Errors::default());
            for choice in part {
                let one = self.resolve_choice(choice, &mut errors);
                resolved.extend(one.map(|one| (choice, one)));
                if errors.is_full() {
                    break;
                }
            }
            (resolved, errors)
        };
        let parts = std::thread::scope(|scope| {
            let mut parts = choices.chunks(size);
            let first = parts.next();
            let others: Vec<_> = parts.map(|part| scope.spawn(move || resolve(part))).collect();
            let others = others.into_iter().map(|other| match other.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            first.map(resolve).into_iter().chain(others).collect::<Vec<_>>()
        });
        let mut all = Vec::with_capacity(choices.len());
        for (resolved, found) in parts {
            all.extend(resolved);
            if !errors.is_full() {
                errors.append(found);
            }
        }
        if errors.is_empty() { all } else { Vec::new() }
    }

    fn resolve_choice(&self, choice: &Choice, errors: &mut Errors) -> Option<Resolved> {
        let axes = &self.sweep.axes;
        let mut node = self.sweep.base.clone();
        let mut pins = Pins::new();
        for (index, axis) in axes.iter().enumerate() {
            let Some(value) = choice.value(axes, index) else { continue };
            let place = value.node.place;
            match axis.mixture_source() {
                Some(source) => {
                    let value = share(&value.node).expect("the file's shares were checked");
                    pins.insert(source, Placed { value, place });
                }
                None => node = with_value(&node, &axis.path, &value.node, place),
            }
        }
        let draft = RunDraft::read(&node, "base", &self.first_names, errors)?;
        let (spec, origin) = resolve(&draft, &pins, self.around(), "base", errors)?;
        let point = self.point_of(&spec);
        Some(Resolved { spec, origin, point })
    }

    fn plan_choice(&mut self, choice: &Choice, resolved: Resolved, base: &[BaseValue]) {
        let axes = &self.sweep.axes;
        let turn = match (choice.is_base(), choice.seed_index, choice.is_corner) {
            (true, _, _) => Turn::Baseline,
            (false, 0, true) => Turn::Corner,
            (false, 0, false) => Turn::FirstSeed,
            (false, seed, _) => Turn::OtherSeed(seed),
        };
        let eval = resolved.spec.eval.clone();
        let at = self.add_train(resolved, turn, label(choice, axes, base));
        let train = &mut self.trains[at];
        train.run.is_baseline |= choice.is_base();
        if train.run.axes.is_empty() {
            let json = |index: usize| {
                choice.value(axes, index).map_or(&base[index].json, |value| &value.json).clone()
            };
            let values =
                axes.iter().enumerate().map(|(index, axis)| (axis.path.clone(), json(index)));
            train.run.axes = values.collect();
            train.run.label = label(choice, axes, base);
            // A `first` run that is a point of the design as well is measured like the others.
            if let RunSpec::Train(first) = &mut train.run.spec {
                first.eval = eval;
            }
        }
    }

    /// The run that a run begins as.
    fn base_of(&self, spec: &TrainSpec) -> Option<usize> {
        match &spec.model {
            Model::Run(name) => Some(self.first_at[name]),
            Model::Preset(_) | Model::From(_) => None,
        }
    }

    fn point_of(&self, spec: &TrainSpec) -> String {
        let base = self.base_of(spec).map(|at| self.trains[at].run.point.as_str());
        point_of_train(spec, base)
    }

    /// The run of this point: a new one, or the one that is there, whose turn may come earlier now.
    fn add_train(&mut self, resolved: Resolved, turn: Turn, label: String) -> usize {
        let Resolved { spec, origin, point } = resolved;
        let prepares: Vec<usize> =
            spec.data.sources.keys().map(|source| self.add_prepare(&spec, source)).collect();
        let base = self.base_of(&spec);
        let root = match (&spec.model, base) {
            (Model::Run(_), Some(at)) => self.trains[at].root.clone(),
            (Model::Preset(name) | Model::From(name) | Model::Run(name), _) => name.clone(),
        };
        let (slots, shape) = (spec.train.devices, shape(&root, &spec.train));
        let spec = RunSpec::Train(spec);
        if let Some(at) = self.train_at.get(&point) {
            let train = &mut self.trains[*at];
            train.turn = train.turn.min(turn);
            return *at;
        }
        let run = PlannedRun {
            point: point.clone(),
            kind: RunKind::Train,
            label,
            spec,
            needs: Vec::new(),
            axes: BTreeMap::new(),
            is_baseline: false,
            order: 0,
            slots,
            preset: origin.preset,
            shape: Some(shape),
        };
        self.trains.push(Train { run, turn, prepares, base, root });
        self.train_at.insert(point, self.trains.len() - 1);
        self.trains.len() - 1
    }

    fn add_prepare(&mut self, run: &TrainSpec, source: &str) -> usize {
        let files = &run.data.sources[source];
        let is_it = |at: &&usize| match &self.prepares[**at].spec {
            RunSpec::Prepare(last) => {
                last.files == *files
                    && last.tokenizer == run.tokenizer
                    && last.heldout == run.data.heldout
            }
            RunSpec::Train(_) | RunSpec::Evaluate(_) => false,
        };
        if let Some(at) = self.last_prepare.get(source).filter(is_it) {
            return *at;
        }
        let at = self.find_or_add_prepare(PrepareSpec {
            source: source.to_owned(),
            tokenizer: run.tokenizer,
            files: files.clone(),
            heldout: run.data.heldout,
        });
        self.last_prepare.insert(source.to_owned(), at);
        at
    }

    fn find_or_add_prepare(&mut self, spec: PrepareSpec) -> usize {
        let source = spec.source.clone();
        let spec = RunSpec::Prepare(spec);
        let point = point_of(&spec, None);
        if let Some(at) = self.prepare_at.get(&point) {
            return *at;
        }
        let mut label = format!("prepare {source}");
        let n_same = self.prepares.iter().filter(|run| run.label.starts_with(&label)).count();
        if n_same > 0 {
            label = format!("{label} ({})", n_same + 1);
        }
        self.prepares.push(PlannedRun {
            point: point.clone(),
            kind: RunKind::Prepare,
            label,
            spec,
            needs: Vec::new(),
            axes: BTreeMap::new(),
            is_baseline: false,
            order: 0,
            slots: 1,
            preset: None,
            shape: None,
        });
        self.prepare_at.insert(point, self.prepares.len() - 1);
        self.prepares.len() - 1
    }

    /// Whether every point began from weights that it can be merged with, and they are not too many.
    fn check_merges(&self, errors: &mut Errors) {
        let Some(first) = self.sweep.merge.first() else { return };
        let points = || self.trains.iter().filter(|train| train.is_point());
        let began_from_nothing = |train: &&Train| match &train.run.spec {
            RunSpec::Train(spec) => matches!(spec.model, Model::Preset(_)),
            RunSpec::Prepare(_) | RunSpec::Evaluate(_) => false,
        };
        if let Some(train) = points().find(began_from_nothing) {
            let message = format!(
                "`{}` begins from nothing that it could be merged with: give the base `model: {{run: …}}` \
                 or `model: {{from: …}}`",
                train.run.label
            );
            errors.add(first.place, "merge", message);
        }
        let n = points().count() * (1 + self.sweep.merge.len());
        if POINTS_MAX < n {
            let message =
                format!("{n} points with those that are merged; a sweep has at most {POINTS_MAX}");
            errors.add(first.place, "merge", message);
        }
    }

    /// Prepares first, then the train runs, then what is merged; and each its place in the queue.
    fn finish(self) -> Vec<PlannedRun> {
        let n_prepares = self.prepares.len();
        let weights: Vec<f64> = self.sweep.merge.iter().map(|weight| weight.value).collect();
        let points: Vec<bool> = self.trains.iter().map(Train::is_point).collect();
        let mut turns = vec![Turn::Prepare; n_prepares];
        let mut runs = self.prepares;
        for Train { mut run, turn, prepares, base, root: _ } in self.trains {
            // sources of one file are prepared together
            let mut seen = BTreeSet::new();
            run.needs = prepares;
            run.needs.retain(|at| seen.insert(*at));
            run.needs.extend(base.map(|at| n_prepares + at));
            turns.push(turn);
            runs.push(run);
        }
        if !weights.is_empty() {
            for at in (0..points.len()).filter(|at| points[*at]).map(|at| n_prepares + at) {
                let merged: Vec<_> =
                    weights.iter().map(|weight| merge(&runs, at, *weight)).collect();
                turns.extend(merged.iter().map(|_| Turn::Merge));
                runs.extend(merged);
                runs[at].axes.insert(MERGE.to_owned(), Value::from(1));
            }
        }
        let mut queue: Vec<usize> = (0..runs.len()).collect();
        queue.sort_by_key(|index| (turns[*index], *index));
        for (order, index) in queue.into_iter().enumerate() {
            runs[index].order = u32::try_from(order).expect("far fewer runs than 2^32");
        }
        runs
    }
}

impl Train {
    /// Neither a `first` run that is no point as well.
    fn is_point(&self) -> bool {
        self.run.is_baseline || !self.run.axes.is_empty()
    }
}

/// Runs of one shape take the same memory and go at the same speed.
fn shape(root: &str, train: &spec::Train) -> String {
    let spec::Train { context, micro_batch, engine, devices, .. } = train;
    let engine = engine.name();
    let s = if *devices == 1 { "" } else { "s" };
    format!("{root}/{context} (micro-batch {micro_batch}, {engine}, {devices} device{s})")
}

/// The run that scores a point's weights, merged with those that it began from.
fn merge(runs: &[PlannedRun], at: usize, weight: f64) -> PlannedRun {
    let point = &runs[at];
    let RunSpec::Train(train) = &point.spec else { unreachable!("points are trained") };
    let step = train.train.steps();
    let mut of = train.clone();
    of.eval.heldout_at = vec![step];
    of.eval.tasks.values_mut().for_each(|task| task.at = vec![step]);
    let spec = RunSpec::Evaluate(EvaluateSpec { of, merge: Some(weight) });
    let mut axes = point.axes.clone();
    axes.insert(MERGE.to_owned(), Value::from(weight));
    PlannedRun {
        point: point_of(&spec, Some(&point.point)),
        kind: RunKind::Evaluate,
        label: format!("{} · merge {weight}", point.label),
        spec,
        needs: point.needs.iter().copied().chain([at]).collect(),
        axes,
        is_baseline: false,
        order: 0,
        slots: point.slots,
        preset: None,
        shape: None,
    }
}

/// The `first` runs, each behind the one whose model it takes. A circle is an error.
fn in_order_of_need<'s>(first: &'s [First], errors: &mut Errors) -> Vec<&'s First> {
    let mut ordered: Vec<&First> = Vec::new();
    let mut waiting: Vec<&First> = first.iter().collect();
    loop {
        let is_ready = |run: &&First| match &run.draft.model.value {
            Model::Run(name) => ordered.iter().any(|done| done.name == *name),
            Model::Preset(_) | Model::From(_) => true,
        };
        let (ready, rest): (Vec<&First>, Vec<&First>) = waiting.into_iter().partition(is_ready);
        if ready.is_empty() {
            for run in rest {
                let message = format!("`{}` starts, in a circle, from itself", run.name);
                errors.add(run.place, &format!("first.{}.model", run.name), message);
            }
            return ordered;
        }
        ordered.extend(ready);
        waiting = rest;
    }
}
