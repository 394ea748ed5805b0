//! Axes: which paths can vary, what stands there, and what is left out.

use serde_json::Value;

use super::draft::{check_name, few};
use super::errors::{Errors, Place, did_you_mean};
use super::fields::{entries, join};
use super::limits::EXCLUSIONS_MAX;
use super::range::{Range, is_range};
use super::value;
use super::yaml::{Content, Entry, Node};
use crate::expand::POINTS_MAX;

/// The paths of a run that an axis can vary, apart from those that hold a source's name.
const PATHS: [&str; 26] = [
    "model",
    "model.preset",
    "model.from",
    "model.run",
    "data.mixture",
    "data.document_masks",
    "train.tokens",
    "train.context",
    "train.batch",
    "train.micro_batch",
    "train.lr",
    "train.lr.peak",
    "train.lr.schedule",
    "train.lr.warmup",
    "train.lr.decay",
    "train.lr.floor",
    "train.adamw",
    "train.adamw.beta1",
    "train.adamw.beta2",
    "train.adamw.eps",
    "train.adamw.weight_decay",
    "train.clip",
    "train.z_loss",
    "train.engine",
    "train.devices",
    SEED,
];
const SOURCE_KEYS: [&str; 3] = ["path", "field", "group_by"];

/// Short names for the paths everyone uses; `mix.<source>` is the fifth.
const SHORT: [(&str, &str); 4] =
    [("lr", "train.lr.peak"), ("warmup", "train.lr.warmup"), ("model", "model"), ("seed", SEED)];
const SHORT_MIX: &str = "mix.";
pub(crate) const MIXTURE: &str = "data.mixture.";
pub(crate) const SEED: &str = "train.seed";
/// A rate as a ratio of the peak that the base was pretrained with.
pub(crate) const OF_BASE: &str = "of_base";

/// One axis: a path with its values.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) path: String,
    /// The short name where the path has one.
    pub(crate) label: String,
    pub(crate) place: Place,
    /// No two are equal. Of a range: what was drawn.
    pub(crate) values: Vec<AxisValue>,
    /// The values as `axes` has them one after the other, by index: `zip` walks them so.
    pub(crate) written: Vec<usize>,
    pub(crate) range: Option<Range>,
}

#[derive(Clone, Debug)]
pub(crate) struct AxisValue {
    pub(crate) node: Node,
    pub(crate) json: Value,
    /// As written, for people.
    pub(crate) text: String,
}

/// Points to leave out: those that have all of these values.
#[derive(Clone, Debug)]
pub(crate) struct Exclusion {
    /// Index of the axis, and the value.
    pub(crate) matches: Vec<(usize, Value)>,
}

impl Axis {
    pub(crate) fn new(path: String, place: Place) -> Self {
        let label = short_name(&path);
        Self { path, label, place, values: Vec::new(), written: Vec::new(), range: None }
    }

    /// Adds a value unless an equal one is there; returns its index.
    pub(crate) fn add(&mut self, node: &Node) -> usize {
        let value = self.value_of(node);
        let known = self.values.iter().position(|other| other.json == value.json);
        known.unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        })
    }

    /// Whether the points of `list` name it, and not `axes`.
    pub(crate) fn is_of_points(&self) -> bool {
        self.written.is_empty() && self.range.is_none()
    }

    pub(crate) fn is_seed(&self) -> bool {
        self.path == SEED
    }

    /// The source whose share it varies.
    pub(crate) fn mixture_source(&self) -> Option<&str> {
        self.path.strip_prefix(MIXTURE)
    }

    pub(crate) fn value_of(&self, node: &Node) -> AxisValue {
        AxisValue { json: json_of(node, &self.path), text: text_of(node), node: node.clone() }
    }
}

impl AxisValue {
    /// Its number without the unit, or its ratio; NaN: it is a word.
    pub(crate) fn number(&self) -> f64 {
        let Content::Plain(text) = &ratio_of(&self.node).unwrap_or(&self.node).content else {
            return f64::NAN;
        };
        let digits = text.trim_end_matches("steps").trim_end();
        let count = || value::counted(digits).map(value::as_float);
        let number = value::percent(digits).or_else(count).or_else(|| value::decimal(digits));
        number.unwrap_or(f64::NAN)
    }
}

