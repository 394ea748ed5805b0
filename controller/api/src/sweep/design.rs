//! `design`: how axes become points.

use std::collections::{BTreeSet, HashMap};

use super::axis::{Axis, AxisValue, Exclusion, full_path, new_path, read_axes, source_names};
use super::draw::{Shuffle, below, word};
use super::errors::{Errors, Place, did_you_mean};
use super::fields::{Fields, Keys, entries, join};
use super::value;
use super::yaml::{Content, Node};
use crate::expand::POINTS_MAX;

/// How axes become points. The axis `seed` is never one of them: every point comes in all its seeds,
/// except in a grid, where that is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// The full product.
    Grid,
    /// The base, and each axis varied alone.
    OneAtATime,
    /// The first values of all axes, then the second ones, and so on.
    Zip,
    /// The points are written out.
    List,
    /// So many points are drawn, without repetition.
    Random { points: u32, seed: u64 },
}

/// One point by the index of its value on each axis; none: the base's own value.
pub(crate) type Row = Vec<Option<usize>>;

const RANDOM: Keys = Keys { known: &["points", "seed"], later: &[] };
const WORDS: [(&str, Design); 4] = [
    ("grid", Design::Grid),
    ("one_at_a_time", Design::OneAtATime),
    ("zip", Design::Zip),
    ("list", Design::List),
];
const EXPECTED: &str = "one of grid, one_at_a_time, zip, list and {random: {points: 20, seed: 1}}";
/// A grid of more points than whole numbers that a double holds has no end that anybody will see.
const GRID_MAX: u64 = 1 << 53;
/// So many draws for each point wanted: more are excluded or repeated than there is a point in.
const DRAWS_PER_POINT: u64 = 100;

pub(super) fn read(file: &Fields<'_>, errors: &mut Errors) -> Design {
    let Some(entry) = file.entry("design") else { return Design::Grid };
    let read = match &entry.value.content {
        Content::Map(_) => return random(&entry.value, errors).unwrap_or(Design::Grid),
        Content::Plain(text) => {
            let known = WORDS.iter().find(|(name, _)| name == text).map(|(_, design)| *design);
            known.ok_or_else(|| {
                let names = WORDS.iter().map(|(name, _)| *name).chain(["random"]);
                let hint = did_you_mean(text, names.filter(|name| name != text));
                format!("expected {EXPECTED}, found `{text}`{hint}")
            })
        }
        Content::Null | Content::Quoted(_) | Content::List(_) => {
            Err(format!("expected {EXPECTED}, found {}", entry.value.describe()))
        }
    };
    read.unwrap_or_else(|message| {
        errors.add(entry.value.place, "design", message);
        Design::Grid
    })
}

fn random(node: &Node, errors: &mut Errors) -> Option<Design> {
    let fields = Fields::open(node, "design", Keys { known: &["random"], later: &[] }, errors)?;
    let Some(entry) = fields.entry("random") else {
        errors.add(node.place, "design", format!("expected {EXPECTED}, found a mapping"));
        return None;
    };
    let fields = Fields::open(&entry.value, "design.random", RANDOM, errors)?;
    let missing = "no default for points: how many to draw, for example `points: 20`";
    let points = fields.required("points", value::positive_count, missing, errors);
    let seed = fields.value("seed", value::seed, errors).map_or(1, |seed| seed.value);
    Some(Design::Random { points: points?.value, seed })
}

/// The axes of the file; with `list` those that its points name, and the rows of these points.
pub(super) fn axes_and_points(
    file: &Fields<'_>,
    design: Design,
    base: &Node,
    errors: &mut Errors,
) -> (Vec<Axis>, Vec<Row>) {
    let axes = match file.entry("axes") {
        Some(entry) => read_axes(&entry.value, base, errors),
        None => Vec::new(),
    };
    for axis in axes.iter().filter(|axis| axis.range.is_some()) {
        if !matches!(design, Design::Random { .. }) {
            let message = "a range has no values of its own: write a list of them, or draw from it \
                           with `design: {random: {points: 20, seed: 1}}`";
            errors.add(axis.place, &join("axes", &axis.label), message);
        }
    }
    match (design, file.entry("points")) {
        (Design::List, Some(entry)) => listed(&entry.value, axes, base, errors),
        (Design::List, None) => {
            let message = "no default for points: `design: list` runs those that are written \
                           there, for example `points: [{lr: 1e-3, warmup: 0%}, {lr: 3e-3}]`";
            errors.add(file.node.place, "points", message);
            (axes, Vec::new())
        }
        (_, Some(entry)) => {
            errors.add(entry.place, "points", "points are written out for `design: list` alone");
            (axes, Vec::new())
        }
        (_, None) => (axes, Vec::new()),
    }
}

