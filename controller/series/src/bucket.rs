//! What is kept of many points that are drawn as one.

use crate::bytes::{Damaged, Reader, put_drifting, put_regular, put_unsigned, put_values};
use crate::merge::Points;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: i64,
    pub value: f64,
    /// Milliseconds since the epoch.
    pub time: i64,
}

/// One or more points next to each other, in the order of their steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub n: i64,
    /// Smallest and largest value; NaN only where there is nothing else.
    pub min: f64,
    pub max: f64,
    /// NaN if one is.
    pub sum: f64,
    pub first: Point,
    pub last: Point,
}

impl Bucket {
    #[must_use]
    pub fn of(point: Point) -> Self {
        let Point { value, .. } = point;
        Self { n: 1, min: value, max: value, sum: value, first: point, last: point }
    }

    /// Both together; `later` lies behind.
    #[must_use]
    fn and(self, later: Self) -> Self {
        Self {
            n: self.n + later.n,
            // both ignore a NaN beside a number
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            sum: self.sum + later.sum,
            first: self.first,
            last: later.last,
        }
    }
}

/// Joins what lies in the same bucket `[k * width, (k + 1) * width)`, from left to right. Empty
/// buckets are left out.
#[must_use]
pub fn gather(ascending: impl IntoIterator<Item = Bucket>, width: i64) -> Vec<Bucket> {
    let mut gathered: Vec<Bucket> = Vec::new();
    let mut index = 0;
    for bucket in ascending {
        let own = bucket.first.step.div_euclid(width);
        match gathered.last_mut() {
            Some(last) if own == index => *last = last.and(bucket),
            _ => gathered.push(bucket),
        }
        index = own;
    }
    gathered
}

impl Points {
    /// Each as a bucket of its own.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let columns = self.steps.iter().zip(&self.values).zip(&self.times);
        columns.map(|((&step, &value), &time)| Bucket::of(Point { step, value, time }))
    }
}

/// The format, 1; the count; then as `bytes` has it the columns n, first step, steps from first to
/// last (regular), first time, time from first to last (drifting), min, max, sum, first, last (values).
#[must_use]
pub fn pack_buckets(buckets: &[Bucket]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + 51 * buckets.len());
    let each = || buckets.iter();
    out.push(1);
    put_unsigned(&mut out, buckets.len() as u64);
    put_regular(&mut out, each().map(|b| b.n));
    put_regular(&mut out, each().map(|b| b.first.step));
    put_regular(&mut out, each().map(|b| b.last.step.wrapping_sub(b.first.step)));
    put_drifting(&mut out, each().map(|b| b.first.time));
    put_drifting(&mut out, each().map(|b| b.last.time.wrapping_sub(b.first.time)));
    put_values(&mut out, each().map(|b| b.min));
    put_values(&mut out, each().map(|b| b.max));
    put_values(&mut out, each().map(|b| b.sum));
    put_values(&mut out, each().map(|b| b.first.value));
    put_values(&mut out, each().map(|b| b.last.value));
    out
}

/// # Errors
/// The bytes are none that [`pack_buckets`] wrote.
pub fn unpack_buckets(bytes: &[u8]) -> Result<Vec<Bucket>, Damaged> {
    let mut reader = Reader(bytes);
    if reader.byte()? != 1 {
        return Err(Damaged);
    }
    let n = reader.count()?;
    let (counts, steps, spans) = (reader.regular(n)?, reader.regular(n)?, reader.regular(n)?);
    let (times, lasted) = (reader.drifting(n)?, reader.drifting(n)?);
    let (min, max, sum) = (reader.values(n)?, reader.values(n)?, reader.values(n)?);
    let (first, last) = (reader.values(n)?, reader.values(n)?);
    reader.end()?;
    let bucket = |i: usize| Bucket {
        n: counts[i],
        min: min[i],
        max: max[i],
        sum: sum[i],
        first: Point { step: steps[i], value: first[i], time: times[i] },
        last: Point {
            step: steps[i].wrapping_add(spans[i]),
            value: last[i],
            time: times[i].wrapping_add(lasted[i]),
        },
    };
    Ok((0..n).map(bucket).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(values: &[f64]) -> Bucket {
        let mut points = Points::default();
        for (step, value) in (0..).zip(values) {
            points.push(step, *value, 10 * step);
        }
        gather(points.buckets(), 1024)[0]
    }

    #[test]
    fn a_nan_is_counted_and_hides_neither_the_smallest_nor_the_largest() {
        let found = bucket(&[f64::NAN, 2.0, -1.0, f64::INFINITY]);
        assert_eq!((found.n, found.min, found.max), (4, -1.0, f64::INFINITY));
        assert!(found.sum.is_nan() && found.first.value.is_nan());
        assert_eq!(found.last, Point { step: 3, value: f64::INFINITY, time: 30 });
        assert!(bucket(&[f64::NAN]).min.is_nan(), "there is nothing else");
    }
}
