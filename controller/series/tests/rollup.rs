//! Roll-ups against what a few lines make of the raw points, over random histories: attempts that
//! report, die, and go on from an earlier step, with NaN, infinities and gaps.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::collections::BTreeMap;

use assay_series::{
    Bucket, Chunk, Levels, Points, draw, gather, merge, narrowest, pack, pack_buckets, rebuild,
    rebuilt_from, row_of, unpack, unpack_buckets, width_for,
};
use proptest::prelude::*;

/// What a store does, in memory.
#[derive(Default)]
struct Store {
    chunks: Vec<Chunk>,
    levels: Option<Levels>,
    rows: BTreeMap<(i64, i64), Vec<u8>>,
}

impl Store {
    fn points(&self, from: i64) -> Points {
        merge(&self.chunks, (from, i64::MAX))
    }

    /// Points changed from `step` on.
    fn rolled_up(&mut self, step: i64) {
        let (narrowest, from) = match self.levels {
            Some(levels) => (levels.narrowest, rebuilt_from(step, levels.narrowest)),
            None => {
                let points = self.points(i64::MIN);
                let Some(narrowest) = narrowest(&points) else { return };
                (narrowest, rebuilt_from(points.steps[0], narrowest))
            }
        };
        let kept = |width: i64| -> Vec<Bucket> {
            let is_widest = self.levels.is_some_and(|levels| levels.widest == width);
            let index = if is_widest { 0 } else { row_of(from, width) };
            let row = self.rows.get(&(width, index));
            row.map(|row| unpack_buckets(row).unwrap()).unwrap_or_default()
        };
        let (levels, rows) = rebuild((narrowest, self.levels), from, &self.points(from), kept);
        self.rows.retain(|&(width, index), _| index < row_of(from, width));
        for row in rows {
            self.rows.insert((row.width, row.index), pack_buckets(&row.buckets));
        }
        self.levels = Some(levels);
    }

    fn level(&self, width: i64) -> Vec<Bucket> {
        let rows = self.rows.range((width, i64::MIN)..=(width, i64::MAX));
        rows.flat_map(|(_, row)| unpack_buckets(row).unwrap()).collect()
    }

    fn drawn(&self, levels: Levels, range: (i64, i64), width: i64) -> Points {
        let mut buckets = Vec::new();
        for piece in levels.pieces(range, width) {
            if piece.width == 1 {
                let points = merge(&self.chunks, (piece.from, piece.end - 1));
                buckets.extend(points.buckets());
                continue;
            }
            let (first, last) = piece.rows();
            for index in first..=last {
                let row = self.rows.get(&(piece.width, index));
                let row = row.map(|row| unpack_buckets(row).unwrap()).unwrap_or_default();
                buckets.extend(row.into_iter().filter(|bucket| piece.holds(bucket)));
            }
        }
        draw(buckets, width).points
    }
}

/// Every bucket, by its definition; the values are whole numbers, so that every order of adding gives
/// the same sum.
fn by_definition(points: &Points, width: i64) -> Vec<Vec<String>> {
    let mut by_index: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, step) in points.steps.iter().enumerate() {
        by_index.entry(step.div_euclid(width)).or_default().push(i);
    }
    let bucket = |at: Vec<usize>| {
        let values: Vec<f64> = at.iter().map(|&i| points.values[i]).collect();
        let numbers = || values.iter().copied().filter(|value| !value.is_nan());
        let or_nan = |found: Option<f64>| found.unwrap_or(f64::NAN);
        let point =
            |i: usize| format!("{} {} {}", points.steps[i], points.values[i], points.times[i]);
        vec![
            at.len().to_string(),
            or_nan(numbers().reduce(f64::min)).to_string(),
            or_nan(numbers().reduce(f64::max)).to_string(),
            values.iter().sum::<f64>().to_string(),
            point(at[0]),
            point(at[at.len() - 1]),
        ]
    };
    by_index.into_values().map(bucket).collect()
}

fn words(buckets: &[Bucket]) -> Vec<Vec<String>> {
    let each = buckets.iter().map(|Bucket { n, min, max, sum, first, last }| {
        vec![
            n.to_string(),
            min.to_string(),
            max.to_string(),
            sum.to_string(),
            format!("{} {} {}", first.step, first.value, first.time),
            format!("{} {} {}", last.step, last.value, last.time),
        ]
    });
    each.collect()
}

/// A whole number; sometimes none at all.
fn value(seed: i64) -> f64 {
    match seed.rem_euclid(97) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        n => (n * 31 % 1000) as f64 - 300.0,
    }
}