/// The points of `list`, each over the axes that all of them name.
fn listed(
    node: &Node,
    mut axes: Vec<Axis>,
    base: &Node,
    errors: &mut Errors,
) -> (Vec<Axis>, Vec<Row>) {
    for axis in axes.iter().filter(|axis| !axis.is_seed()) {
        let message = "with `design: list` the values stand in `points`; only the axis `seed` may \
                       stand here: every point comes in all its seeds";
        errors.add(axis.place, &join("axes", &axis.label), message);
    }
    let Content::List(points) = &node.content else {
        let message = format!(
            "expected a list such as [{{lr: 1e-3, warmup: 0%}}, {{lr: 3e-3}}], found {}",
            node.describe()
        );
        errors.add(node.place, "points", message);
        return (axes, Vec::new());
    };
    if points.is_empty() {
        errors.add(node.place, "points", "an empty list gives no runs; write at least one point");
    }
    let sources = source_names(base);
    let mut rows: Vec<Row> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let shown = format!("points.{index}");
        let mut row: Row = vec![None; axes.len()];
        for entry in entries(point, &shown, errors).unwrap_or_default() {
            let shown = join(&shown, &entry.key);
            let path = full_path(&entry.key, &sources).unwrap_or_default();
            let known = axes.iter().position(|axis| axis.path == path && axis.is_of_points());
            let at = known.or_else(|| {
                let path = new_path(entry, &axes, &sources, &shown, errors)?;
                axes.push(Axis::new(path, entry.place));
                row.push(None);
                Some(axes.len() - 1)
            });
            let Some(at) = at else { continue };
            if row[at].is_some() {
                errors.add(entry.place, &shown, format!("this point sets `{path}` twice"));
            }
            row[at] = Some(axes[at].add(&entry.value));
        }
        rows.push(row);
    }
    for row in &mut rows {
        row.resize(axes.len(), None);
    }
    (axes, rows)
}

/// The rows of a design that has any, and what a range drew on its axis.
pub(super) fn rows(
    design: Design,
    axes: &mut [Axis],
    exclude: &[Exclusion],
    listed: Vec<Row>,
    errors: &mut Errors,
) -> Vec<Row> {
    match design {
        Design::Grid | Design::OneAtATime => Vec::new(),
        Design::List => listed,
        Design::Zip => zipped(axes, errors),
        // axes with mistakes in them have other points
        Design::Random { .. } if !errors.is_empty() => Vec::new(),
        Design::Random { points, seed } => {
            let axes_drawn = axes.iter().filter(|axis| !axis.is_seed());
            let place = axes_drawn.clone().map(|axis| axis.place).min().unwrap_or_default();
            let has_ranges = axes_drawn.clone().any(|axis| axis.range.is_some());
            let wanted = points as usize;
            if POINTS_MAX < wanted {
                let message = format!("{points} points; a sweep has at most {POINTS_MAX}");
                errors.add(place, "design.random.points", message);
                return Vec::new();
            }
            let rows = if has_ranges {
                from_ranges(seed, wanted, axes, exclude)
            } else {
                from_grid(seed, wanted, axes, exclude, place, errors)
            };
            if rows.len() < wanted && errors.is_empty() {
                let message = format!(
                    "only {} points are there to draw, and {points} are wanted: draw fewer, or \
                     take more values",
                    rows.len()
                );
                errors.add(place, "axes", message);
            }
            rows
        }
    }
}

/// All axes but the seed, walked together.
fn zipped(axes: &[Axis], errors: &mut Errors) -> Vec<Row> {
    let walked = || axes.iter().filter(|axis| !axis.is_seed());
    let Some(first) = walked().next() else { return Vec::new() };
    let n_rows = first.written.len();
    for axis in walked().filter(|axis| axis.written.len() != n_rows) {
        let message = format!(
            "`design: zip` walks its axes together: {} values here, {n_rows} of `{}`",
            axis.written.len(),
            first.label
        );
        errors.add(axis.place, &join("axes", &axis.label), message);
    }
    let value =
        |axis: &Axis, n: usize| if axis.is_seed() { None } else { axis.written.get(n).copied() };
    (0..n_rows).map(|n| axes.iter().map(|axis| value(axis, n)).collect()).collect()
}

