//! Designs: from axes to choices.

use serde_json::Value;

use super::POINTS_MAX;
use crate::sweep::axis::{Axis, AxisValue, Exclusion, SEED};
use crate::sweep::errors::{Errors, Place};
use crate::sweep::limits::WORK_MAX;
use crate::sweep::{Design, Sweep, too_much};

/// One choice of all axes, by index; none: the base's own value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) values: Vec<Option<usize>>,
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
                axes.iter().filter(|axis| !is_seed(axis)).map(|axis| axis.values.len()).sum();
            let seeds = axes.iter().find(|axis| is_seed(axis)).map_or(1, |axis| axis.values.len());
            (alone + 1).checked_mul(seeds)
        }
    };
    if count.is_none_or(|count| count > POINTS_MAX) {
        let place = axes.first().map(|axis| axis.place).unwrap_or_default();
        too_many(axes, count, place, errors);
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
    };
    choices.retain(|choice| {
        !sweep.exclude.iter().any(|exclusion| is_excluded(choice, exclusion, axes, base))
    });
    choices.retain(|choice| !choice.is_base());
    choices.push(Choice { values: vec![None; axes.len()], is_corner: false, seed_index: 0 });
    choices
}

fn too_many(axes: &[Axis], count: Option<usize>, place: Place, errors: &mut Errors) {
    let sizes: Vec<String> =
        axes.iter().map(|axis| format!("{} {}", axis.label, axis.values.len())).collect();
    let count = count.map_or_else(|| "far too many".to_owned(), |count| count.to_string());
    let message = format!(
        "{count} points ({}); a sweep has at most {POINTS_MAX}: take fewer values, or `design: \
         one_at_a_time`",
        sizes.join(" × ")
    );
    errors.add(place, "axes", message);
}

/// The product; the first axis varies slowest.
fn grid(axes: &[Axis]) -> Vec<Choice> {
    let mut points: Vec<Vec<Option<usize>>> = vec![Vec::new()];
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
    let choice = |values: Vec<Option<usize>>| {
        let is_corner = axes.iter().zip(&values).all(|(axis, value)| {
            is_seed(axis) || value.is_some_and(|value| ends(axis).contains(&value))
        });
        Choice { is_corner, seed_index: seed_index(axes, &values), values }
    };
    points.into_iter().map(choice).collect()
}

/// The base, then each axis alone; all of them in every seed.
fn one_at_a_time(axes: &[Axis]) -> Vec<Choice> {
    let seed_axis = axes.iter().position(is_seed);
    let seeds: Vec<Option<usize>> = match seed_axis {
        Some(axis) => (0..axes[axis].values.len()).map(Some).collect(),
        None => vec![None],
    };
    let mut points = vec![(vec![None; axes.len()], false)];
    for (index, axis) in axes.iter().enumerate().filter(|(_, axis)| !is_seed(axis)) {
        for value in 0..axis.values.len() {
            let mut point = vec![None; axes.len()];
            point[index] = Some(value);
            points.push((point, ends(axis).contains(&value)));
        }
    }
    let mut choices = Vec::new();
    for (point, is_corner) in points {
        for seed in &seeds {
            let mut values = point.clone();
            if let Some(axis) = seed_axis {
                values[axis] = *seed;
            }
            choices.push(Choice { is_corner, seed_index: seed_index(axes, &values), values });
        }
    }
    choices
}

fn is_seed(axis: &Axis) -> bool {
    axis.path == SEED
}

fn seed_index(axes: &[Axis], values: &[Option<usize>]) -> usize {
    axes.iter().position(is_seed).and_then(|axis| values[axis]).unwrap_or(0)
}

/// The two ends of an axis: its least and greatest number, or its first and last word.
fn ends(axis: &Axis) -> [usize; 2] {
    let numbers: Option<Vec<f64>> = axis.values.iter().map(|value| value.json.as_f64()).collect();
    let Some(numbers) = numbers else { return [0, axis.values.len() - 1] };
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|left, right| numbers[*left].total_cmp(&numbers[*right]));
    [order[0], order[order.len() - 1]]
}

fn is_excluded(choice: &Choice, exclusion: &Exclusion, axes: &[Axis], base: &[Value]) -> bool {
    exclusion.matches.iter().all(|(axis, wanted)| {
        let value = choice.value(axes, *axis).map_or(&base[*axis], |value| &value.json);
        value == wanted
    })
}
