//! Runs: what was asked for, and the one statement that moves them.

mod added;

use std::collections::BTreeMap;

use assay_api::{ProjectId, RunId, SweepId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

pub use added::{
    NewRun, Scored, Shown, Stored, block, hold_succeeded, insert, of_sweep, relabel, scored,
    unblock,
};

/// The columns that `Standing` fills, and what people read of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub state: String,
    pub attempt: i32,
    pub not_before: Option<DateTime<Utc>>,
    pub stopping_since: Option<DateTime<Utc>>,
    pub outcome: Option<String>,
    pub is_cancelled_by_need: bool,
    pub cause: Option<String>,
    pub reason: Option<String>,
    pub tries_error: i32,
    pub tries_infrastructure: i32,
    pub last_error_step: Option<i64>,
    pub last_error_signature: Option<i64>,
}

/// One step as it is written: where it leads, and its event's words.
#[derive(Clone, Debug)]
pub struct Step {
    pub run: RunId,
    /// The version it was decided at.
    pub version: i64,
    pub to: Standing,
    pub event: &'static str,
    pub event_attempt: Option<i32>,
    pub text: String,
}

/// Moves a run and writes the event, in one statement. False: somebody else moved it first.
///
/// # Errors
/// The database does not answer, or a CHECK refuses the step.
pub async fn step(tx: impl PgExecutor<'_>, step: &Step) -> Result<bool, sqlx::Error> {
    let to = &step.to;
    let moved = sqlx::query_scalar!(
        r#"with moved as (
            update run set
                state = $3, attempt = $4, not_before = $5, outcome = $6, cause = $7, reason = $8,
                tries_error = $9, tries_infrastructure = $10, last_error_step = $11, last_error_signature = $12,
                stopping_since = $16, is_cancelled_by_need = $17,
                version = version + 1, changed = change_id(), waiting = null, is_held_back = false,
                phase = case when $3 = 'leased' then phase end,
                queued_at = case when $3 = 'queued' and state <> 'queued' then now() else queued_at end,
                started_at = case when $3 = 'leased' then coalesce(started_at, now()) else started_at end,
                ended_at = case when $3 = 'done' then now() end,
                is_system_dropped = is_system_dropped and $3 = 'done',
                is_log_dropped = is_log_dropped and $3 = 'done'
            where run_id = $1 and version = $2
            returning run_id, version, state
        )
        insert into run_event (run_id, version, event, attempt, state, text)
        select run_id, version, $13, $14, state, $15 from moved
        returning version"#,
        step.run.0,
        step.version,
        to.state,
        to.attempt,
        to.not_before,
        to.outcome,
        to.cause,
        to.reason,
        to.tries_error,
        to.tries_infrastructure,
        to.last_error_step,
        to.last_error_signature,
        step.event,
        step.event_attempt,
        step.text,
        to.stopping_since,
        to.is_cancelled_by_need,
    )
    .fetch_optional(tx)
    .await?;
    Ok(moved.is_some())
}

/// Holds a run for the rest of the transaction: no worker reports meanwhile. False: there is none.
///
/// # Errors
/// The database does not answer.
pub async fn lock(tx: impl PgExecutor<'_>, run: RunId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select true as "found!" from run where run_id = $1 for update"#,
        run.0
    );
    Ok(found.fetch_optional(tx).await?.is_some())
}

