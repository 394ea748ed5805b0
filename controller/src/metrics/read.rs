//! Charts and streams: roll-ups where they are fine enough, raw points where not, and the tail behind.

use std::collections::{BTreeMap, HashMap};

use assay_api::view::{SeriesAnswer, SeriesPoints, SeriesQuery};
use assay_api::{ProjectId, SweepId};
use assay_series::{
    Bucket, Buckets, Chunk, Piece, Points, downsample, draw, merge, narrower, unpack_buckets,
    width_for,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::store::report::{self, Batch, Pick};
use crate::store::series::{self, Standing};
use crate::store::{chunk, rollup, run, snapshot};

/// A busy sweep sends the tail of each series; whoever missed more starts over.
const STREAM_BUCKETS: usize = 1000;

/// A series, and how it is read.
struct Wanted {
    series: Standing,
    /// Steps from the first to before the second.
    range: (i64, i64),
    /// Steps per bucket.
    width: i64,
    /// Not folded yet.
    tail: Points,
}

/// Points of many series of a project at once.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn query(
    app: &App,
    project: ProjectId,
    query: &SeriesQuery,
) -> anyhow::Result<SeriesAnswer> {
    let runs: Vec<Uuid> = query.runs.iter().map(|run| run.0).collect();
    let limit = usize::try_from(query.buckets)?;
    // a fold between two statements would be read twice or not at all
    let mut tx = snapshot(&app.store.db).await?;
    let runs = run::in_project(&mut *tx, project, &runs).await?;
    let found = series::shown(&mut *tx, &runs, &query.names).await?;
    let tails = tails(&mut tx, &found).await?;
    let (from, to) = (query.from.unwrap_or(0), query.to.unwrap_or(u64::MAX));
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    let wanted = found.into_iter().filter_map(|series| {
        let latest = series.latest_step?;
        let range = (from, latest.min(to).saturating_add(1));
        let tail = tails.get(&series.series_id).cloned().unwrap_or_default();
        let width = width_for(range, limit);
        (range.0 < range.1).then_some(Wanted { series, range, width, tail })
    });
    let mut series = answers(&mut tx, wanted.collect(), limit).await?;
    series.sort_by(|a, b| (a.run_id, &a.name).cmp(&(b.run_id, &b.name)));
    Ok(SeriesAnswer { series })
}

async fn tails(tx: &mut PgConnection, found: &[Standing]) -> anyhow::Result<BTreeMap<i64, Points>> {
    let ids: Vec<i64> = found.iter().map(|series| series.series_id).collect();
    let batches = report::tail(tx, Pick::Only(&ids)).await?;
    let chunks = by_series(batches)?.into_iter();
    Ok(chunks.map(|(id, chunks)| (id, merge(&chunks, (0, i64::MAX)))).collect())
}

fn by_series(batches: Vec<Batch>) -> anyhow::Result<BTreeMap<i64, Vec<Chunk>>> {
    let mut series: BTreeMap<i64, Vec<Chunk>> = BTreeMap::new();
    for batch in batches {
        series.entry(batch.series_id).or_default().push(batch.unpack()?);
    }
    Ok(series)
}

/// Reads all at once. What turns out to have gaps is read again in narrower buckets.
async fn answers(
    tx: &mut PgConnection,
    mut wanted: Vec<Wanted>,
    limit: usize,
) -> anyhow::Result<Vec<SeriesPoints>> {
    let mut answers = Vec::with_capacity(wanted.len());
    while !wanted.is_empty() {
        let stored = Stored::read(tx, &wanted).await?;
        let mut again = Vec::new();
        for mut wanted in wanted {
            let drawn = wanted.draw(&stored, limit);
            let width = narrower(wanted.width, drawn.points.len(), limit);
            if width < wanted.width && !wanted.is_raw() {
                wanted.width = width;
                again.push(wanted);
            } else {
                answers.push(answer(&wanted.series, drawn));
            }
        }
        wanted = again;
    }
    Ok(answers)
}

fn answer(series: &Standing, Buckets { width, points }: Buckets) -> SeriesPoints {
    SeriesPoints {
        run_id: series.run_id,
        name: series.name.clone(),
        width,
        steps: points.steps.into_iter().map(i64::cast_unsigned).collect(),
        values: points.values,
        times: points.times,
    }
}

