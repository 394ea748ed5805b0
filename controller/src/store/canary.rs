//! Canaries: which shapes of a sweep have one, which run that is, and what it measured.

use std::collections::BTreeMap;

use assay_api::view::{CanaryState, CanaryView};
use assay_api::worker::Pace;
use assay_api::{RunId, SweepId};
use assay_scheduler as scheduler;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Gives each shape of which several runs are queued, and none has begun, a canary.
///
/// # Errors
/// The database does not answer.
pub async fn plan(tx: &mut PgConnection, sweep: SweepId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into canary (sweep_id, shape)
         select sweep_id, shape from run
         where sweep_id = $1 and shape is not null
         group by sweep_id, shape
         having 1 < count(*) filter (where state = 'queued')
            and bool_and(step = 0 and outcome is distinct from 'succeeded')
         on conflict do nothing",
        sweep.0,
    )
    .execute(&mut *tx)
    .await?;
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

/// A run has proved what its shape's canary is there for. False: it has none, or it had passed.
///
/// # Errors
/// The database does not answer.
pub async fn pass(tx: &mut PgConnection, run: RunId) -> Result<bool, sqlx::Error> {
    let passed = sqlx::query!(
        "update canary c set passed_at = now(), passed_by = r.run_id from run r
         where r.run_id = $1 and c.sweep_id = r.sweep_id and c.shape = r.shape and c.passed_at is null
         returning c.sweep_id, c.shape",
        run.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(passed) = passed else { return Ok(false) };
    unblock(tx, (passed.sweep_id, &passed.shape)).await?;
    Ok(true)
}

/// A run has ended or was brought back: which one goes ahead of its shape may be another now. That one can be
/// placed, and the one before it, if it has not begun, waits.
///
/// # Errors
/// The database does not answer.
pub async fn hand_on(tx: impl PgExecutor<'_>, moved: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run r set is_blocked = must_wait(r)
         from run moved join canary c on c.sweep_id = moved.sweep_id and c.shape = moved.shape
         where moved.run_id = $1 and c.passed_at is null and r.state = 'queued' and r.run_id in (
            moved.run_id,
            canary_of(c.sweep_id, c.shape),
            (
                select other.run_id from run other
                where other.sweep_id = c.sweep_id and other.shape = c.shape and other.state <> 'done'
                  and other.run_id <> moved.run_id
                order by other.queue_order, other.number limit 1
            )
         ) and r.is_blocked <> must_wait(r)",
        moved.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether a run is the one that goes ahead of the others of its shape.
///
/// # Errors
/// The database does not answer.
pub async fn is_one(db: impl PgExecutor<'_>, run: RunId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
            select from run r join canary c using (sweep_id, shape)
            where r.run_id = $1 and c.passed_at is null and canary_of(sweep_id, shape) = r.run_id
        ) as "is_one!""#,
        run.0,
    )
    .fetch_one(db)
    .await
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
        "update canary c set tokens_per_second = $2, heldout_seconds = $3, task_seconds = $4,
            checkpoint_seconds = $5, measured_at = now()
         from run r
         where r.run_id = $1 and c.sweep_id = r.sweep_id and c.shape = r.shape and c.passed_at is null",
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
         join run ahead on ahead.run_id = canary_of(c.sweep_id, c.shape)
         join run r on r.sweep_id = c.sweep_id and r.shape = c.shape and r.run_id <> ahead.run_id
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

/// Every canary of some sweeps, by sweep. Of a shape whose runs have all ended without one there is none.
///
/// # Errors
/// The database does not answer.
pub async fn of_sweeps(
    db: impl PgExecutor<'_>,
    sweeps: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<CanaryView>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select c.sweep_id, c.shape, c.passed_at, c.tokens_per_second, r.number, r.state
         from canary c
         join run r on r.run_id = case when c.passed_at is null then canary_of(c.sweep_id, c.shape) else c.passed_by end
         where c.sweep_id = any($1) order by c.shape",
        sweeps,
    )
    .fetch_all(db)
    .await?;
    let mut canaries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let state = match (row.passed_at, row.state.as_str()) {
            (Some(_), _) => CanaryState::Passed,
            (None, "done") => CanaryState::Failed,
            (None, "queued") => CanaryState::Queued,
            (None, _) => CanaryState::Running,
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