/// Why the given runs wait; none where they no longer do. Only what differs is written.
///
/// # Errors
/// The database does not answer.
pub async fn explain(
    tx: &mut PgConnection,
    runs: &[Uuid],
    waiting: &[String],
    held_back: &[bool],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run r set waiting = w.waiting, is_held_back = w.held_back, changed = change_id()
         from unnest($1::uuid[], $2::text[], $3::boolean[]) as w (run_id, waiting, held_back)
         where r.run_id = w.run_id and r.state in ('queued', 'leased') and r.waiting is distinct from w.waiting",
        runs,
        waiting,
        held_back,
    )
    .execute(&mut *tx)
    .await?;
    // it runs, or its pool has no words
    sqlx::query!(
        "update run set waiting = null, is_held_back = false, changed = change_id()
         where state = 'leased' and waiting is not null and run_id <> all($1)",
        runs,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a succeeded run left, with what it is.
#[derive(Clone, Debug)]
pub struct NeededResult {
    pub run_id: Uuid,
    pub kind: String,
    pub point: String,
    pub spec: serde_json::Value,
    pub path: String,
    pub fingerprint: String,
    pub tokens: i64,
}

/// Results of everything that a run needs.
///
/// # Errors
/// The database does not answer.
pub async fn needed_results(
    db: impl PgExecutor<'_>,
    run: RunId,
) -> Result<Vec<NeededResult>, sqlx::Error> {
    sqlx::query_as!(
        NeededResult,
        "select r.run_id, r.kind, r.point, r.spec, result.path, result.fingerprint, result.tokens
         from run_need n join run r on r.run_id = n.needs_run_id join result on result.run_id = r.run_id
         where n.run_id = $1",
        run.0,
    )
    .fetch_all(db)
    .await
}

/// Results of some runs.
///
/// # Errors
/// The database does not answer.
pub async fn results(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<Vec<NeededResult>, sqlx::Error> {
    sqlx::query_as!(
        NeededResult,
        "select run_id, r.kind, r.point, r.spec, result.path, result.fingerprint, result.tokens
         from run r join result using (run_id) where run_id = any($1)",
        runs,
    )
    .fetch_all(db)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn insert_result(
    tx: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    (step, tokens): (u64, u64),
    (path, fingerprint): (&str, &str),
) -> Result<(), sqlx::Error> {
    // an attempt that only measured again what a checkpoint held reported no step of its own
    sqlx::query!(
        "with told as (update run set step = $3, tokens = $6, changed = change_id() where run_id = $1 and kind = 'train')
         insert into result (run_id, attempt, step, path, fingerprint, tokens) values ($1, $2, $3, $4, $5, $6)
         on conflict (run_id) do update set
            attempt = excluded.attempt, step = excluded.step, path = excluded.path,
            fingerprint = excluded.fingerprint, tokens = excluded.tokens, created_at = now()",
        run.0,
        attempt,
        step.cast_signed(),
        path,
        fingerprint,
        tokens.cast_signed(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether an attempt's worker has recorded how it ended.
///
/// # Errors
/// The database does not answer.
pub async fn has_finished(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
            select from run_event where run_id = $1 and attempt = $2 and event = 'finished'
        ) as "finished!""#,
        run.0,
        attempt,
    )
    .fetch_one(db)
    .await
}

/// What was asked of a run.
#[derive(Clone, Debug)]
pub struct AskedRun {
    pub sweep_id: Uuid,
    pub sweep: String,
    pub spec: serde_json::Value,
    pub point: String,
}

/// # Errors
/// The database does not answer, or there is no such run.
pub async fn asked(db: impl PgExecutor<'_>, run: RunId) -> Result<AskedRun, sqlx::Error> {
    sqlx::query_as!(
        AskedRun,
        "select sweep_id, s.name as sweep, r.spec, r.point from run r join sweep s using (sweep_id) where run_id = $1",
        run.0,
    )
    .fetch_one(db)
    .await
}

/// Streams of its sweep begin anew: points that people have seen were hidden.
///
/// # Errors
/// The database does not answer.
pub async fn rewritten(db: impl PgExecutor<'_>, run: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run set rewritten = change_id(), changed = change_id() where run_id = $1",
        run.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Puts a run before or behind others. It is no step: a run that moves meanwhile loses nothing by it.
/// False: there is no such run.
///
/// # Errors
/// The database does not answer.
pub async fn prioritize(
    db: impl PgExecutor<'_>,
    run: RunId,
    priority: i16,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update run set priority = $2, changed = change_id() where run_id = $1",
        run.0,
        priority,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The same for every run of a sweep.
///
/// # Errors
/// The database does not answer.
pub async fn prioritize_all(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    priority: i16,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run set priority = $2, changed = change_id() where sweep_id = $1 and priority <> $2",
        sweep.0,
        priority,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a pool must know to create an attempt of a run.
#[derive(Clone, Debug)]
pub struct Ordered {
    pub run_id: Uuid,
    pub number: i32,
    pub slots: i32,
    pub sweep: String,
    pub resources: serde_json::Value,
}

/// # Errors
/// The database does not answer.
pub async fn ordered(db: impl PgExecutor<'_>, runs: &[Uuid]) -> Result<Vec<Ordered>, sqlx::Error> {
    sqlx::query_as!(
        Ordered,
        "select r.run_id, r.number, r.slots, s.name as sweep, s.resources
         from run r join sweep s using (sweep_id) where r.run_id = any($1)",
        runs,
    )
    .fetch_all(db)
    .await
}

/// Slots that are taken, by pool.
///
/// # Errors
/// The database does not answer.
pub async fn slots_used(db: impl PgExecutor<'_>) -> Result<BTreeMap<String, u32>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select pool, sum(slots)::bigint as "used!" from run join sweep using (sweep_id)
           where state in ('leased', 'stopping') and not is_held_back group by pool"#,
    )
    .fetch_all(db)
    .await?;
    let used = |used| u32::try_from(used).unwrap_or(u32::MAX);
    Ok(rows.into_iter().map(|row| (row.pool, used(row.used))).collect())
}

/// Those of some runs that are of a project.
///
/// # Errors
/// The database does not answer.
pub async fn in_project(
    tx: impl PgExecutor<'_>,
    project: ProjectId,
    runs: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select run_id from run join sweep using (sweep_id) where run_id = any($2) and project_id = $1",
        project.0,
        runs,
    )
    .fetch_all(tx)
    .await
}
