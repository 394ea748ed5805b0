//! From reports to chunks, and from chunks to roll-ups. The caller holds the run's row.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use assay_api::RunId;
use assay_series::{
    Bucket, Chunk, Levels, Points, merge, narrowest, pack, pack_buckets, rebuild, rebuilt_from,
    row_of, unpack_buckets,
};
use sqlx::PgConnection;

use crate::store::chunk::{self, FULL};
use crate::store::report::{self, Pick};
use crate::store::series::{self, Moved, Standing};
use crate::store::{attempt, rollup};

const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// Whether points of the series disappeared, or were only added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Added,
    Hidden,
}

/// Moves all reported points of a run into chunks and roll-ups.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn fold(tx: &mut PgConnection, run: RunId) -> anyhow::Result<()> {
    let mut reported: BTreeMap<(i64, i32), Vec<Chunk>> = BTreeMap::new();
    for batch in report::tail(&mut *tx, Pick::All(run)).await? {
        reported.entry((batch.series_id, batch.attempt)).or_default().push(batch.unpack()?);
    }
    if !reported.is_empty() {
        let mut from: BTreeMap<i64, i64> = BTreeMap::new();
        for ((series_id, _), chunks) in &reported {
            let first = first_step(chunks);
            from.entry(*series_id).and_modify(|step| *step = first.min(*step)).or_insert(first);
        }
        join(tx, reported).await?;
        roll_up(tx, &from, Change::Added).await?;
    }
    attempt::folded(tx, run).await?;
    Ok(())
}

/// Hides what earlier attempts reported beyond `step` (-1: all of it), from roll-ups too. True:
/// something was hidden.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn hide(
    tx: &mut PgConnection,
    run: RunId,
    attempt: i32,
    step: i64,
) -> anyhow::Result<bool> {
    // the tail of an attempt that died counts in full until here
    fold(tx, run).await?;
    attempt::hide_beyond(&mut *tx, run, attempt, step).await?;
    let hidden = chunk::beyond(&mut *tx, run, attempt, step).await?;
    let from: BTreeMap<i64, i64> = hidden.into_iter().map(|series| (series, step + 1)).collect();
    roll_up(tx, &from, Change::Hidden).await?;
    Ok(!from.is_empty())
}

fn first_step(chunks: &[Chunk]) -> i64 {
    chunks.iter().filter_map(|chunk| chunk.steps.first()).min().copied().unwrap_or(0)
}

/// Writes reported points into the chunks of their series and attempt. Of two points of one attempt at
/// one step the later reported counts.
async fn join(
    tx: &mut PgConnection,
    reported: BTreeMap<(i64, i32), Vec<Chunk>>,
) -> anyhow::Result<()> {
    let new: Vec<(i64, i32, i64)> = reported
        .iter()
        .map(|((series, attempt), chunks)| (*series, *attempt, first_step(chunks)))
        .collect();
    let mut stored: BTreeMap<(i64, i32), Vec<Chunk>> = BTreeMap::new();
    let mut gone: BTreeSet<(i64, i32, i64)> = BTreeSet::new();
    for row in chunk::joined_by(&mut *tx, &new).await? {
        gone.insert((row.series_id, row.attempt, row.step_first));
        stored.entry((row.series_id, row.attempt)).or_default().push(row.unpack()?);
    }
    let mut rows = Vec::new();
    for (key, chunks) in reported {
        let mut all = stored.remove(&key).unwrap_or_default();
        all.extend(chunks);
        rows.extend(cut(key, &merge(&all, ALL)));
    }
    for row in &rows {
        gone.remove(&(row.series_id, row.attempt, row.step_first));
    }
    chunk::write(tx, &rows, &gone.into_iter().collect::<Vec<_>>()).await?;
    Ok(())
}

/// Full chunks, and what is left.
fn cut((series_id, attempt): (i64, i32), points: &Points) -> Vec<chunk::Row> {
    let pieces = points.steps.chunks(FULL).zip(points.values.chunks(FULL));
    let pieces = pieces.zip(points.times.chunks(FULL));
    let row = |((steps, values), times): ((&[i64], &[f64]), &[i64])| chunk::Row {
        series_id,
        attempt,
        step_first: steps[0],
        step_last: steps[steps.len() - 1],
        n: i32::try_from(steps.len()).expect("a chunk is small"),
        points: pack(steps, values, times),
        visible_to: None,
    };
    pieces.map(row).collect()
}

