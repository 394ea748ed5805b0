//! Reports as they came: their points until they are folded into chunks, and the rest of each in its
//! own table.

use assay_api::worker::{Progress, Report};
use assay_api::{RunId, SweepId};
use assay_series::{Chunk, Damaged, Points};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{evaluation, log_line, series};

/// What storing a report means for the tail of its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// What its points take.
    pub bytes: usize,
    /// A point lies at or before one that was stored earlier: a reader could not put them one behind
    /// the other.
    pub is_behind: bool,
}

/// Stores a report of an attempt. Stored twice, it changes nothing but log lines: the caller skips
/// what is stored already.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: &mut PgConnection,
    run: RunId,
    attempt: i32,
    report: &Report,
) -> Result<Stored, sqlx::Error> {
    let mut stored = Stored::default();
    if !report.metrics.is_empty() {
        stored = insert_points(tx, run, attempt, report).await?;
    }
    if !report.logs.is_empty() {
        log_line::insert(&mut *tx, run, attempt, &report.logs).await?;
    }
    if !report.evaluations.is_empty() {
        evaluation::insert(&mut *tx, run, attempt, &report.evaluations).await?;
    }
    for saved in &report.checkpoints {
        evaluation::insert_checkpoint(&mut *tx, run, attempt, saved).await?;
    }
    Ok(stored)
}

async fn insert_points(
    tx: &mut PgConnection,
    run: RunId,
    attempt: i32,
    report: &Report,
) -> Result<Stored, sqlx::Error> {
    let names: Vec<&str> = report.metrics.iter().map(|batch| batch.name.as_str()).collect();
    let known = series::of_names(tx, run, &names).await?;
    let mut stored = Stored::default();
    let (mut ids, mut points, mut n) = (Vec::new(), Vec::new(), 0);
    let (mut last_steps, mut last_values) = (Vec::new(), Vec::new());
    for (batch, series) in report.metrics.iter().zip(known) {
        let steps: Vec<i64> = batch.steps.iter().map(|step| step.cast_signed()).collect();
        stored.is_behind |= series.latest_step >= steps.first().copied();
        let packed = assay_series::pack(&steps, &batch.values, &batch.times);
        stored.bytes += packed.len();
        n += steps.len();
        last_steps.extend(steps.last());
        last_values.extend(batch.values.last());
        ids.push(series.series_id);
        points.push(packed);
    }
    sqlx::query!(
        "with stored as (
            insert into report (run_id, attempt, seq, series_ids, points, n) values ($1, $2, $3, $4, $5, $8)
            on conflict do nothing
         )
         update series s set latest_step = l.step, latest_value = l.value
         from unnest($4::bigint[], $6::bigint[], $7::float8[]) as l (series_id, step, value)
         where s.series_id = l.series_id and coalesce(s.latest_step, -1) < l.step",
        run.0,
        attempt,
        report.seq.cast_signed(),
        &ids,
        &points,
        &last_steps,
        &last_values,
        i32::try_from(n).expect("a report is small"),
    )
    .execute(tx)
    .await?;
    Ok(stored)
}

/// Points of one series, as one report brought them.
#[derive(Clone, Debug)]
pub struct Batch {
    pub run_id: Uuid,
    pub attempt: i32,
    pub series_id: i64,
    /// Packed.
    pub points: Vec<u8>,
}

impl Batch {
    /// # Errors
    /// The stored bytes are damaged.
    pub fn unpack(&self) -> Result<Chunk, Damaged> {
        let Points { steps, values, times } = assay_series::unpack(&self.points)?;
        // hidden points are folded first, so what is not folded counts in full
        Ok(Chunk { attempt: self.attempt.unsigned_abs(), visible_to: None, steps, values, times })
    }
}

struct Row {
    run_id: Uuid,
    attempt: i32,
    series_ids: Vec<i64>,
    points: Vec<Vec<u8>>,
}

/// Which series.
#[derive(Clone, Copy, Debug)]
pub enum Pick<'a> {
    /// Of a run.
    All(RunId),
    Only(&'a [i64]),
}