/// Points that a fresh attempt reports, and where the one before it is overtaken.
#[derive(Clone, Debug)]
struct Episode {
    n: i64,
    stride: i64,
    /// Where the next attempt goes on, in thousandths of what there is; none: it reports on.
    back_to: Option<i64>,
}

fn episodes() -> impl Strategy<Value = Vec<Episode>> {
    let episode =
        (1..3000_i64, prop_oneof![Just(1_i64), 1..40_i64], proptest::option::of(0..1000_i64))
            .prop_map(|(n, stride, back_to)| Episode { n, stride, back_to });
    proptest::collection::vec(episode, 1..12)
}

/// The store after each episode.
fn lived(episodes: &[Episode], mut look: impl FnMut(&Store)) {
    let mut store = Store::default();
    let (mut attempt, mut step) = (1, 0);
    for (seed, episode) in (0..).zip(episodes) {
        if let Some(share) = episode.back_to {
            let end = store.points(0).steps.last().copied().unwrap_or(0);
            let visible_to = end * share / 1000 - 1;
            for chunk in &mut store.chunks {
                chunk.visible_to = Some(chunk.visible_to.unwrap_or(i64::MAX).min(visible_to));
            }
            // at the step that was saved, the next attempt may measure again
            (attempt, step) = (attempt + 1, visible_to.max(0));
            store.rolled_up(visible_to + 1);
        }
        let steps: Vec<i64> = (0..episode.n).map(|i| step + i * episode.stride).collect();
        let chunk = Chunk {
            attempt,
            visible_to: None,
            values: steps.iter().map(|step| value(step * 7 + seed)).collect(),
            times: steps.iter().map(|step| 1_000 * step + seed).collect(),
            steps,
        };
        let first = chunk.steps[0];
        step = chunk.steps.last().unwrap() + 1;
        store.chunks.push(chunk);
        store.rolled_up(first);
        look(&store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_level_is_what_its_definition_says_after_every_change(episodes in episodes()) {
        lived(&episodes, |store| {
            let Some(levels) = store.levels else { return };
            let points = store.points(i64::MIN);
            let mut width = levels.narrowest;
            while width <= levels.widest {
                assert_eq!(words(&store.level(width)), by_definition(&points, width));
                width *= 4;
            }
            let widths: Vec<i64> = store.rows.keys().map(|key| key.0).collect();
            assert!(widths.iter().all(|width| *width <= levels.widest), "a level is left over");
        });
    }

    #[test]
    fn any_range_is_drawn_as_from_the_raw_points(
        episodes in episodes(), a in 0..1000_i64, b in 0..1000_i64, limit in 2..600_usize,
    ) {
        let mut last = Store::default();
        lived(&episodes, |store| {
            last = Store { chunks: store.chunks.clone(), levels: store.levels, rows: store.rows.clone() };
        });
        let end = last.points(0).steps.last().map_or(0, |step| step + 1);
        let at = |share: i64| end * share / 1000;
        for range in [(0, end), (at(a.min(b)), at(a.max(b)) + 1)] {
            let Some(levels) = last.levels else { continue };
            let width = width_for(range, limit);
            let drawn = last.drawn(levels, range, width);
            let raw = merge(&last.chunks, (range.0, range.1 - 1));
            assert_eq!(bits(&drawn), bits(&draw(raw.buckets(), width).points));
            assert!(drawn.len() <= limit);
        }
    }

    #[test]
    fn points_come_back_bit_for_bit(
        steps in proptest::collection::btree_set(0..i64::MAX, 0..60),
        seeds in proptest::collection::vec((any::<u64>(), any::<i64>()), 60),
    ) {
        let steps: Vec<i64> = steps.into_iter().collect();
        let column = || seeds.iter().take(steps.len());
        let values: Vec<f64> = column().map(|seed| f64::from_bits(seed.0)).collect();
        let times: Vec<i64> = column().map(|seed| seed.1).collect();
        let points = Points { steps, values, times };
        let read = unpack(&pack(&points.steps, &points.values, &points.times)).unwrap();
        assert_eq!(bits(&read), bits(&points));
        let buckets: Vec<Bucket> = gather(points.buckets(), 1 << 40);
        let read = unpack_buckets(&pack_buckets(&buckets)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{buckets:?}"));
    }
}

/// Steps, values and times, where a NaN equals itself.
fn bits(points: &Points) -> Vec<(i64, u64, i64)> {
    let columns = points.steps.iter().zip(&points.values).zip(&points.times);
    columns.map(|((step, value), time)| (*step, value.to_bits(), *time)).collect()
}
