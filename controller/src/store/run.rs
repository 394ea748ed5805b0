//! Runs: what was asked for, and the one statement that moves them.

use std::collections::HashSet;

use assay_api::{RunId, SweepId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

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
                ended_at = case when $3 = 'done' then now() end
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

/// A run as apply adds it.
#[derive(Clone, Debug)]
pub struct NewRun {
    pub run_id: Uuid,
    pub number: i32,
    pub point: String,
    pub kind: &'static str,
    pub label: String,
    pub spec: serde_json::Value,
    pub axes: serde_json::Value,
    pub is_baseline: bool,
    pub slots: i32,
    pub queue_order: i32,
    pub steps: i64,
    pub needs: Vec<Uuid>,
    /// Whose weights it scores.
    pub of_run_id: Option<Uuid>,
    pub priority: i16,
    /// One of them has not succeeded yet.
    pub is_blocked: bool,
    /// Where it comes from, in a sentence: its first event.
    pub origin: String,
}

/// Rows in one statement: their specs are some megabytes.
const INSERTED_AT_ONCE: usize = 1000;

/// Adds runs in their order; each may need those before it.
///
/// # Errors
/// The database does not answer, or a point exists already.
pub async fn insert(
    tx: &mut PgConnection,
    sweep: SweepId,
    new: &[NewRun],
) -> Result<(), sqlx::Error> {
    for new in new.chunks(INSERTED_AT_ONCE) {
        insert_runs(&mut *tx, sweep, new).await?;
    }
    let needs = || new.iter().flat_map(|run| run.needs.iter().map(|need| (run.run_id, *need)));
    sqlx::query!(
        "insert into run_need (run_id, needs_run_id) select * from unnest($1::uuid[], $2::uuid[])",
        &needs().map(|(run, _)| run).collect::<Vec<_>>(),
        &needs().map(|(_, need)| need).collect::<Vec<_>>(),
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn insert_runs(
    tx: &mut PgConnection,
    sweep: SweepId,
    new: &[NewRun],
) -> Result<(), sqlx::Error> {
    let each = || new.iter();
    sqlx::query!(
        "with added as (
            insert into run (run_id, sweep_id, number, point, kind, label, spec, axes, is_baseline, slots,
                             queue_order, steps, is_blocked, priority, of_run_id)
            select run_id, $1, number, point, kind, label, spec, axes, is_baseline, slots,
                   queue_order, steps, is_blocked, priority, of_run_id
            from unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[],
                        $9::boolean[], $10::integer[], $11::integer[], $12::bigint[], $13::boolean[],
                        $15::smallint[], $16::uuid[])
                as new (run_id, number, point, kind, label, spec, axes, is_baseline, slots, queue_order, steps,
                        is_blocked, priority, of_run_id)
            returning run_id, version, state
        )
        insert into run_event (run_id, version, event, state, text)
        select run_id, version, 'applied', state, origin from added join unnest($2, $14::text[]) as o (id, origin) on o.id = run_id",
        sweep.0,
        &each().map(|run| run.run_id).collect::<Vec<_>>(),
        &each().map(|run| run.number).collect::<Vec<_>>(),
        &each().map(|run| run.point.as_str()).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.kind).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.label.as_str()).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.spec.clone()).collect::<Vec<_>>(),
        &each().map(|run| run.axes.clone()).collect::<Vec<_>>(),
        &each().map(|run| run.is_baseline).collect::<Vec<_>>(),
        &each().map(|run| run.slots).collect::<Vec<_>>(),
        &each().map(|run| run.queue_order).collect::<Vec<_>>(),
        &each().map(|run| run.steps).collect::<Vec<_>>(),
        &each().map(|run| run.is_blocked).collect::<Vec<_>>(),
        &each().map(|run| run.origin.as_str()).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.priority).collect::<Vec<_>>(),
        &each().map(|run| run.of_run_id).collect::<Vec<_>>() as &[Option<Uuid>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of some runs have succeeded. None of them moves before the transaction ends, so that what
/// is added meanwhile is there to be unblocked.
///
/// # Errors
/// The database does not answer.
pub async fn hold_succeeded(
    tx: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select run_id, state = 'done' and outcome = 'succeeded' as "has_succeeded!"
         from run where run_id = any($1) order by run_id for share"#,
        runs,
    )
    .fetch_all(tx)
    .await?;
    let succeeded = rows.into_iter().filter(|row| row.has_succeeded);
    Ok(succeeded.map(|row| row.run_id).collect())
}

