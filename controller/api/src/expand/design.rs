//! Designs: from axes to choices.

use serde_json::Value;

use super::POINTS_MAX;
use crate::sweep::axis::{Axis, AxisValue, Exclusion};
use crate::sweep::errors::{Errors, Place};
use crate::sweep::limits::WORK_MAX;
use crate::sweep::{Design, Row, Sweep, too_much};

/// One choice of all axes, by index; none: the base's own value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) values: Row,
    pub(super) is_corner: bool,
    /// Place of its seed among the seeds.
    pub(super) seed_index: usize,
}

impl Choice {
    pub(super) fn is_base(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// What an axis has in this choice; none: the base's own value.
    pub(super) fn value<'s>(&self, axes: &'s [Axis], index: usize) -> Option<&'s AxisValue> {
        self.values[index].map(|value| &axes[index].values[value])
    }
}

/// Every choice of the design, the base as written last. `base` holds the base's value of each axis.
pub(super) fn choices(sweep: &Sweep, base: &[Value], errors: &mut Errors) -> Vec<Choice> {
    let axes = &sweep.axes;
    let count = match sweep.design {
        Design::Grid => axes.iter().map(|axis| axis.values.len()).try_fold(1, usize::checked_mul),
        Design::OneAtATime => {
            let alone: usize =
                axes.iter().filter(|axis| !axis.is_seed()).map(|axis| axis.values.len()).sum();
            (alone + 1).checked_mul(seeds(axes).len())
        }
        Design::Zip | Design::List | Design::Random { .. } => {
            sweep.rows.len().checked_mul(seeds(axes).len())
        }
    };
    if count.is_none_or(|count| count > POINTS_MAX) {
        let place = axes.first().map(|axis| axis.place).unwrap_or_default();
        too_many(sweep, count, place, errors);
        return Vec::new();
    }
    if let Some(count) = count.filter(|count| WORK_MAX < count.saturating_mul(sweep.base.count())) {
        let place = axes.first().map(|axis| axis.place).unwrap_or_default();
        errors.add(place, "axes", too_much(count, "points", &sweep.base));
        return Vec::new();
    }
    let mut choices = match sweep.design {
        Design::Grid => grid(axes),
        Design::OneAtATime => one_at_a_time(axes),
        Design::Zip | Design::List | Design::Random { .. } => {
            let ends = ends(axes);
            let points = sweep.rows.iter().map(|row| (row.clone(), is_corner(axes, &ends, row)));
            in_all_seeds(axes, points)
        }
    };
    choices.retain(|choice| {
        !sweep.exclude.iter().any(|exclusion| is_excluded(choice, exclusion, axes, base))
    });
    choices.retain(|choice| !choice.is_base());
    choices.push(Choice { values: vec![None; axes.len()], is_corner: false, seed_index: 0 });
    choices
}

fn too_many(sweep: &Sweep, count: Option<usize>, place: Place, errors: &mut Errors) {
    let size = |axis: &Axis| format!("{} {}", axis.label, axis.values.len());
    let sizes: Vec<String> = match sweep.design {
        Design::Grid | Design::OneAtATime => sweep.axes.iter().map(size).collect(),
        Design::Zip | Design::List | Design::Random { .. } => {
            let seeds = sweep.axes.iter().filter(|axis| axis.is_seed()).map(size);
            [format!("points {}", sweep.rows.len())].into_iter().chain(seeds).collect()
        }
    };
    let count = count.map_or_else(|| "far too many".to_owned(), |count| count.to_string());
    let message = format!(
        "{count} points ({}); a sweep has at most {POINTS_MAX}: take fewer values, or draw some of \
         them with `design: {{random: {{points: 100, seed: 1}}}}`",
        sizes.join(" × ")
    );
    errors.add(place, "axes", message);
}

