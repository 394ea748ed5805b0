//! The file that a user writes: one sweep, read with places, so that every error can be shown where
//! it stands.
//!
//! The file becomes a tree ([`yaml`]), the base and the `first` runs become drafts ([`draft`]), and
//! an axis ([`axis`]) overrides a path in the tree, which is then read again. So an axis value is
//! checked by the very code that checks the base.
//!
//! **Invariant:** all errors at once. Only what is no YAML ends the reading early.

pub(crate) mod axis;
mod design;
pub(crate) mod draft;
mod draw;
pub(crate) mod errors;
mod fields;
pub mod limits;
mod merge;
mod range;
mod rename;
mod resources;
mod timetable;
pub(crate) mod value;
pub(crate) mod yaml;

use crate::view::FileError;
use axis::{Axis, Exclusion};
use draft::RunDraft;
use errors::{Errors, Finding, Place};
use fields::{Fields, Keys, entries, join};
use limits::WORK_MAX;
use yaml::Node;

pub use design::Design;
pub(crate) use design::Row;
pub use errors::report;
pub(crate) use fields::Placed;
pub use rename::{renamed, unscheduled};
pub use resources::{PRIORITIES, Resources};
pub use timetable::{Overlap, Timetable};

/// JSON Schema (draft 2020-12) of the file, for editors: what a schema can say of it.
pub const SCHEMA: &str = include_str!("../../../docs/sweep.schema.json");

/// A sweep file whose every key and value is understood.
#[derive(Clone, Debug)]
pub struct Sweep {
    pub name: String,
    pub design: Design,
    pub resources: Resources,
    pub limits: Limits,
    /// Whether the first run of each shape goes ahead of the others; none: as the pool has it.
    pub canary: Option<bool>,
    /// When it is applied again and again; none: once, now.
    pub schedule: Option<Timetable>,
    /// What another sweep of the project has trained is not trained again.
    pub reuse: bool,
    pub(crate) first: Vec<First>,
    pub(crate) base: Node,
    pub(crate) axes: Vec<Axis>,
    /// The points of `zip`, `list` and `random`; without the axis `seed`.
    pub(crate) rows: Vec<Row>,
    pub(crate) exclude: Vec<Exclusion>,
    /// Shares of the trained weights, each in a linear mean with those that a point began from.
    pub(crate) merge: Vec<Placed<f64>>,
    /// The file, for the lines that errors show.
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Runs at once; none: as many as the pool has slots for.
    pub parallel: Option<u32>,
    /// Passes over a source; more is refused (2305.16264).
    pub epochs: f64,
    /// Hours of slots that its attempts may use; none: as many as it takes.
    pub gpu_hours: Option<f64>,
    /// So many runs that fail with one error pause the sweep; none: they do not.
    pub same_error: Option<u32>,
}

impl Limits {
    const NONE: Self =
        Self { parallel: None, epochs: EPOCHS_DEFAULT, gpu_hours: None, same_error: None };

    /// What its attempts may use, in slots times milliseconds.
    #[must_use]
    pub fn slot_ms(&self) -> Option<u64> {
        self.gpu_hours.map(|hours| value::rounded(hours * 3_600_000.0).max(1))
    }
}

/// A run that others start from.
#[derive(Clone, Debug)]
pub(crate) struct First {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) draft: RunDraft,
}

pub(crate) const EPOCHS_DEFAULT: f64 = 4.0;

const SWEEP: Keys = Keys {
    known: &[
        "assay",
        "sweep",
        "design",
        "points",
        "first",
        "base",
        "axes",
        "exclude",
        "merge",
        "resources",
        "limits",
        "canary",
        "schedule",
        "reuse",
    ],
    later: &["evaluate", "project", "priority", "stop_early"],
};
const LIMITS: Keys =
    Keys { known: &["parallel", "epochs", "gpu_hours", "same_error"], later: &["hours"] };

/// Reads a sweep file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(text: &str) -> Result<Sweep, Vec<FileError>> {
    let mut errors = Errors::default();
    match read(text, &mut errors) {
        Some(sweep) if errors.is_empty() => Ok(sweep),
        _ => Err(errors.into_file_errors(text)),
    }
}

