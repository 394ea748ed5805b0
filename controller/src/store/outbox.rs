//! What happened, as it is written down for webhooks: in the transaction that makes it so.
//!
//! One statement tells of everything that a transaction ended: of 10,000 runs, a statement for each
//! would look at all the rows before it again.

use assay_api::{ProjectId, SweepId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Tells of the runs of these sweeps that ended in this transaction, and of the sweeps that ended with
/// them. Whoever ends runs asks for it last: until the transaction ends, no other run of these sweeps
/// can, so of two that end the last ones at once, one sees the other's.
///
/// # Errors
/// The database does not answer.
pub async fn ended(tx: &mut PgConnection, sweeps: &[SweepId]) -> Result<(), sqlx::Error> {
    let sweeps: Vec<Uuid> = sweeps.iter().map(|sweep| sweep.0).collect();
    // a statement of its own: what it waits for is seen by the next. In one order, or two that end runs
    // of two sweeps would wait for each other.
    let held = sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('assay sweep ' || sweep_id, 0))
         from (select distinct sweep_id from unnest($1::uuid[]) as s (sweep_id) order by sweep_id) s
         where exists (select from webhook where is_enabled)",
        &sweeps,
    )
    .execute(&mut *tx)
    .await?;
    if held.rows_affected() == 0 {
        return Ok(());
    }
    runs(&mut *tx, &sweeps).await?;
    finished(tx, &sweeps).await
}

/// A run that ended in this transaction has its time. The id of the transaction is a scalar subquery,
/// so that the index on it is used: the function is volatile.
async fn runs(tx: impl PgExecutor<'_>, sweeps: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into delivery (webhook_id, event, about, data)
         select w.webhook_id, 'run.' || r.outcome, s.name || '/' || r.number, jsonb_strip_nulls(jsonb_build_object(
            'project', p.name, 'sweep', s.name, 'run', r.number, 'kind', r.kind, 'outcome', r.outcome,
            'reason', r.reason, 'attempt', r.attempt - 1, 'path', page(p.name, s.name) || '/' || r.number))
         from run r join sweep s using (sweep_id) join project p using (project_id)
         join webhook w on w.project_id = s.project_id and w.is_enabled and 'run.' || r.outcome = any(w.events)
         where r.sweep_id = any($1) and r.changed = (select change_id())
           and r.state = 'done' and r.ended_at = now()
         order by s.name, r.number, w.name",
        sweeps,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A sweep has finished if its last run ended here. What is open is asked for by the two partial indexes
/// that hold just that.
async fn finished(tx: impl PgExecutor<'_>, sweeps: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into delivery (webhook_id, event, about, data)
         select w.webhook_id, 'sweep.finished', s.name, jsonb_build_object(
            'project', p.name, 'sweep', s.name, 'path', page(p.name, s.name), 'counts', (
                select jsonb_build_object(
                    'succeeded', count(*) filter (where r.outcome = 'succeeded'),
                    'diverged', count(*) filter (where r.outcome = 'diverged'),
                    'failed', count(*) filter (where r.outcome = 'failed'),
                    'cancelled', count(*) filter (where r.outcome = 'cancelled'),
                    'stopped_early', count(*) filter (where r.outcome = 'stopped_early'))
                from run r where r.sweep_id = s.sweep_id))
         from sweep s join project p using (project_id)
         join webhook w on w.project_id = s.project_id and w.is_enabled and 'sweep.finished' = any(w.events)
         where s.sweep_id = any($1)
           and exists (
                select from run r where r.sweep_id = s.sweep_id and r.changed = (select change_id())
                    and r.state = 'done' and r.ended_at = now())
           and not exists (select from run r where r.sweep_id = s.sweep_id and r.state = 'queued')
           and not exists (
                select from run r where r.sweep_id = s.sweep_id and r.state in ('leased', 'stopping'))
         order by s.name, w.name",
        sweeps,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of a sweep's limits keeps it from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    SameError,
    GpuHours,
}

/// Tells that a limit keeps a sweep from going on.
///
/// # Errors
/// The database does not answer.
pub async fn paused(tx: impl PgExecutor<'_>, sweep: Uuid, limit: Limit) -> Result<(), sqlx::Error> {
    let limit = match limit {
        Limit::SameError => "same_error",
        Limit::GpuHours => "gpu_hours",
    };
    sqlx::query!(
        "insert into delivery (webhook_id, event, about, data)
         select w.webhook_id, 'sweep.paused', s.name, jsonb_build_object(
            'project', p.name, 'sweep', s.name, 'path', page(p.name, s.name), 'limit', $2::text,
            'reason', case $2 when 'same_error' then s.paused_because
                else 'it has used its ' || (s.slot_ms_max / 3.6e6)::float8
                    || ' GPU hours; raise limits.gpu_hours and apply again' end)
         from sweep s join project p using (project_id)
         join webhook w on w.project_id = s.project_id and w.is_enabled and 'sweep.paused' = any(w.events)
         where s.sweep_id = $1
         order by w.name",
        sweep,
        limit,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What somebody tests a webhook with; its number. None: no such webhook is enabled.
///
/// # Errors
/// The database does not answer.
pub async fn ping(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: &str,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into delivery (webhook_id, event, about, data)
         select w.webhook_id, 'ping', w.name, jsonb_build_object('project', p.name, 'path', '/')
         from webhook w join project p using (project_id)
         where project_id = $1 and w.name = $2 and w.is_enabled
         returning delivery_id",
        project.0,
        name,
    )
    .fetch_optional(db)
    .await
}