/// The product; the first axis varies slowest.
fn grid(axes: &[Axis]) -> Vec<Choice> {
    let mut points: Vec<Row> = vec![Vec::new()];
    for axis in axes {
        points = points
            .into_iter()
            .flat_map(|point| {
                (0..axis.values.len()).map(move |value| {
                    let mut longer = point.clone();
                    longer.push(Some(value));
                    longer
                })
            })
            .collect();
    }
    let ends = ends(axes);
    let choice = |values: Row| Choice {
        is_corner: is_corner(axes, &ends, &values),
        seed_index: seed_index(axes, &values),
        values,
    };
    points.into_iter().map(choice).collect()
}

/// The base, then each axis alone; all of them in every seed.
fn one_at_a_time(axes: &[Axis]) -> Vec<Choice> {
    let ends = ends(axes);
    let mut points = vec![(vec![None; axes.len()], false)];
    for (index, axis) in axes.iter().enumerate().filter(|(_, axis)| !axis.is_seed()) {
        for value in 0..axis.values.len() {
            let mut point = vec![None; axes.len()];
            point[index] = Some(value);
            let is_corner = is_corner(axes, &ends, &point);
            points.push((point, is_corner));
        }
    }
    in_all_seeds(axes, points.into_iter())
}

/// Every point with each value of the axis `seed`.
fn in_all_seeds(axes: &[Axis], points: impl Iterator<Item = (Row, bool)>) -> Vec<Choice> {
    let seed_axis = axes.iter().position(Axis::is_seed);
    let seeds = seeds(axes);
    let mut choices = Vec::new();
    for (point, is_corner) in points {
        for seed in &seeds {
            let mut values = point.clone();
            if let (Some(axis), Some(seed)) = (seed_axis, seed) {
                values[axis] = Some(*seed);
            }
            choices.push(Choice { is_corner, seed_index: seed_index(axes, &values), values });
        }
    }
    choices
}

/// Indices of the values of the axis `seed`; none: the point's own seed.
fn seeds(axes: &[Axis]) -> Vec<Option<usize>> {
    match axes.iter().find(|axis| axis.is_seed() && !axis.is_of_points()) {
        Some(axis) => (0..axis.values.len()).map(Some).collect(),
        None => vec![None],
    }
}

/// Whether every axis that a point sets, and it sets one, has one of its ends there.
fn is_corner(axes: &[Axis], ends: &[[usize; 2]], row: &[Option<usize>]) -> bool {
    let each = axes.iter().zip(ends).zip(row).filter(|((axis, _), _)| !axis.is_seed());
    let mut set = each.filter_map(|((_, ends), value)| value.map(|value| ends.contains(&value)));
    set.next().is_some_and(|first| first && set.all(|is_end| is_end))
}

fn seed_index(axes: &[Axis], values: &[Option<usize>]) -> usize {
    axes.iter().position(Axis::is_seed).and_then(|axis| values[axis]).unwrap_or(0)
}

/// The two ends of each axis: its least and greatest number, or its first and last word.
fn ends(axes: &[Axis]) -> Vec<[usize; 2]> {
    let of = |axis: &Axis| {
        let numbers: Vec<f64> = axis.values.iter().map(AxisValue::number).collect();
        let by_number = |left: &usize, right: &usize| numbers[*left].total_cmp(&numbers[*right]);
        let last = numbers.len().saturating_sub(1);
        if numbers.iter().any(|number| number.is_nan()) {
            return [0, last];
        }
        let least = (0..numbers.len()).min_by(by_number).unwrap_or(0);
        [least, (0..numbers.len()).max_by(by_number).unwrap_or(last)]
    };
    axes.iter().map(of).collect()
}

fn is_excluded(choice: &Choice, exclusion: &Exclusion, axes: &[Axis], base: &[Value]) -> bool {
    exclusion.matches.iter().all(|(axis, wanted)| {
        let value = choice.value(axes, *axis).map_or(&base[*axis], |value| &value.json);
        value == wanted
    })
}