impl Wanted {
    /// There are no buckets as narrow as that.
    fn is_raw(&self) -> bool {
        self.series.levels.is_none_or(|levels| self.width < levels.narrowest)
    }

    fn pieces(&self) -> Vec<Piece> {
        let (from, end) = self.range;
        match self.series.levels {
            Some(levels) if !self.is_raw() => {
                // to the end of the series: its last bucket holds nothing more
                let is_whole = self.series.latest_step.is_some_and(|latest| latest < end);
                let padding = if is_whole { (-end).rem_euclid(self.width) } else { 0 };
                levels.pieces((from, end.saturating_add(padding)), self.width)
            }
            Some(_) | None => vec![Piece { width: 1, from, end }],
        }
    }

    fn draw(&self, stored: &Stored, limit: usize) -> Buckets {
        let (from, end) = self.range;
        let id = self.series.series_id;
        let none = Vec::new();
        let chunks = stored.chunks.get(&id).unwrap_or(&none);
        let begin = self.tail.steps.partition_point(|&step| step < from);
        let close = self.tail.steps.partition_point(|&step| step < end).max(begin);
        let tail = self.tail.slice(begin..close);
        if self.is_raw() {
            let mut points = merge(chunks, (from, end - 1));
            points.append(tail);
            return downsample(&points, limit);
        }
        let mut buckets: Vec<Bucket> = Vec::new();
        for piece in self.pieces() {
            if piece.width == 1 {
                buckets.extend(merge(chunks, (piece.from, piece.end - 1)).buckets());
            } else if let Some(level) = stored.levels.get(&(id, piece.width)) {
                buckets.extend(level.iter().filter(|bucket| piece.holds(bucket)));
            }
        }
        buckets.extend(tail.buckets());
        draw(buckets, self.width)
    }
}

/// What the pieces of all wanted series need.
struct Stored {
    chunks: HashMap<i64, Vec<Chunk>>,
    levels: HashMap<(i64, i64), Vec<Bucket>>,
}

impl Stored {
    async fn read(tx: &mut PgConnection, wanted: &[Wanted]) -> anyhow::Result<Self> {
        let (mut ranges, mut places) = (Vec::new(), Vec::new());
        for each in wanted {
            let id = each.series.series_id;
            for piece in each.pieces() {
                if piece.width == 1 {
                    ranges.push((id, piece.from, piece.end - 1));
                } else {
                    let (first, last) = piece.rows();
                    places.push((id, piece.width, first, last));
                }
            }
        }
        let mut chunks: HashMap<i64, Vec<Chunk>> = HashMap::new();
        if !ranges.is_empty() {
            for row in chunk::within(&mut *tx, &ranges).await? {
                chunks.entry(row.series_id).or_default().push(row.unpack()?);
            }
        }
        let mut levels: HashMap<(i64, i64), Vec<Bucket>> = HashMap::new();
        if !places.is_empty() {
            let mut before = None;
            for row in rollup::rows(&mut *tx, &places).await? {
                // both ends of a range may lie in one row
                let place = (row.series_id, row.width, row.row_index);
                if before.replace(place) != Some(place) {
                    let level = levels.entry((row.series_id, row.width)).or_default();
                    level.extend(unpack_buckets(&row.buckets)?);
                }
            }
        }
        Ok(Self { chunks, levels })
    }
}

/// New points of a sweep, committed from `cursor` on and below `horizon`, by series.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn changed(
    tx: &mut PgConnection,
    sweep: SweepId,
    span: (i64, i64),
) -> anyhow::Result<Vec<SeriesPoints>> {
    let mut chunks = by_series(report::changed(&mut *tx, sweep, span).await?)?;
    if chunks.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = chunks.keys().copied().collect();
    let found = series::standing(tx, &ids).await?;
    let each = found.iter().map(|series| {
        let chunks = chunks.remove(&series.series_id).unwrap_or_default();
        answer(series, downsample(&merge(&chunks, (0, i64::MAX)), STREAM_BUCKETS))
    });
    Ok(each.collect())
}
