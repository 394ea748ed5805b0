//! Metric series: a dictionary row each, and their points in array chunks.

use assay_api::RunId;
use assay_api::SweepId;
use assay_api::worker::MetricBatch;
use assay_series::Chunk;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The chunks of one series, of every attempt that counts for it.
#[derive(Clone, Debug)]
pub struct SeriesChunks {
    pub run_id: RunId,
    pub name: String,
    pub chunks: Vec<Chunk>,
}

/// Stores the points of one report; a second time changes nothing.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: &mut PgConnection,
    run: RunId,
    (attempt, seq): (i32, i64),
    batches: &[MetricBatch],
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = batches.iter().map(|batch| batch.name.clone()).collect();
    let starts: Vec<i32> = batches
        .iter()
        .scan(1usize, |next, batch| {
            let start = *next;
            *next += batch.steps.len();
            Some(i32::try_from(start).expect("a report's points are limited"))
        })
        .collect();
    let ends: Vec<i32> = batches
        .iter()
        .zip(&starts)
        .map(|(b, s)| s + i32::try_from(b.steps.len()).expect("limited") - 1)
        .collect();
    let steps: Vec<i64> =
        batches.iter().flat_map(|b| b.steps.iter().map(|step| step.cast_signed())).collect();
    let values: Vec<f64> = batches.iter().flat_map(|b| b.values.iter().copied()).collect();
    let times: Vec<i64> = batches.iter().flat_map(|b| b.times.iter().copied()).collect();

    sqlx::query!(
        "insert into series (run_id, name) select $1, name from unnest($2::text[]) as n (name)
         on conflict (run_id, name) do nothing",
        run.0,
        &names,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"with batch as (
            select s.series_id, b.first, b.last
            from unnest($2::text[], $3::int[], $4::int[]) as b (name, first, last)
            join series s on s.run_id = $1 and s.name = b.name
        ), stored as (
            insert into chunk (series_id, attempt, seq, step_first, step_last, steps, values, times)
            select series_id, $5, $6, ($7::bigint[])[first], ($7::bigint[])[last],
                   ($7::bigint[])[first:last], ($8::float8[])[first:last], ($9::bigint[])[first:last]
            from batch
            on conflict do nothing
            returning series_id, step_last, values[cardinality(values)] as value_last
        )
        update series s set latest_step = stored.step_last, latest_value = stored.value_last
        from stored
        where s.series_id = stored.series_id and coalesce(s.latest_step, -1) <= stored.step_last"#,
        run.0,
        &names,
        &starts,
        &ends,
        attempt,
        seq,
        &steps,
        &values,
        &times,
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Series that a run has.
///
/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>, run: RunId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "n!" from series where run_id = $1"#, run.0)
        .fetch_one(db)
        .await
}

/// Sets every latest value of a run anew, after a resume hid points.
///
/// # Errors
/// The database does not answer.
pub async fn recompute_latest(db: impl PgExecutor<'_>, run: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series s set latest_step = l.step, latest_value = l.value
         from series t left join lateral (
            select p.step, p.value
            from chunk c
            join attempt a on a.run_id = t.run_id and a.attempt = c.attempt,
            lateral unnest(c.steps, c.values) as p (step, value)
            where c.series_id = t.series_id and p.step <= coalesce(a.visible_to, p.step)
            order by p.step desc, c.attempt desc
            limit 1
         ) l on true
         where s.series_id = t.series_id and t.run_id = $1",
        run.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

struct ChunkRow {
    run_id: Uuid,
    name: String,
    attempt: i32,
    visible_to: Option<i64>,
    steps: Vec<i64>,
    values: Vec<f64>,
    times: Vec<i64>,
}

/// Chunks that touch `from..=to`, by series.
///
/// # Errors
/// The database does not answer.
pub async fn chunks(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
    names: &[String],
    (from, to): (i64, i64),
) -> Result<Vec<SeriesChunks>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ChunkRow,
        "select s.run_id, s.name, c.attempt, a.visible_to, c.steps, c.values, c.times
         from series s
         join chunk c using (series_id)
         join attempt a on a.run_id = s.run_id and a.attempt = c.attempt
         where s.run_id = any($1) and s.name = any($2) and $3 <= c.step_last and c.step_first <= $4
         order by s.run_id, s.name, c.attempt, c.seq",
        runs,
        names,
        from,
        to,
    )
    .fetch_all(db)
    .await?;
    Ok(group(rows))
}

/// Chunks of a sweep's runs that were committed from `cursor` on and below `horizon`.
///
/// # Errors
/// The database does not answer.
pub async fn changed_chunks(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    (cursor, horizon): (i64, i64),
) -> Result<Vec<SeriesChunks>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ChunkRow,
        "select s.run_id, s.name, c.attempt, a.visible_to, c.steps, c.values, c.times
         from chunk c
         join series s using (series_id)
         join run r using (run_id)
         join attempt a on a.run_id = s.run_id and a.attempt = c.attempt
         where $2 <= c.changed and c.changed < $3 and r.sweep_id = $1
         order by s.run_id, s.name, c.attempt, c.seq",
        sweep.0,
        cursor,
        horizon,
    )
    .fetch_all(db)
    .await?;
    Ok(group(rows))
}

fn group(rows: Vec<ChunkRow>) -> Vec<SeriesChunks> {
    let mut series: Vec<SeriesChunks> = Vec::new();
    for row in rows {
        let run_id = RunId(row.run_id);
        let chunk = Chunk {
            attempt: row.attempt.unsigned_abs(),
            // all hidden reads as -1: nothing lies below it
            visible_to: row.visible_to,
            steps: row.steps,
            values: row.values,
            times: row.times,
        };
        match series.last_mut() {
            Some(last) if last.run_id == run_id && last.name == row.name => last.chunks.push(chunk),
            _ => series.push(SeriesChunks { run_id, name: row.name, chunks: vec![chunk] }),
        }
    }
    series
}

/// Names of every series of the runs of a sweep.
///
/// # Errors
/// The database does not answer.
pub async fn names_of_sweep(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct s.name from series s join run r using (run_id) where r.sweep_id = $1 order by 1",
        sweep.0,
    )
    .fetch_all(db)
    .await
}

/// Names of every series of a run.
///
/// # Errors
/// The database does not answer.
pub async fn names_of_run(db: impl PgExecutor<'_>, run: RunId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from series where run_id = $1 order by 1", run.0)
        .fetch_all(db)
        .await
}