/// What stands in `{of_base: …}` where that is all.
pub(crate) fn ratio_of(node: &Node) -> Option<&Node> {
    match &node.content {
        Content::Map(only) if only.len() == 1 && only[0].key == OF_BASE => Some(&only[0].value),
        Content::Null
        | Content::Plain(_)
        | Content::Quoted(_)
        | Content::List(_)
        | Content::Map(_) => None,
    }
}

/// Every axis whose path is known; `base` says which sources there are.
pub(crate) fn read_axes(node: &Node, base: &Node, errors: &mut Errors) -> Vec<Axis> {
    let sources = source_names(base);
    let mut axes: Vec<Axis> = Vec::new();
    for entry in entries(node, "axes", errors).unwrap_or_default() {
        let shown = join("axes", &entry.key);
        let Some(path) = new_path(entry, &axes, &sources, &shown, errors) else { continue };
        if let Some(axis) = read_axis(entry, path, &shown, errors) {
            axes.push(axis);
        }
    }
    axes
}

/// The path that a key names, unless an axis sets it already.
pub(crate) fn new_path(
    entry: &Entry,
    axes: &[Axis],
    sources: &[&str],
    shown: &str,
    errors: &mut Errors,
) -> Option<String> {
    let path = full_path(&entry.key, sources);
    let path = path.map_err(|message| errors.add(entry.place, shown, message)).ok()?;
    if let Some(other) = axes.iter().find(|axis| overlap(&axis.path, &path)) {
        let message = format!(
            "overlaps with the axis `{}` on line {}: both set `{path}`",
            other.label, other.place.line
        );
        errors.add(entry.place, shown, message);
        return None;
    }
    Some(path)
}

fn read_axis(entry: &Entry, path: String, shown: &str, errors: &mut Errors) -> Option<Axis> {
    // `{of_base: [0.1, 0.3]}` is `[{of_base: 0.1}, {of_base: 0.3}]`
    let (node, of_base) = match ratio_of(&entry.value) {
        Some(ratios) => (ratios, true),
        None => (&entry.value, false),
    };
    let mut axis = Axis::new(path, entry.place);
    match &node.content {
        Content::List(nodes) if nodes.is_empty() => {
            errors.add(node.place, shown, "an empty axis gives no runs; write at least one value");
            return None;
        }
        Content::List(nodes) if POINTS_MAX < nodes.len() => {
            let n = nodes.len();
            let message = format!("{n} values; a sweep has at most {POINTS_MAX} points");
            errors.add(node.place, shown, message);
            return None;
        }
        Content::List(nodes) => {
            for node in nodes {
                let index = axis.add(&wrapped(node.clone(), of_base));
                axis.written.push(index);
            }
        }
        Content::Map(_) if is_range(node) => {
            axis.range = Some(Range::read(node, &axis.path, of_base, shown, errors)?);
        }
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::Map(_) => {
            let found = node.describe();
            errors.add(node.place, shown, format!("expected a list of values, found {found}"));
            return None;
        }
    }
    Some(axis)
}

/// `0.1`, or `{of_base: 0.1}`.
pub(crate) fn wrapped(node: Node, of_base: bool) -> Node {
    if !of_base {
        return node;
    }
    let place = node.place;
    let entry = Entry { key: OF_BASE.to_owned(), place, value: node };
    Node { place, content: Content::Map(vec![entry]) }
}

pub(crate) fn read_exclusions(
    node: &Node,
    axes: &[Axis],
    base: &Node,
    errors: &mut Errors,
) -> Vec<Exclusion> {
    let Content::List(nodes) = &node.content else {
        let message = format!(
            "expected a list such as [{{lr: 3e-3, warmup: 0%}}], found {}",
            node.describe()
        );
        errors.add(node.place, "exclude", message);
        return Vec::new();
    };
    if EXCLUSIONS_MAX < nodes.len() {
        let n = nodes.len();
        let message = format!("{n} exclusions; the limit is {EXCLUSIONS_MAX}: change the axes");
        errors.add(node.place, "exclude", message);
        return Vec::new();
    }
    let mut exclusions = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let shown = format!("exclude.{index}");
        let entries = entries(node, &shown, errors).unwrap_or_default();
        if entries.is_empty() && matches!(node.content, Content::Map(_)) {
            errors.add(node.place, &shown, "an empty exclusion would leave out every point");
        }
        let matches = entries
            .iter()
            .filter_map(|entry| {
                exclusion_match(entry, &join(&shown, &entry.key), axes, base, errors)
            })
            .collect();
        exclusions.push(Exclusion { matches });
    }
    exclusions
}

