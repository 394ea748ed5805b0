//! A long series at widths that grow by four: what a chart reads instead of a million points.
//!
//! Level by level: the narrowest is gathered from raw points, each wider one from the one below it.
//! A level is stored in rows of 256 buckets at places that do not move. Points that come or go from a
//! step on touch the rows that hold it and what lies behind, and these are computed anew, so that the
//! rows are a function of the points that count, whatever happened before.

use crate::bucket::{Bucket, gather};
use crate::merge::Points;

/// Buckets in a row: some 12 kB.
const ROW: i64 = 256;
/// Each level is so many times as wide as the one below.
const FAN: i64 = 4;
/// Points in a bucket of the narrowest level, about: 47 bytes a bucket are 3 a point, and 4 with all
/// levels.
const DENSE: i64 = 16;
/// Shorter series are read as they are.
const POINTS_MIN: usize = 4096;

/// The levels that are stored of a series, as steps per bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    pub narrowest: i64,
    pub widest: i64,
}

/// Buckets of one level in the steps `[index * 256 * width, (index + 1) * 256 * width)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub width: i64,
    pub index: i64,
    pub buckets: Vec<Bucket>,
}

/// What a series is rolled up into from now on: steps per bucket of its narrowest level, a power of
/// two; none while it is short.
#[must_use]
pub fn narrowest(points: &Points) -> Option<i64> {
    let (first, last) = points.steps.first().zip(points.steps.last())?;
    if points.len() < POINTS_MIN {
        return None;
    }
    let n = i64::try_from(points.len()).expect("they fit into memory");
    let steps_per_point = (last - first) / n + 1;
    let width = (DENSE * steps_per_point).cast_unsigned().checked_next_power_of_two()?;
    Some(width.cast_signed())
}

/// Which row of a level holds a step.
#[must_use]
pub fn row_of(step: i64, width: i64) -> i64 {
    step.div_euclid(width.saturating_mul(ROW))
}

/// Where the row of the narrowest level begins that holds a step: raw points are needed from there on.
#[must_use]
pub fn rebuilt_from(step: i64, narrowest: i64) -> i64 {
    row_of(step, narrowest) * narrowest * ROW
}

/// The rows of all levels that hold `from` or lie behind it, and the levels that there are then.
///
/// `from` is one of [`rebuilt_from`]; `points` are all that count from there on. `stored` are the
/// levels before, if there were any, and `kept(width)` gives what was stored of one: the buckets of the
/// row that holds `from`; of the widest level all that there are, which is one row.
///
/// # Panics
/// If a point lies before `from`.
#[must_use]
pub fn rebuild(
    (narrowest, stored): (i64, Option<Levels>),
    from: i64,
    points: &Points,
    kept: impl Fn(i64) -> Vec<Bucket>,
) -> (Levels, Vec<Row>) {
    assert!(points.steps.first().is_none_or(|&first| from <= first), "they begin at `from`");
    let end = points.steps.last().copied().unwrap_or(from);
    let is_stored = |width| stored.is_some_and(|stored| width <= stored.widest);
    let mut rows = Vec::new();
    let mut width = narrowest;
    let mut fresh = gather(points.buckets(), width);
    loop {
        let mut level = if is_stored(width) { kept(width) } else { Vec::new() };
        let bucket_of_from = from.div_euclid(width);
        level.retain(|bucket| bucket.first.step.div_euclid(width) < bucket_of_from);
        level.extend(fresh);
        rows.extend(cut(&level, width));
        if row_of(from, width) == 0 && row_of(end, width) == 0 {
            return (Levels { narrowest, widest: width }, rows);
        }
        width *= FAN;
        // the wider bucket that holds `from` may have begun before; a level that was not there begins
        // where the series does
        let begin = if is_stored(width) { from.div_euclid(width) * width } else { i64::MIN };
        fresh = gather(level.into_iter().filter(|bucket| begin <= bucket.first.step), width);
    }
}

fn cut(level: &[Bucket], width: i64) -> impl Iterator<Item = Row> {
    let row = move |bucket: &Bucket| row_of(bucket.first.step, width);
    level.chunk_by(move |a, b| row(a) == row(b)).map(move |buckets| Row {
        width,
        index: row(&buckets[0]),
        buckets: buckets.to_vec(),
    })
}

/// Where a part of a series is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Steps per bucket of a level; 1: raw points.
    pub width: i64,
    /// Steps from here on …
    pub from: i64,
    /// … and before this one.
    pub end: i64,
}

impl Piece {
    /// The rows of its level that it lies in, both included.
    #[must_use]
    pub fn rows(&self) -> (i64, i64) {
        (row_of(self.from, self.width), row_of(self.end - 1, self.width))
    }

    #[must_use]
    pub fn holds(&self, bucket: &Bucket) -> bool {
        self.from <= bucket.first.step && bucket.last.step < self.end
    }
}

impl Levels {
    /// From the narrowest to the widest.
    pub fn widths(self) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(self.narrowest), |width| Some(width * FAN))
            .take_while(move |width| *width <= self.widest)
    }

    /// What to read for buckets of `width` from step `from` to before `end`: as wide as there is, and
    /// at either end narrower ones down to raw points, so that nothing outside comes in.
    #[must_use]
    pub fn pieces(&self, (from, end): (i64, i64), width: i64) -> Vec<Piece> {
        if width < self.narrowest {
            return vec![Piece { width: 1, from, end }];
        }
        let mut level = self.narrowest;
        while level * FAN <= width.min(self.widest) {
            level *= FAN;
        }
        let mut pieces = Vec::new();
        self.fill((from, end), level, &mut pieces);
        pieces
    }

    fn fill(&self, (from, end): (i64, i64), width: i64, pieces: &mut Vec<Piece>) {
        if end <= from {
            return;
        }
        if width < self.narrowest {
            pieces.push(Piece { width: 1, from, end });
            return;
        }
        let begin = from.div_euclid(width) + i64::from(from.rem_euclid(width) != 0);
        let (begin, close) = (begin.saturating_mul(width), end.div_euclid(width) * width);
        if close <= begin {
            return self.fill((from, end), width / FAN, pieces);
        }
        self.fill((from, begin), width / FAN, pieces);
        pieces.push(Piece { width, from: begin, end: close });
        self.fill((close, end), width / FAN, pieces);
    }
}
