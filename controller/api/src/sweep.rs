//! The file that a user writes: one sweep, read with places, so that every error can be shown where
//! it stands.
//!
//! The file becomes a tree ([`yaml`]), the base and the `first` runs become drafts ([`draft`]), and
//! an axis ([`axis`]) overrides a path in the tree, which is then read again. So an axis value is
//! checked by the very code that checks the base.
//!
//! **Invariant:** all errors at once. Only what is no YAML ends the reading early.

pub(crate) mod axis;
pub(crate) mod draft;
pub(crate) mod errors;
mod fields;
mod rename;
mod resources;
pub(crate) mod value;
pub(crate) mod yaml;

use crate::view::FileError;
use axis::{Axis, Exclusion};
use draft::RunDraft;
use errors::{Errors, Finding, Place};
use fields::{Fields, Keys, entries, join};
use yaml::{Content, Node};

pub use errors::report;
pub(crate) use fields::Placed;
pub use rename::renamed;
pub use resources::Resources;

/// A sweep file whose every key and value is understood.
#[derive(Clone, Debug)]
pub struct Sweep {
    pub name: String,
    pub design: Design,
    pub resources: Resources,
    pub limits: Limits,
    pub(crate) first: Vec<First>,
    pub(crate) base: Node,
    pub(crate) axes: Vec<Axis>,
    pub(crate) exclude: Vec<Exclusion>,
    /// The file, for the lines that errors show.
    pub(crate) text: String,
}

/// How axes become points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// The full product.
    Grid,
    /// The base, and each axis varied alone.
    OneAtATime,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Runs at once; none: as many as the pool has slots for.
    pub parallel: Option<u32>,
    /// Passes over a source; more is refused (2305.16264).
    pub epochs: f64,
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
    known: &["assay", "sweep", "design", "first", "base", "axes", "exclude", "resources", "limits"],
    later: &["reuse", "evaluate", "merge", "project", "priority", "stop_early"],
};
const LIMITS: Keys =
    Keys { known: &["parallel", "epochs"], later: &["gpu_hours", "same_error", "hours"] };

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
    let design = file.value("design", design, errors);
    let first_names = match file.entry("first") {
        Some(entry) => axis::first_names(&entry.value, errors),
        None => Vec::new(),
    };
    let first = read_first(&file, &first_names, errors);
    let resources = resources::read(&file, errors);
    let limits = limits(&file, errors);
    let Some(base) = file.entry("base").map(|entry| &entry.value) else {
        errors.add(root.place, "base", "no default for base: one whole run that the axes vary");
        return None;
    };
    RunDraft::read(base, "base", &first_names, errors);
    let axes = match file.entry("axes") {
        Some(entry) => axis::read_axes(&entry.value, base, errors),
        None => Vec::new(),
    };
    for axis in &axes {
        check_values(axis, base, &first_names, errors);
    }
    let exclude = match file.entry("exclude") {
        Some(entry) => axis::read_exclusions(&entry.value, &axes, base, errors),
        None => Vec::new(),
    };
    Some(Sweep {
        name: name?.value,
        design: design.map_or(Design::Grid, |design| design.value),
        resources,
        limits,
        first,
        base: base.clone(),
        axes,
        exclude,
        text: text.to_owned(),
    })
}

fn sweep_name(node: &Node) -> value::Read<String> {
    let name = value::text(node)?;
    value::name(&name)?;
    Ok(name)
}

fn design(node: &Node) -> value::Read<Design> {
    if let Content::Map(entries) = &node.content
        && entries.iter().any(|entry| entry.key == "random")
    {
        return Err(
            "the design `random` is not there yet; expected one of grid, one_at_a_time".into()
        );
    }
    let words = [("grid", Design::Grid), ("one_at_a_time", Design::OneAtATime)];
    value::word(node, &words, &["zip", "list", "random"])
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
    let shown = join("axes", &axis.path);
    if let Some((section, _)) = axis.path.split_once('.')
        && base.entry(section).is_none()
    {
        // That the base lacks it was said; each value would only say it again.
        return;
    }
    for value in &axis.values {
        if axis.mixture_source().is_some() {
            if let Err(message) = value::share(&value.node) {
                errors.add(value.node.place, &shown, message);
            }
            continue;
        }
        let run = axis::with_value(base, &axis.path, &value.node, value.node.place);
        let mut found = Errors::default();
        RunDraft::read(&run, "base", first_names, &mut found);
        for Finding { place, path, message } in found.findings {
            let is_of_base = |known: &Finding| {
                known.place == place && known.path == path && known.message == message
            };
            if !errors.findings.iter().any(is_of_base) {
                errors.add(place, &path.replacen("base", "axes", 1), message);
            }
        }
    }
}

fn limits(file: &Fields<'_>, errors: &mut Errors) -> Limits {
    let fields =
        file.entry("limits").and_then(|entry| Fields::open(&entry.value, "limits", LIMITS, errors));
    let Some(fields) = fields else {
        return Limits { parallel: None, epochs: EPOCHS_DEFAULT };
    };
    let parallel = fields.value("parallel", value::positive_count, errors);
    let epochs = fields.value("epochs", value::above_zero, errors);
    Limits {
        parallel: parallel.map(|parallel| parallel.value),
        epochs: epochs.map_or(EPOCHS_DEFAULT, |epochs| epochs.value),
    }
}