fn exclusion_match(
    entry: &Entry,
    shown: &str,
    axes: &[Axis],
    base: &Node,
    errors: &mut Errors,
) -> Option<(usize, Value)> {
    let path = full_path(&entry.key, &source_names(base)).unwrap_or_else(|_| entry.key.clone());
    let Some(index) = axes.iter().position(|axis| axis.path == path) else {
        let names = || axes.iter().flat_map(|axis| [axis.label.as_str(), axis.path.as_str()]);
        let hint = did_you_mean(&entry.key, names());
        let known: Vec<&str> = axes.iter().map(|axis| axis.label.as_str()).collect();
        let message = format!("no axis `{}`{hint} (axes: {})", entry.key, known.join(", "));
        errors.add(entry.place, shown, message);
        return None;
    };
    let axis = &axes[index];
    if axis.range.is_some() {
        let message =
            "what is drawn from a range cannot be left out by its value; narrow the range";
        errors.add(entry.place, shown, message);
        return None;
    }
    let wanted = axis.value_of(&entry.value);
    let base_value = base.at(&axis.path).map(|node| axis.value_of(node).json);
    if axis.values.iter().all(|value| value.json != wanted.json)
        && base_value.is_none_or(|value| value != wanted.json)
    {
        let values: Vec<&str> = axis.values.iter().map(|value| value.text.as_str()).collect();
        let message =
            format!("`{}` is no value of this axis, which has {}", wanted.text, values.join(", "));
        errors.add(entry.value.place, shown, message);
        return None;
    }
    Some((index, wanted.json))
}

/// The run with another value at a path; what leads there is made where it is missing.
pub(crate) fn with_value(run: &Node, path: &str, value: &Node, place: Place) -> Node {
    let (key, rest) = match path.split_once('.') {
        Some((key, rest)) => (key, Some(rest)),
        None => (path, None),
    };
    let mut entries = match &run.content {
        Content::Map(entries) => entries.clone(),
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::List(_) => Vec::new(),
    };
    let missing = Node { place, content: Content::Map(Vec::new()) };
    let replace = |old: &Node| match rest {
        Some(rest) => with_value(old, rest, value, place),
        None => value.clone(),
    };
    match entries.iter_mut().find(|entry| entry.key == key) {
        Some(entry) => entry.value = replace(&entry.value),
        None => entries.push(Entry { key: key.to_owned(), place, value: replace(&missing) }),
    }
    Node { place: run.place, content: Content::Map(entries) }
}

pub(crate) fn full_path(written: &str, sources: &[&str]) -> Result<String, String> {
    if let Some((_, path)) = SHORT.iter().find(|(short, _)| *short == written) {
        return Ok((*path).to_owned());
    }
    for prefix in [SHORT_MIX, MIXTURE] {
        if let Some(source) = written.strip_prefix(prefix) {
            return if sources.contains(&source) {
                Ok(format!("{MIXTURE}{source}"))
            } else {
                let hint = did_you_mean(source, sources.iter().copied());
                Err(format!("no source `{source}`{hint} (known: {})", sources.join(", ")))
            };
        }
    }
    let source_paths = || {
        let path = |source| move |key: &&str| format!("data.sources.{source}.{key}");
        sources.iter().flat_map(move |source| SOURCE_KEYS.iter().map(path(source)))
    };
    let paths = || PATHS.iter().map(|path| (*path).to_owned());
    let known: Vec<String> = paths()
        .chain(source_paths())
        .chain(
            sources
                .iter()
                .flat_map(|source| [format!("{SHORT_MIX}{source}"), format!("{MIXTURE}{source}")]),
        )
        .chain(SHORT.iter().map(|(short, _)| (*short).to_owned()))
        .collect();
    if paths().chain(source_paths()).any(|path| path == written) {
        return Ok(written.to_owned());
    }
    Err(match written.split('.').next() {
        Some("eval") => {
            "evaluation is no part of a point: it must be equal for all runs".to_owned()
        }
        Some("heldout") => HELDOUT_FIXED.to_owned(),
        _ if written.starts_with("data.heldout") => HELDOUT_FIXED.to_owned(),
        _ if written.starts_with("base.") => {
            format!(
                "no such path `{written}`: paths of axes start inside the base; write `{}`",
                &written[5..]
            )
        }
        _ => {
            let hint = did_you_mean(written, known.iter().map(String::as_str));
            format!("no such path `{written}` in a run{hint}")
        }
    })
}

