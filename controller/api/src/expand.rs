//! A sweep file becomes runs: the same runs, in the same order, every time.
//!
//! The design chooses values for the axes ([`design`]); each choice is put into the base and
//! completed with every default ([`resolve`]); the point is the hash of what trains it ([`point`]).
//! Prepared data and the runs that others start from stand before those that need them.
//!
//! **Invariant:** no two runs have the same point, and every choice of the design has its run.
//! **Invariant:** a run needs only runs that stand before it, also in the order of the queue.

mod cost;
mod design;
mod label;
mod point;
mod resolve;
mod runs;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::preset::Preset;
use crate::spec::{Engine, RunSpec};
use crate::sweep::errors::Errors;
use crate::sweep::{Limits, Resources, Sweep, Timetable};
use crate::view::{AxisView, FileError, RunKind};

pub use cost::{source_tokens_needed, train_flops};
pub use point::point_of;

/// A sweep is compared by people and planned as a whole: more points are a mistake.
pub const POINTS_MAX: usize = 10_000;

/// The axis of merged weights: the share of what was trained.
pub(crate) const MERGE: &str = "merge";

/// What the file does not say.
#[derive(Clone, Debug)]
pub struct Context {
    /// Absolute; relative paths start here.
    pub folder: String,
    /// What `engine: auto` means on the sweep's pool.
    pub engine: Engine,
}

/// What a sweep file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    pub name: String,
    pub axes: Vec<AxisView>,
    pub limits: Limits,
    pub resources: Resources,
    /// Whether the first run of each shape goes ahead of the others; none: as the pool has it.
    pub canary: Option<bool>,
    /// When it is applied again and again; none: once, now.
    pub schedule: Option<Timetable>,
    /// What another sweep of the project has trained is not trained again.
    pub reuse: bool,
    pub runs: Vec<PlannedRun>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// The hash of what trains it, in hex: see [`point_of`].
    pub point: String,
    pub kind: RunKind,
    /// For people: the axis values, the name of a `first` run, or `prepare general`.
    pub label: String,
    pub spec: RunSpec,
    /// Indices of the runs that must succeed first: all of them smaller than its own.
    pub needs: Vec<usize>,
    /// Each axis's path with this run's value; empty for `first` and `prepare`.
    pub axes: BTreeMap<String, Value>,
    /// The base as written.
    pub is_baseline: bool,
    /// Its place in the queue, from 0: prepares, `first`, the baseline, the corners, the first seed
    /// of everything, the other seeds.
    pub order: u32,
    pub slots: u32,
    /// The preset that its weights began as; none for a folder, whose size is not known here.
    pub preset: Option<&'static Preset>,
    /// What decides whether it fits and how fast it goes, for a train run: `llama-8b/4096 (micro-batch
    /// 1, cpu-f32, 1 device)`.
    pub shape: Option<String>,
}

impl PlannedRun {
    /// Floating-point operations of its training, estimated; none where the model's size is not
    /// known.
    #[must_use]
    pub fn flops(&self) -> Option<f64> {
        match &self.spec {
            RunSpec::Prepare(_) | RunSpec::Evaluate(_) => Some(0.0),
            RunSpec::Train(spec) => {
                let preset = self.preset?;
                let size = (preset.layers, preset.width);
                Some(train_flops(&spec.train, preset.parameters, Some(size)))
            }
        }
    }
}

/// Expands a sweep to its runs.
///
/// # Errors
/// What is wrong with the runs, though each value alone is right: for example shares that sum over
/// 1, or a warmup and a decay that are longer than the run.
pub fn expand(sweep: &Sweep, context: &Context) -> Result<Expansion, Vec<FileError>> {
    let mut errors = Errors::default();
    let runs = runs::plan(sweep, context, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into_file_errors(&sweep.text));
    }
    let axes = sweep.axes.iter().map(|axis| AxisView {
        path: axis.path.clone(),
        label: axis.label.clone(),
        values: axis.values.iter().map(|value| value.json.clone()).collect(),
    });
    let weights = sweep.merge.iter().map(|weight| Value::from(weight.value));
    let merge = (!sweep.merge.is_empty()).then(|| AxisView {
        path: MERGE.to_owned(),
        label: MERGE.to_owned(),
        values: weights.chain([Value::from(1)]).collect(),
    });
    Ok(Expansion {
        name: sweep.name.clone(),
        axes: axes.chain(merge).collect(),
        limits: sweep.limits,
        resources: sweep.resources.clone(),
        canary: sweep.canary,
        schedule: sweep.schedule.clone(),
        reuse: sweep.reuse,
        runs,
    })
}
