//! At most so many points of a series, out of buckets of several widths.

use crate::bucket::{Bucket, gather};
use crate::downsample::Buckets;
use crate::merge::Points;

/// Steps per bucket that certainly leave at most `limit` points of the steps `from..end`: the smallest
/// such power of two. Where steps are missing a smaller one may do, see [`narrower`].
///
/// # Panics
/// If `limit` is less than 2.
#[must_use]
pub fn width_for((from, end): (i64, i64), limit: usize) -> i64 {
    assert!(2 <= limit, "a curve has two ends");
    let limit = i64::try_from(limit).expect("a screen is not so wide");
    let mut width = 1_i64;
    let buckets = |width: i64| (end - 1).div_euclid(width) - from.div_euclid(width) + 1;
    // the first point is kept as well, unless all are
    while limit < buckets(width) + i64::from(1 < width) {
        width *= 2;
    }
    width
}

/// The smallest width that certainly leaves at most `limit` points as well, where buckets of `width`
/// left `n`: with half the width there are at most twice as many.
#[must_use]
pub fn narrower(mut width: i64, mut n: usize, limit: usize) -> i64 {
    while 1 < width && 2 * n < limit {
        width /= 2;
        n *= 2;
    }
    width
}

/// The last point of each bucket of `width`, and the first point of all.
#[must_use]
pub fn draw(ascending: impl IntoIterator<Item = Bucket>, width: i64) -> Buckets {
    let buckets = gather(ascending, width);
    let mut points = Points::default();
    let first = buckets.first().map(|bucket| bucket.first);
    let first = first.filter(|first| first.step != buckets[0].last.step);
    for point in first.into_iter().chain(buckets.iter().map(|bucket| bucket.last)) {
        points.push(point.step, point.value, point.time);
    }
    Buckets { width: width.cast_unsigned(), points }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downsample::downsample;

    fn every(stride: i64, n: i64) -> Points {
        let mut points = Points::default();
        (0..n).for_each(|i| points.push(stride * i, i as f64, i));
        points
    }

    #[test]
    fn a_width_that_fits_is_found_from_the_span_alone() {
        assert_eq!(width_for((0, 1_000_000), 1000), 1024);
        assert_eq!(width_for((0, 1000), 1000), 1);
        assert_eq!(width_for((0, 1001), 1000), 2);
        // 10 steps that lie in 6 buckets of two
        assert_eq!(width_for((1, 11), 6), 4);
        assert_eq!(width_for((1, 11), 7), 2);
    }

    #[test]
    fn a_million_steps_are_drawn_as_downsampling_all_of_them_would() {
        let points = every(1, 1_000_000);
        let width = width_for((0, 1_000_000), 1000);
        assert_eq!(draw(points.buckets(), width), downsample(&points, 1000));
    }

    #[test]
    fn where_steps_are_missing_a_narrower_width_does() {
        // one step in 64: the width that the span asks for leaves a 64th
        let points = every(64, 1000);
        let width = width_for((0, 64_000), 100);
        let n = draw(points.buckets(), width).points.len();
        assert_eq!(narrower(width, n, 100), width, "{n} at {width}: half would be over");
        assert_eq!(narrower(1024, 10, 100), 128);
        assert_eq!(narrower(2, 1, 100), 1);
    }
}