const HELDOUT_FIXED: &str =
    "the held-out part must be equal for all runs, or they cannot be compared";

pub(crate) fn source_names(base: &Node) -> Vec<&str> {
    match base.at("data.sources").map(|node| &node.content) {
        Some(Content::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn overlap(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn short_name(path: &str) -> String {
    if let Some(source) = path.strip_prefix(MIXTURE) {
        return format!("{SHORT_MIX}{source}");
    }
    let short = SHORT.iter().find(|(_, full)| *full == path).map(|(short, _)| *short);
    short.unwrap_or(path).to_owned()
}

/// The value as JSON, so that two spellings of one number are equal. A share of the steps stays as
/// written: its unit is part of what it says; and a ratio of the base's rate is `0.1x`.
pub(crate) fn json_of(node: &Node, path: &str) -> Value {
    if let Some(ratio) = ratio_of(node) {
        return Value::from(format!("{}x", json_of(ratio, path)));
    }
    match &node.content {
        Content::Null => Value::Null,
        Content::Quoted(text) => Value::from(text.as_str()),
        Content::Plain(text) => {
            let share = if path.starts_with("data.mixture") || path == "train.lr.floor" {
                value::percent(text)
            } else {
                None
            };
            match (text.as_str(), value::counted(text), share.or_else(|| value::decimal(text))) {
                ("true", _, _) => Value::Bool(true),
                ("false", _, _) => Value::Bool(false),
                (_, Some(count), _) => Value::from(count),
                (_, None, Some(number)) => json_number(number),
                (text, None, None) => match value::percent(text) {
                    Some(share) => Value::from(format!("{}%", value::shown(share * 100.0))),
                    None => Value::from(text),
                },
            }
        }
        Content::List(nodes) => nodes.iter().map(|node| json_of(node, path)).collect(),
        Content::Map(entries) => Value::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json_of(&entry.value, &join(path, &entry.key))))
                .collect(),
        ),
    }
}

/// Whole numbers without a point, as the file writes them: 1.0 and 1 are one value.
pub(crate) fn json_number(number: f64) -> Value {
    let is_count = number.fract() == 0.0 && (0.0..9e15).contains(&number);
    if is_count { Value::from(value::rounded(number)) } else { Value::from(number) }
}

fn text_of(node: &Node) -> String {
    if let Some(ratio) = ratio_of(node) {
        return format!("{}x", text_of(ratio));
    }
    match &node.content {
        Content::Null => "none".to_owned(),
        Content::Plain(text) | Content::Quoted(text) => text.clone(),
        Content::List(nodes) => nodes.iter().map(text_of).collect::<Vec<_>>().join(", "),
        // `{preset: llama-1m}` is known by what it names; of several keys, each is said.
        Content::Map(entries) if entries.len() == 1 && entries[0].key != "peak" => {
            text_of(&entries[0].value)
        }
        Content::Map(entries) => {
            let parts: Vec<String> = entries
                .iter()
                .map(|entry| format!("{} {}", entry.key, text_of(&entry.value)))
                .collect();
            parts.join(", ")
        }
    }
}

/// Names of `first` runs, checked.
pub(crate) fn first_names(node: &Node, errors: &mut Errors) -> Vec<String> {
    let mut names = Vec::new();
    let listed = entries(node, "first", errors).unwrap_or_default();
    if few("runs", listed, node.place, "first", errors).is_none() {
        return names;
    }
    for entry in listed {
        check_name(&entry.key, entry.place, &join("first", &entry.key), errors);
        names.push(entry.key.clone());
    }
    names
}