/// The axes that are drawn from, in the order of their paths: the order in the file says nothing.
fn drawn_from(axes: &[Axis]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..axes.len()).filter(|at| !axes[*at].is_seed()).collect();
    order.sort_by(|left, right| axes[*left].path.cmp(&axes[*right].path));
    order
}

/// The first points of the grid in a random order, without those that are excluded. The grid is
/// counted with the last axis fastest.
fn from_grid(
    seed: u64,
    wanted: usize,
    axes: &[Axis],
    exclude: &[Exclusion],
    place: Place,
    errors: &mut Errors,
) -> Vec<Row> {
    let order = drawn_from(axes);
    let n_values = |at: &usize| axes[*at].values.len() as u64;
    let n_points = order.iter().map(n_values).try_fold(1, u64::checked_mul);
    let Some(n_points) = n_points.filter(|n| *n <= GRID_MAX) else {
        let message = format!("the grid to draw from has over {GRID_MAX} points; take fewer axes");
        errors.add(place, "axes", message);
        return Vec::new();
    };
    let row = |mut number: u64| {
        let mut row: Row = vec![None; axes.len()];
        for at in order.iter().rev() {
            let index = number % n_values(at);
            number /= n_values(at);
            row[*at] = Some(usize::try_from(index).expect("below the number of values"));
        }
        row
    };
    let n_draws = usize::try_from(DRAWS_PER_POINT).expect("small") * wanted;
    let draws = Shuffle::new(seed, 0, n_points).take(n_draws).map(row);
    draws.filter(|row| !is_excluded(row, axes, exclude)).take(wanted).collect()
}

/// Each value by itself: from a range by its scale, from a list evenly. A point that came before is
/// drawn again.
fn from_ranges(seed: u64, wanted: usize, axes: &mut [Axis], exclude: &[Exclusion]) -> Vec<Row> {
    let order = drawn_from(axes);
    let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut points: Vec<Vec<AxisValue>> = Vec::new();
    for draw in 0..DRAWS_PER_POINT * wanted as u64 {
        if points.len() == wanted {
            break;
        }
        let value = |(stream, at): (u64, &usize)| {
            let (axis, word) = (&axes[*at], word(seed, stream, draw));
            match &axis.range {
                Some(range) => axis.value_of(&range.draw(word)),
                None => {
                    let index = below(word, axis.values.len() as u64);
                    axis.values[usize::try_from(index).expect("an index")].clone()
                }
            }
        };
        let point: Vec<AxisValue> = (1..).zip(&order).map(value).collect();
        let is_new = seen.insert(point.iter().map(|value| value.text.clone()).collect());
        let has = |(axis, wanted): &(usize, serde_json::Value)| {
            let at = order.iter().position(|at| at == axis);
            at.is_some_and(|at| point[at].json == *wanted)
        };
        if is_new && !exclude.iter().any(|exclusion| exclusion.matches.iter().all(has)) {
            points.push(point);
        }
    }
    let index = indexed(&order, axes, &points);
    let row = |point: Vec<AxisValue>| {
        let mut row: Row = vec![None; axes.len()];
        for (at, value) in order.iter().zip(point) {
            row[*at] = index[at].get(&value.text).copied();
        }
        row
    };
    points.into_iter().map(row).collect()
}

/// Makes what was drawn values of its axis, ascending, and finds every value by its text.
fn indexed(
    order: &[usize],
    axes: &mut [Axis],
    points: &[Vec<AxisValue>],
) -> HashMap<usize, HashMap<String, usize>> {
    let mut index = HashMap::new();
    for (position, at) in order.iter().enumerate() {
        let axis = &mut axes[*at];
        if axis.range.is_some() {
            axis.values = points.iter().map(|point| point[position].clone()).collect();
            axis.values.sort_by(|left, right| left.number().total_cmp(&right.number()));
            axis.values.dedup_by(|left, right| left.text == right.text);
        }
        let texts = axis.values.iter().enumerate().map(|(n, value)| (value.text.clone(), n));
        index.insert(*at, texts.collect());
    }
    index
}

fn is_excluded(row: &[Option<usize>], axes: &[Axis], exclude: &[Exclusion]) -> bool {
    let has = |(axis, wanted): &(usize, serde_json::Value)| {
        row[*axis].is_some_and(|value| axes[*axis].values[value].json == *wanted)
    };
    exclude.iter().any(|exclusion| exclusion.matches.iter().all(has))
}
