//! Runs as apply adds them, and what it compares a file with.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use assay_api::spec::RunSpec;
use assay_api::{RunId, SweepId};
use futures_util::future::join;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgArguments;
use sqlx::{PgConnection, PgExecutor, Postgres};
use uuid::Uuid;

/// A run as apply adds it.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    pub run_id: Uuid,
    pub number: i32,
    pub point: String,
    pub kind: &'static str,
    pub label: String,
    pub spec: Cow<'a, RunSpec>,
    pub axes: Cow<'a, BTreeMap<String, Value>>,
    pub is_baseline: bool,
    pub slots: i32,
    pub shape: Option<String>,
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

/// Rows in one statement: with their specs less than a socket holds, so that all of it is on its way
/// before the next are encoded.
const INSERTED_AT_ONCE: usize = 100;

/// Adds runs in their order; each may need those before it.
///
/// # Errors
/// The database does not answer, or a point exists already.
pub async fn insert(
    tx: &mut PgConnection,
    sweep: SweepId,
    new: &[NewRun<'_>],
) -> Result<(), sqlx::Error> {
    let mut chunks = new.chunks(INSERTED_AT_ONCE);
    let mut encode = || chunks.next().map(|chunk| (insert_runs(sweep, chunk), insert_needs(chunk)));
    let mut encoded = encode();
    while let Some((runs, needs)) = encoded {
        let written = async {
            runs.execute(&mut *tx).await?;
            needs.execute(&mut *tx).await
        };
        // while the server writes these, the next are encoded
        let (written, next) = join(written, async { encode() }).await;
        written?;
        encoded = next;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is plain data")
}

type Statement<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

fn insert_needs<'q>(new: &'q [NewRun<'_>]) -> Statement<'q> {
    let needs = || new.iter().flat_map(|run| run.needs.iter().map(|need| (run.run_id, *need)));
    sqlx::query!(
        "insert into run_need (run_id, needs_run_id) select * from unnest($1::uuid[], $2::uuid[])",
        &needs().map(|(run, _)| run).collect::<Vec<_>>(),
        &needs().map(|(_, need)| need).collect::<Vec<_>>(),
    )
}

fn insert_runs<'q>(sweep: SweepId, new: &'q [NewRun<'_>]) -> Statement<'q> {
    let each = || new.iter();
    sqlx::query!(
        "with added as (
            insert into run (run_id, sweep_id, number, point, kind, label, spec, axes, is_baseline, slots,
                             queue_order, steps, is_blocked, priority, of_run_id, shape)
            select run_id, $1, number, point, kind, label, spec::jsonb, axes::jsonb, is_baseline, slots,
                   queue_order, steps, is_blocked, priority, of_run_id, shape
            from unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                        $9::boolean[], $10::integer[], $11::integer[], $12::bigint[], $13::boolean[],
                        $15::smallint[], $16::uuid[], $17::text[])
                as new (run_id, number, point, kind, label, spec, axes, is_baseline, slots, queue_order, steps,
                        is_blocked, priority, of_run_id, shape)
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
        &each().map(|run| json(&*run.spec)).collect::<Vec<_>>(),
        &each().map(|run| json(&*run.axes)).collect::<Vec<_>>(),
        &each().map(|run| run.is_baseline).collect::<Vec<_>>(),
        &each().map(|run| run.slots).collect::<Vec<_>>(),
        &each().map(|run| run.queue_order).collect::<Vec<_>>(),
        &each().map(|run| run.steps).collect::<Vec<_>>(),
        &each().map(|run| run.is_blocked).collect::<Vec<_>>(),
        &each().map(|run| run.origin.as_str()).collect::<Vec<_>>() as &[&str],
        &each().map(|run| run.priority).collect::<Vec<_>>(),
        &each().map(|run| run.of_run_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &each().map(|run| run.shape.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
    )
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
           and not must_wait(r)",
        succeeded.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What needs one of some runs and has not succeeded waits for it, even if it had not to any more: a
/// placing that was planned before comes too late. Returns the numbers of those that are active.
///
/// # Errors
/// The database does not answer.
pub async fn block(tx: &mut PgConnection, needed: &[Uuid]) -> Result<Vec<i32>, sqlx::Error> {
    let rows = sqlx::query!(
        "select run_id, number, state from run
         where run_id in (select run_id from run_need where needs_run_id = any($1))
           and outcome is distinct from 'succeeded'
         order by run_id for update",
        needed,
    )
    .fetch_all(&mut *tx)
    .await?;
    let runs: Vec<Uuid> = rows.iter().map(|row| row.run_id).collect();
    sqlx::query!(
        "update run set is_blocked = true, version = version + 1 where run_id = any($1)",
        &runs,
    )
    .execute(tx)
    .await?;
    let mut active: Vec<i32> = rows
        .iter()
        .filter(|row| matches!(row.state.as_str(), "leased" | "stopping"))
        .map(|row| row.number)
        .collect();
    active.sort_unstable();
    Ok(active)
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