/// What waited for a run that has now succeeded, and waits for no other, can be placed.
///
/// # Errors
/// The database does not answer.
pub async fn unblock(tx: impl PgExecutor<'_>, succeeded: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run r set is_blocked = false
         where is_blocked and run_id in (select run_id from run_need where needs_run_id = $1)
           and not exists (
                select from run_need n join run needed on needed.run_id = n.needs_run_id
                where n.run_id = r.run_id and needed.outcome is distinct from 'succeeded'
           )",
        succeeded.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What may change about a stored run without training it again.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    pub run_id: Uuid,
    pub label: &'a str,
    pub axes: serde_json::Value,
    pub is_baseline: bool,
    pub queue_order: i32,
}

/// # Errors
/// The database does not answer.
pub async fn relabel(tx: impl PgExecutor<'_>, runs: &[Shown<'_>]) -> Result<(), sqlx::Error> {
    let each = || runs.iter();
    sqlx::query!(
        "update run r set label = s.label, axes = s.axes, is_baseline = s.is_baseline,
            queue_order = s.queue_order, changed = change_id()
         from unnest($1::uuid[], $2::text[], $3::jsonb[], $4::boolean[], $5::integer[])
            as s (run_id, label, axes, is_baseline, queue_order)
         where r.run_id = s.run_id and (r.label, r.axes, r.is_baseline, r.queue_order)
            is distinct from (s.label, s.axes, s.is_baseline, s.queue_order)",
        &each().map(|run| run.run_id).collect::<Vec<_>>(),
        &each().map(|run| run.label).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.axes.clone()).collect::<Vec<_>>(),
        &each().map(|run| run.is_baseline).collect::<Vec<_>>(),
        &each().map(|run| run.queue_order).collect::<Vec<_>>(),
    )
    .execute(tx)
    .await?;
    Ok(())
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

/// What apply compares with.
#[derive(Clone, Debug)]
pub struct Stored {
    pub run_id: Uuid,
    pub number: i32,
    pub point: String,
    pub kind: String,
    pub label: String,
    pub state: String,
    pub outcome: Option<String>,
    pub is_baseline: bool,
    /// No file names it: it extends a run, or scores one.
    pub is_derived: bool,
}

/// Every run of a sweep, by number.
///
/// # Errors
/// The database does not answer.
pub async fn of_sweep(db: impl PgExecutor<'_>, sweep: SweepId) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"select run_id, number, point, kind, label, state, outcome, is_baseline,
            of_run_id is not null
                or exists (select from extension e where e.run_id = run.run_id) as "is_derived!"
         from run where sweep_id = $1 order by number"#,
        sweep.0,
    )
    .fetch_all(db)
    .await
}

/// A task that a run is scored on, by itself or by a later run.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Whose weights they are.
    pub run_id: Uuid,
    pub task: String,
    pub sha256: String,
}

/// Every task that a run of the sweep is scored on.
///
/// # Errors
/// The database does not answer.
pub async fn scored(db: impl PgExecutor<'_>, sweep: SweepId) -> Result<Vec<Scored>, sqlx::Error> {
    sqlx::query_as!(
        Scored,
        r#"select coalesce(r.of_run_id, r.run_id) as "run_id!", t.key as "task!",
            t.value->>'sha256' as "sha256!"
         from run r, lateral jsonb_each(case r.kind
            when 'train' then r.spec->'eval'->'tasks'
            when 'evaluate' then r.spec->'of'->'eval'->'tasks'
         end) as t (key, value)
         where r.sweep_id = $1 and r.kind in ('train', 'evaluate')"#,
        sweep.0,
    )
    .fetch_all(db)
    .await
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
