//! Attempts: who runs one, how far its reports are stored, how it ended.

use assay_api::view::AttemptView;
use assay_api::worker::FoundCheckpoint;
use assay_api::{InstanceId, RunId};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// What a report is judged by: the attempt's row and its run's state, locked.
#[derive(Clone, Debug)]
pub struct Current {
    pub sweep_id: Uuid,
    pub instance: Option<Uuid>,
    pub seq_stored: i64,
    /// Reports up to this one are in chunks; the others take so many bytes.
    pub seq_folded: i64,
    pub unfolded_bytes: i64,
    pub resumed_step: Option<i64>,
    pub state: String,
    pub outcome: Option<String>,
    pub cause: Option<String>,
    /// Its shape has a canary that has not passed: what it proves is waited for.
    pub is_awaited: bool,
}

/// Locks run and attempt, in this order. None: it is not the run's current attempt, or its run has
/// ended.
///
/// # Errors
/// The database does not answer.
pub async fn lock_current(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<Option<Current>, sqlx::Error> {
    sqlx::query_as!(
        Current,
        r#"select r.sweep_id, a.instance, a.seq_stored, a.seq_folded, a.unfolded_bytes, a.resumed_step, r.state, r.outcome, r.cause,
            exists (
                select from canary c where c.sweep_id = r.sweep_id and c.shape = r.shape and c.passed_at is null
            ) as "is_awaited!"
         from run r join attempt a on a.run_id = r.run_id and a.attempt = r.attempt
         where r.run_id = $1 and r.attempt = $2 and r.state in ('leased', 'stopping')
         for update"#,
        run.0,
        attempt,
    )
    .fetch_optional(tx)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    pool: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into attempt (run_id, attempt, pool, placed_at) values ($1, $2, $3, now())",
        run.0,
        attempt,
        pool,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What the worker's `start` adds to its attempt.
#[derive(Clone, Debug)]
pub struct Start {
    pub instance: InstanceId,
    pub place: String,
    pub lease_ms: u64,
    pub resume: Option<FoundCheckpoint>,
}

/// # Errors
/// The database does not answer.
pub async fn start(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    start: &Start,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt set instance = $3, started_at = now(), place = $4,
            lease_ends_at = now() + make_interval(secs => $5::float8 / 1000),
            resumed_attempt = $6, resumed_step = $7
         where run_id = $1 and attempt = $2",
        run.0,
        attempt,
        start.instance.0,
        start.place,
        milliseconds(start.lease_ms),
        start.resume.as_ref().map(|found| found.attempt.cast_signed()),
        start.resume.as_ref().map(|found| found.step.cast_signed()),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The checkpoint that an attempt went on from, as its first `start` was told.
///
/// # Errors
/// The database does not answer.
pub async fn resumed(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<Option<FoundCheckpoint>, sqlx::Error> {
    let row = sqlx::query!(
        "select resumed_attempt, resumed_step from attempt where run_id = $1 and attempt = $2",
        run.0,
        attempt,
    )
    .fetch_one(tx)
    .await?;
    let found = row.resumed_attempt.zip(row.resumed_step);
    Ok(found.map(|(attempt, step)| FoundCheckpoint {
        attempt: attempt.unsigned_abs(),
        step: step.unsigned_abs(),
    }))
}

/// What earlier attempts reported beyond `step` counts no more (-1: nothing of it does).
///
/// # Errors
/// The database does not answer.
pub async fn hide_beyond(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    step: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt set visible_to = least(visible_to, $3) where run_id = $1 and attempt < $2",
        run.0,
        attempt,
        step,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Every report of a run is in chunks.
///
/// # Errors
/// The database does not answer.
pub async fn folded(tx: impl PgExecutor<'_>, run: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt a set unfolded_bytes = 0, seq_folded = greatest(seq_folded, (
            select max(seq) from report r where r.run_id = a.run_id and r.attempt = a.attempt
         ))
         where run_id = $1",
        run.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts reports as stored, with what their points take, and lengthens the lease: no step and no
/// event.
///
/// # Errors
/// The database does not answer.
pub async fn reported(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    (seq_stored, bytes): (i64, i64),
    lease_ms: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt set seq_stored = greatest(seq_stored, $3), unfolded_bytes = unfolded_bytes + $5,
            lease_ends_at = now() + make_interval(secs => $4::float8 / 1000)
         where run_id = $1 and attempt = $2",
        run.0,
        attempt,
        seq_stored,
        milliseconds(lease_ms),
        bytes,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a lease has run out by this server's clock; holds the attempt so that no sign of life comes
/// in between.
///
/// # Errors
/// The database does not answer.
pub async fn lease_is_over(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<bool, sqlx::Error> {
    let over = sqlx::query_scalar!(
        r#"select lease_ends_at <= now() as "over!" from attempt
           where run_id = $1 and attempt = $2 and lease_ends_at is not null for update"#,
        run.0,
        attempt,
    )
    .fetch_optional(tx)
    .await?;
    Ok(over.unwrap_or(true))
}

/// Highest report stored of any attempt, for carried ones.
///
/// # Errors
/// The database does not answer.
pub async fn lock_seq_stored(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select seq_stored from attempt where run_id = $1 and attempt = $2 for update",
        run.0,
        attempt,
    )
    .fetch_optional(tx)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn store_seq(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    seq: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt set seq_stored = greatest(seq_stored, $3) where run_id = $1 and attempt = $2",
        run.0,
        attempt,
        seq,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How and when an attempt ended, and what its sweep used by it; the first word stands.
///
/// # Errors
/// The database does not answer.
pub async fn end(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    (cause, reason): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with ended as (
            update attempt set ended_at = now(), cause = $3, reason = $4
            where run_id = $1 and attempt = $2 and ended_at is null
            returning run_id, now() - started_at as took
        )
        insert into sweep_use as u (sweep_id, slot_ms)
        select r.sweep_id, r.slots * (extract(epoch from greatest(took, interval '0')) * 1000)::bigint
        from ended join run r using (run_id) where took is not null
        on conflict (sweep_id) do update set slot_ms = u.slot_ms + excluded.slot_ms",
        run.0,
        attempt,
        cause,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether an attempt is its run's current one, and has not ended.
///
/// # Errors
/// The database does not answer.
pub async fn is_claimed(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
            select from run where run_id = $1 and attempt = $2 and state in ('leased', 'stopping')
        ) as "claimed!""#,
        run.0,
        attempt,
    )
    .fetch_one(db)
    .await
}

/// What an attempt's process printed last.
///
/// # Errors
/// The database does not answer.
pub async fn set_output(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    lines: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update attempt set output = $3 where run_id = $1 and attempt = $2",
        run.0,
        attempt,
        lines,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn of_run(db: impl PgExecutor<'_>, run: RunId) -> Result<Vec<AttemptView>, sqlx::Error> {
    struct Row {
        attempt: i32,
        pool: String,
        placed_at: DateTime<Utc>,
        started_at: Option<DateTime<Utc>>,
        ended_at: Option<DateTime<Utc>>,
        cause: Option<String>,
        reason: Option<String>,
        place: Option<String>,
        resumed_step: Option<i64>,
        output: Vec<String>,
    }
    let rows = sqlx::query_as!(
        Row,
        "select attempt, pool, placed_at, started_at, ended_at, cause, reason, place, resumed_step,
            output
         from attempt where run_id = $1 order by attempt",
        run.0,
    )
    .fetch_all(db)
    .await?;
    let view = rows.into_iter().map(|row| AttemptView {
        attempt: row.attempt.unsigned_abs(),
        pool: row.pool,
        placed_at: row.placed_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        cause: row.cause,
        reason: row.reason,
        place: row.place,
        resumed_from: row.resumed_step.map(i64::unsigned_abs),
        output: row.output,
    });
    Ok(view.collect())
}

/// Milliseconds for `make_interval`, which takes seconds as a float.
fn milliseconds(ms: u64) -> f64 {
    f64::from(u32::try_from(ms).expect("a lease is shorter than 49 days"))
}
