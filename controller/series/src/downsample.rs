//! At most so many points of a series, in buckets whose edges do not move while it grows.

use crate::merge::Points;

/// A downsampled series: the last point of every bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Steps per bucket, a power of two; 1: every point is there.
    pub width: u64,
    pub points: Points,
}

/// The last point of each bucket `[k * width, (k + 1) * width)`, with the smallest power of two as
/// width that leaves at most `limit` points. Edges at multiples of a power of two are shared by all
/// series and stay where they are as points are added. The first point is kept as well: a curve
/// begins where the run began.
///
/// # Panics
/// If `limit` is less than 2.
#[must_use]
pub fn downsample(points: &Points, limit: usize) -> Buckets {
    assert!(2 <= limit, "a curve has two ends");
    if points.len() <= limit {
        return Buckets { width: 1, points: points.clone() };
    }
    let mut width: u64 = 2;
    loop {
        let picked = lasts(points, width);
        if picked.len() < limit {
            return Buckets { width, points: pick(points, &picked) };
        }
        width *= 2;
    }
}

fn lasts(points: &Points, width: u64) -> Vec<usize> {
    let bucket = |index: usize| points.steps[index].div_euclid(width.cast_signed());
    let is_last = |&index: &usize| index + 1 == points.len() || bucket(index) != bucket(index + 1);
    (0..points.len()).filter(is_last).collect()
}

fn pick(points: &Points, indexes: &[usize]) -> Points {
    let mut picked = Points::default();
    let first = (indexes.first() != Some(&0)).then_some(0);
    for index in first.into_iter().chain(indexes.iter().copied()) {
        picked.push(points.steps[index], points.values[index], points.times[index]);
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: i64) -> Points {
        let mut points = Points::default();
        (0..n).for_each(|step| points.push(step, f64::from(i32::try_from(step).unwrap()), step));
        points
    }

    #[test]
    fn few_points_stay_as_they_are() {
        assert_eq!(downsample(&line(5), 5), Buckets { width: 1, points: line(5) });
    }

    #[test]
    fn every_bucket_gives_its_last_point_and_the_curve_keeps_its_first() {
        // 10 points, at most 5: width 2 leaves 5 and the first, one too many; width 4 leaves 3 + 1
        let buckets = downsample(&line(10), 5);
        assert_eq!(buckets.width, 4);
        assert_eq!(buckets.points.steps, [0, 3, 7, 9]);
        assert_eq!(buckets.points.values, [0.0, 3.0, 7.0, 9.0]);
    }

    #[test]
    fn edges_stay_while_a_series_grows() {
        let before = downsample(&line(1000), 100).points.steps;
        let after = downsample(&line(1010), 100).points.steps;
        assert_eq!(before[..before.len() - 1], after[..before.len() - 1]);
    }

    #[test]
    fn sparse_steps_are_counted_by_points_not_by_span() {
        let mut points = Points::default();
        [0, 1_000_000, 2_000_000].iter().for_each(|&step| points.push(step, 0.0, 0));
        assert_eq!(downsample(&points, 3).width, 1);
    }
}