/// What is not folded yet of some series, in the order it was reported.
///
/// # Errors
/// The database does not answer.
pub async fn tail(db: impl PgExecutor<'_>, pick: Pick<'_>) -> Result<Vec<Batch>, sqlx::Error> {
    let (run, only) = match pick {
        Pick::All(run) => (Some(run.0), None),
        Pick::Only(series) => (None, Some(series)),
    };
    // each row's arrays are read once, and only what is asked for is sent
    let rows = sqlx::query_as!(
        Row,
        r#"select r.run_id, r.attempt, picked.series_ids as "series_ids!", picked.points as "points!"
         from attempt a
         join report r on r.run_id = a.run_id and r.attempt = a.attempt and a.seq_folded < r.seq
         cross join lateral (
            select array_agg(p.series_id) as series_ids, array_agg(p.points) as points
            from unnest(r.series_ids, r.points) as p (series_id, points)
            where $2::bigint[] is null or p.series_id = any($2)
         ) as picked
         where a.run_id in (select $1::uuid union select run_id from series where series_id = any($2))
           and picked.points is not null
         order by r.run_id, r.attempt, r.seq"#,
        run,
        only,
    )
    .fetch_all(db)
    .await?;
    Ok(batches(rows))
}

/// Points of a sweep's runs that were committed from `cursor` on and below `horizon`.
///
/// # Errors
/// The database does not answer.
pub async fn changed(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    (cursor, horizon): (i64, i64),
) -> Result<Vec<Batch>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select r.run_id, r.attempt, r.series_ids, r.points
         from report r join run using (run_id)
         where $2 <= r.changed and r.changed < $3 and run.sweep_id = $1
         order by r.run_id, r.attempt, r.seq",
        sweep.0,
        cursor,
        horizon,
    )
    .fetch_all(db)
    .await?;
    Ok(batches(rows))
}

fn batches(rows: Vec<Row>) -> Vec<Batch> {
    let each = rows.into_iter().flat_map(|row| {
        let Row { run_id, attempt, series_ids, points } = row;
        series_ids.into_iter().zip(points).map(move |(series_id, points)| Batch {
            run_id,
            attempt,
            series_id,
            points,
        })
    });
    each.collect()
}

/// Runs that will report no more for now, and have a tail.
///
/// # Errors
/// The database does not answer.
pub async fn left_unfolded(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<RunId>, sqlx::Error> {
    let runs = sqlx::query_scalar!(
        "select run_id from run
         where state in ('queued', 'done') and exists (
            select from report r join attempt a on a.run_id = r.run_id and a.attempt = r.attempt
            where r.run_id = run.run_id and a.seq_folded < r.seq
         )
         limit $1",
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(runs.into_iter().map(RunId).collect())
}

/// Throws folded reports away that every open stream has read by now, and notes up to where. False:
/// another controller is at it.
///
/// # Errors
/// The database does not answer.
pub async fn trim(tx: &mut PgConnection, kept_seconds: f64) -> Result<bool, sqlx::Error> {
    let is_alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('assay trim')) as "ok!""#)
            .fetch_one(&mut *tx)
            .await?;
    if !is_alone {
        return Ok(false);
    }
    sqlx::query!(
        "with gone as (
            delete from report r using attempt a
            where a.run_id = r.run_id and a.attempt = r.attempt and r.seq <= a.seq_folded
              and r.stored_at < now() - make_interval(secs => $1)
            returning r.run_id, r.changed
         )
         update run set trimmed = greatest(trimmed, last.changed)
         from (select run_id, max(changed) as changed from gone group by run_id) as last
         where run.run_id = last.run_id",
        kept_seconds,
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// What the run table shows of a live run.
///
/// # Errors
/// The database does not answer.
pub async fn progress(
    tx: impl PgExecutor<'_>,
    run: RunId,
    progress: Option<&Progress>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run set changed = change_id(), step = coalesce($2, step), tokens = coalesce($3, tokens),
            steps = coalesce(nullif($4::bigint, 0), steps), phase = coalesce($5, phase)
         where run_id = $1",
        run.0,
        progress.map(|p| p.step.cast_signed()),
        progress.map(|p| p.tokens.cast_signed()),
        progress.map_or(0, |p| p.steps.cast_signed()),
        progress.map(|p| p.phase.as_str()),
    )
    .execute(tx)
    .await?;
    Ok(())
}