/// Rebuilds the roll-ups of each series from a step on, and says where it stands.
async fn roll_up(
    tx: &mut PgConnection,
    changed: &BTreeMap<i64, i64>,
    change: Change,
) -> anyhow::Result<()> {
    let ids: Vec<i64> = changed.keys().copied().collect();
    let standing = series::standing(&mut *tx, &ids).await?;
    let start = |series: &Standing| {
        let step = changed[&series.series_id];
        series.levels.map_or(0, |levels| rebuilt_from(step, levels.narrowest))
    };
    let ranges: Vec<_> =
        standing.iter().map(|series| (series.series_id, start(series), i64::MAX)).collect();
    let mut chunks: BTreeMap<i64, Vec<Chunk>> = BTreeMap::new();
    for row in chunk::within(&mut *tx, &ranges).await? {
        chunks.entry(row.series_id).or_default().push(row.unpack()?);
    }
    let kept = kept_rows(&mut *tx, &standing, start).await?;

    let (mut rows, mut moved) = (Vec::new(), Vec::new());
    for series in &standing {
        let from = start(series);
        let chunks = chunks.remove(&series.series_id).unwrap_or_default();
        let points = merge(&chunks, (from, i64::MAX));
        if change == Change::Hidden && series.levels.is_some() {
            rollup::delete_beyond(&mut *tx, series.series_id, from).await?;
        }
        let (levels, fresh) = rolled_up(series, from, &points, &kept);
        let latest = match points.steps.last().zip(points.values.last()) {
            Some((&step, &value)) => Some((step, value)),
            None => last_before(&mut *tx, series, from).await?,
        };
        rows.extend(fresh);
        moved.push(Moved { series_id: series.series_id, levels, latest });
    }
    rollup::write(tx, &rows).await?;
    series::moved(tx, &moved).await?;
    Ok(())
}

type Kept = BTreeMap<(i64, i64), Vec<Bucket>>;

/// What is stored of each series and level, where the rebuilding begins.
async fn kept_rows(
    tx: &mut PgConnection,
    standing: &[Standing],
    start: impl Fn(&Standing) -> i64,
) -> anyhow::Result<Kept> {
    let mut places = Vec::new();
    for series in standing {
        let Some(levels) = series.levels else { continue };
        for width in levels.widths() {
            let is_widest = width == levels.widest;
            let index = if is_widest { 0 } else { row_of(start(series), width) };
            places.push((series.series_id, width, index, index));
        }
    }
    let mut kept = Kept::new();
    for row in rollup::rows(tx, &places).await? {
        kept.insert((row.series_id, row.width), unpack_buckets(&row.buckets)?);
    }
    Ok(kept)
}

fn rolled_up(
    series: &Standing,
    from: i64,
    points: &Points,
    kept: &Kept,
) -> (Option<Levels>, Vec<rollup::Row>) {
    let Standing { series_id, levels, .. } = *series;
    let (narrowest, from) = match (levels, narrowest(points)) {
        (Some(levels), _) => (levels.narrowest, from),
        (None, Some(narrowest)) => (narrowest, rebuilt_from(points.steps[0], narrowest)),
        (None, None) => return (None, Vec::new()),
    };
    let kept = |width| kept.get(&(series_id, width)).cloned().unwrap_or_default();
    let (levels, rows) = rebuild((narrowest, levels), from, points, kept);
    let rows = rows.into_iter().map(|row| rollup::Row {
        series_id,
        width: row.width,
        row_index: row.index,
        buckets: pack_buckets(&row.buckets),
    });
    (Some(levels), rows.collect())
}

/// The last point that counts, where none does from `from` on.
async fn last_before(
    tx: &mut PgConnection,
    series: &Standing,
    from: i64,
) -> anyhow::Result<Option<(i64, f64)>> {
    let Some(levels) = series.levels else { return Ok(None) };
    let (width, index) = (levels.narrowest, row_of(from, levels.narrowest));
    let row = rollup::last_before(tx, (series.series_id, width), index).await?;
    let Some(row) = row else { return Ok(None) };
    let buckets = unpack_buckets(&row.buckets)?;
    let last = buckets.last().context("a row of buckets is empty")?.last;
    Ok(Some((last.step, last.value)))
}
