//! Canaries: which run of each shape goes ahead of the others of its sweep, and what it measured.

use std::collections::BTreeMap;

use assay_api::view::{CanaryState, CanaryView};
use assay_api::worker::Pace;
use assay_api::{RunId, SweepId};
use assay_scheduler as scheduler;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Gives each shape of which several runs are queued, and none has begun, a canary: the first of them.
/// What already waits for one that has ended without an answer waits for the next.
///
/// # Errors
/// The database does not answer.
pub async fn plan(tx: &mut PgConnection, sweep: SweepId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into canary (sweep_id, shape, run_id)
         select sweep_id, shape,
            (array_agg(run_id order by priority desc, queue_order) filter (where state = 'queued'))[1]
         from run
         where sweep_id = $1 and shape is not null
         group by sweep_id, shape
         having 1 < count(*) filter (where state = 'queued')
            and bool_and(step = 0 and outcome is distinct from 'succeeded')
         on conflict do nothing",
        sweep.0,
    )
    .execute(&mut *tx)
    .await?;
    let ended = sqlx::query_scalar!(
        "select c.run_id from canary c join run r using (run_id)
         where c.sweep_id = $1 and c.passed_at is null and r.state = 'done' and r.outcome <> 'failed'",
        sweep.0,
    )
    .fetch_all(&mut *tx)
    .await?;
    for run in ended {
        hand_on(&mut *tx, RunId(run)).await?;
    }
    sqlx::query!(
        "update run r set is_blocked = true
         where sweep_id = $1 and state = 'queued' and shape is not null and not is_blocked and must_wait(r)",
        sweep.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Nothing of a sweep waits for a canary any more. What canaries measured stays.
///
/// # Errors
/// The database does not answer.
pub async fn give_up(tx: &mut PgConnection, sweep: SweepId) -> Result<(), sqlx::Error> {
    let shapes = sqlx::query_scalar!(
        "delete from canary where sweep_id = $1 and passed_at is null returning shape",
        sweep.0,
    )
    .fetch_all(&mut *tx)
    .await?;
    for shape in shapes {
        unblock(&mut *tx, (sweep.0, &shape)).await?;
    }
    Ok(())
}

/// A canary has proved what it is there for. False: it is none, or has before.
///
/// # Errors
/// The database does not answer.
pub async fn pass(tx: &mut PgConnection, run: RunId) -> Result<bool, sqlx::Error> {
    let passed = sqlx::query!(
        "update canary set passed_at = now() where run_id = $1 and passed_at is null
         returning sweep_id, shape",
        run.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(passed) = passed else { return Ok(false) };
    unblock(tx, (passed.sweep_id, &passed.shape)).await?;
    Ok(true)
}

/// A canary ended without an answer, and nobody will retry it by themselves (or what it would have trained
/// was trained elsewhere): the next queued run of its shape takes its place, if there is one.
///
/// # Errors
/// The database does not answer.
pub async fn hand_on(tx: &mut PgConnection, run: RunId) -> Result<(), sqlx::Error> {
    let handed = sqlx::query!(
        "update canary c set run_id = next.run_id
         from canary old cross join lateral (
            select run_id from run
            where sweep_id = old.sweep_id and shape = old.shape and state = 'queued' and run_id <> $1
            order by priority desc, queue_order limit 1
         ) next
         where old.run_id = $1 and old.passed_at is null and c.sweep_id = old.sweep_id and c.shape = old.shape
         returning c.sweep_id, c.shape",
        run.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(handed) = handed else { return Ok(()) };
    unblock(tx, (handed.sweep_id, &handed.shape)).await
}

/// Whatever of a shape waits for nothing any more can be placed.
async fn unblock(tx: impl PgExecutor<'_>, (sweep, shape): (Uuid, &str)) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run r set is_blocked = false
         where sweep_id = $1 and shape = $2 and state = 'queued' and is_blocked and not must_wait(r)",
        sweep,
        shape,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn measured(tx: impl PgExecutor<'_>, run: RunId, pace: &Pace) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update canary set tokens_per_second = $2, heldout_seconds = $3, task_seconds = $4,
            checkpoint_seconds = $5, measured_at = now()
         where run_id = $1 and passed_at is null",
        run.0,
        pace.tokens_per_second,
        pace.heldout_seconds,
        pace.task_seconds,
        pace.checkpoint_seconds,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of some runs wait for a canary, and for which.
///
/// # Errors
/// The database does not answer.
pub async fn waited_for(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<BTreeMap<scheduler::RunId, scheduler::Canary>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select r.run_id, c.shape, s.name || '/' || ahead.number || ' (' || ahead.label || ')' as "name!",
            ahead.state = 'done' and ahead.outcome = 'failed' as "has_failed!"
         from canary c join sweep s using (sweep_id)
         join run ahead on ahead.run_id = c.run_id
         join run r on r.sweep_id = c.sweep_id and r.shape = c.shape and r.run_id <> c.run_id
         where c.passed_at is null and r.run_id = any($1) and r.state = 'queued'"#,
        runs,
    )
    .fetch_all(db)
    .await?;
    let canary = rows.into_iter().map(|row| {
        let canary =
            scheduler::Canary { shape: row.shape, name: row.name, has_failed: row.has_failed };
        (scheduler::RunId(row.run_id.as_u128()), canary)
    });
    Ok(canary.collect())
}

/// How fast some shapes go in a pool: as the last run that succeeded went as a whole, or else as the last
/// canary measured.
///
/// # Errors
/// The database does not answer.
pub async fn paces(
    db: impl PgExecutor<'_>,
    pool: &str,
    shapes: &[&str],
) -> Result<BTreeMap<String, Pace>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select asked.shape as "shape!", run.tokens_per_second as whole, canary.tokens_per_second as "measured?",
            canary.heldout_seconds as "heldout_seconds?", canary.task_seconds as "task_seconds?",
            canary.checkpoint_seconds as "checkpoint_seconds?"
         from unnest($2::text[]) as asked (shape)
         left join lateral (
            select r.tokens / nullif((
                select sum(extract(epoch from a.ended_at - a.started_at)) from attempt a where a.run_id = r.run_id
            ), 0)::float8 as tokens_per_second
            from run r join sweep s using (sweep_id)
            where r.shape = asked.shape and r.outcome = 'succeeded' and r.reused_run_id is null and s.pool = $1
            order by r.ended_at desc limit 1
         ) run on true
         left join lateral (
            select c.* from canary c join sweep s using (sweep_id)
            where c.shape = asked.shape and c.measured_at is not null and s.pool = $1
            order by c.measured_at desc limit 1
         ) canary on true"#,
        pool,
        shapes as &[&str],
    )
    .fetch_all(db)
    .await?;
    let pace = rows.into_iter().filter_map(|row| {
        let seconds = |of_canary: Option<f64>| {
            // a run as a whole has them in its speed
            of_canary.filter(|_| row.whole.is_none()).unwrap_or(0.0)
        };
        let tokens_per_second = row.whole.or(row.measured).filter(|speed| 0.0 < *speed)?;
        let pace = Pace {
            tokens_per_second,
            heldout_seconds: seconds(row.heldout_seconds),
            task_seconds: seconds(row.task_seconds),
            checkpoint_seconds: seconds(row.checkpoint_seconds),
        };
        Some((row.shape, pace))
    });
    Ok(pace.collect())
}

/// Every canary of some sweeps, by sweep.
///
/// # Errors
/// The database does not answer.
pub async fn of_sweeps(
    db: impl PgExecutor<'_>,
    sweeps: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<CanaryView>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select c.sweep_id, c.shape, c.passed_at, c.tokens_per_second, r.number, r.state, r.outcome
         from canary c join run r using (run_id)
         where c.sweep_id = any($1) order by c.shape",
        sweeps,
    )
    .fetch_all(db)
    .await?;
    let mut canaries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let state = match (row.passed_at, row.state.as_str(), row.outcome.as_deref()) {
            (Some(_), ..) => CanaryState::Passed,
            (None, "done", Some("failed")) => CanaryState::Failed,
            (None, "done", _) => CanaryState::GivenUp,
            (None, "queued", _) => CanaryState::Queued,
            (None, ..) => CanaryState::Running,
        };
        canaries.entry(row.sweep_id).or_default().push(CanaryView {
            shape: row.shape,
            run: row.number.unsigned_abs(),
            state,
            tokens_per_second: row.tokens_per_second,
        });
    }
    Ok(canaries)
}