fn read(text: &str, errors: &mut Errors) -> Option<Sweep> {
    let root = yaml::read(text, errors)?;
    let file = Fields::open(&root, "", SWEEP, errors)?;
    let missing = "a sweep file begins with `assay: v1`: it says which defaults hold";
    file.required("assay", |node| value::word(node, &[("v1", ())], &[]), missing, errors);
    let missing = "no default for sweep: its name, unique in the project";
    let name = file.required("sweep", sweep_name, missing, errors);
    let design = design::read(&file, errors);
    let first_names = match file.entry("first") {
        Some(entry) => axis::first_names(&entry.value, errors),
        None => Vec::new(),
    };
    let first = read_first(&file, &first_names, errors);
    let resources = resources::read(&file, errors);
    let limits = limits(&file, errors);
    let canary = file.value("canary", value::truth, errors).map(|canary| canary.value);
    let schedule = timetable::read(&file, errors);
    if let (Some(_), Some(name)) = (file.entry("schedule"), &name) {
        timetable::check_name(&name.value, name.place, errors);
    }
    let reuse = file.value("reuse", value::truth, errors);
    let Some(base) = file.entry("base").map(|entry| &entry.value) else {
        errors.add(root.place, "base", "no default for base: one whole run that the axes vary");
        return None;
    };
    RunDraft::read(base, "base", &first_names, errors);
    let (mut axes, listed) = design::axes_and_points(&file, design, base, errors);
    let n_values: usize = axes.iter().map(|axis| axis.values.len()).sum();
    if WORK_MAX < n_values.saturating_mul(base.count()) {
        errors.add(base.place, "axes", too_much(n_values, "values of axes", base));
        return None;
    }
    for axis in &axes {
        check_values(axis, base, &first_names, errors);
    }
    let exclude = match file.entry("exclude") {
        Some(entry) => axis::read_exclusions(&entry.value, &axes, base, errors),
        None => Vec::new(),
    };
    let merge = merge::read(&file, errors);
    let rows = design::rows(design, &mut axes, &exclude, listed, errors);
    Some(Sweep {
        name: name?.value,
        design,
        resources,
        limits,
        canary,
        schedule,
        reuse: reuse.is_some_and(|reuse| reuse.value),
        first,
        base: base.clone(),
        axes,
        rows,
        exclude,
        merge,
        text: text.to_owned(),
    })
}

/// A sweep is read value by value and planned point by point, each time with the whole base.
pub(crate) fn too_much(n: usize, what: &str, base: &Node) -> String {
    let each = base.count();
    format!("{n} {what} with {each} values in the base; the limit is {WORK_MAX} in all")
}

/// Whether a sweep could have this name.
#[must_use]
pub fn is_sweep_name(text: &str) -> bool {
    value::sweep_name(text).is_ok()
}

/// Whether a schedule, a pool or a source could have this name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    value::name(text).is_ok()
}

fn sweep_name(node: &Node) -> value::Read<String> {
    let name = value::text(node)?;
    value::sweep_name(&name)?;
    Ok(name)
}

fn plain_name(node: &Node) -> value::Read<String> {
    let name = value::text(node)?;
    value::name(&name)?;
    Ok(name)
}

fn read_first(file: &Fields<'_>, names: &[String], errors: &mut Errors) -> Vec<First> {
    let Some(first) = file.entry("first") else { return Vec::new() };
    // That it is no mapping was said when its names were read.
    let entries = entries(&first.value, "first", &mut Errors::default()).unwrap_or_default();
    let mut runs = Vec::new();
    for entry in entries {
        let path = join("first", &entry.key);
        if let Some(draft) = RunDraft::read(&entry.value, &path, names, errors) {
            runs.push(First { name: entry.key.clone(), place: entry.place, draft });
        }
    }
    runs
}

/// Puts each value into the base by itself and keeps what is wrong with it then, but was not before.
fn check_values(axis: &Axis, base: &Node, first_names: &[String], errors: &mut Errors) {
    let section = if axis.is_of_points() { "points" } else { "axes" };
    let shown = join(section, &axis.path);
    if let Some((section, _)) = axis.path.split_once('.')
        && base.entry(section).is_none()
    {
        // That the base lacks it was said; each value would only say it again.
        return;
    }
    let ends = axis.range.iter().flat_map(|range| &range.ends);
    for node in axis.values.iter().map(|value| &value.node).chain(ends) {
        if axis.mixture_source().is_some() {
            if let Err(message) = value::share(node) {
                errors.add(node.place, &shown, message);
            }
            continue;
        }
        let run = axis::with_value(base, &axis.path, node, node.place);
        let mut found = Errors::default();
        RunDraft::read(&run, "base", first_names, &mut found);
        for Finding { place, path, message } in found.findings {
            let is_of_base = |known: &Finding| {
                known.place == place && known.path == path && known.message == message
            };
            if !errors.findings.iter().any(is_of_base) {
                errors.add(place, &path.replacen("base", section, 1), message);
            }
        }
    }
}

fn limits(file: &Fields<'_>, errors: &mut Errors) -> Limits {
    let fields =
        file.entry("limits").and_then(|entry| Fields::open(&entry.value, "limits", LIMITS, errors));
    let Some(fields) = fields else {
        return Limits::NONE;
    };
    let parallel = fields.value("parallel", value::positive_count, errors);
    let epochs = fields.value("epochs", value::above_zero, errors);
    let gpu_hours = fields.value("gpu_hours", gpu_hours, errors);
    let same_error = fields.value("same_error", value::positive_count, errors);
    Limits {
        parallel: parallel.map(|parallel| parallel.value),
        epochs: epochs.map_or(EPOCHS_DEFAULT, |epochs| epochs.value),
        gpu_hours: gpu_hours.map(|hours| hours.value),
        same_error: same_error.map(|runs| runs.value),
    }
}

fn gpu_hours(node: &Node) -> value::Read<f64> {
    /// A hundred thousand GPUs for a year.
    const GPU_HOURS_MAX: f64 = 1e9;
    match value::above_zero(node)? {
        hours if hours <= GPU_HOURS_MAX => Ok(hours),
        hours => Err(format!("expected at most {GPU_HOURS_MAX} hours, found {hours}")),
    }
}
