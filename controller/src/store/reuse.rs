//! Results that other runs have already, and runs that are linked to them.

use assay_api::{ProjectId, RunId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A queued run that may have the result of another, as far as its key depends on it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub run_id: Uuid,
    pub point: String,
    pub spec: serde_json::Value,
    /// The shorter run that it would go on from.
    pub of_run_id: Option<Uuid>,
}

/// # Errors
/// The database does not answer.
pub async fn wanted(db: impl PgExecutor<'_>, runs: &[Uuid]) -> Result<Vec<Wanted>, sqlx::Error> {
    sqlx::query_as!(
        Wanted,
        r#"select r.run_id as "run_id!", r.point as "point!", r.spec as "spec!", e.of_run_id as "of_run_id?"
         from run r left join extension e using (run_id) where r.run_id = any($1)"#,
        runs,
    )
    .fetch_all(db)
    .await
}

/// A run that trained what another one wants.
#[derive(Clone, Debug)]
pub struct Original {
    /// Who wants it.
    pub for_run_id: Uuid,
    pub run_id: Uuid,
    /// As people say it: `lr-and-mix/17`.
    pub name: String,
}

/// The first run of the same project and pool that succeeded with the key that each run wants. What people
/// have excluded is nobody's result.
///
/// # Errors
/// The database does not answer.
pub async fn originals(
    db: impl PgExecutor<'_>,
    (runs, keys): (&[Uuid], &[String]),
) -> Result<Vec<Original>, sqlx::Error> {
    sqlx::query_as!(
        Original,
        r#"select w.run_id as "for_run_id!", o.run_id, s.name || '/' || o.number as "name!"
         from unnest($1::uuid[], $2::text[]) as w (run_id, key)
         join run r on r.run_id = w.run_id
         join sweep own on own.sweep_id = r.sweep_id
         cross join lateral (
            select o.run_id, o.number, o.sweep_id
            from result join run o on o.run_id = result.run_id join sweep s on s.sweep_id = o.sweep_id
            where result.fingerprint = w.key and o.kind = 'train' and o.state = 'done'
              and o.outcome = 'succeeded' and o.reused_run_id is null
              and s.pool = own.pool and s.project_id = own.project_id and not s.is_deleting
              and not exists (select from exclusion x where x.run_id = o.run_id)
            order by result.created_at, o.run_id limit 1
         ) o
         join sweep s on s.sweep_id = o.sweep_id"#,
        runs,
        keys,
    )
    .fetch_all(db)
    .await
}

/// Which of some keys a run of a project and a pool has a result of.
///
/// # Errors
/// The database does not answer.
pub async fn known(
    db: impl PgExecutor<'_>,
    (project, pool): (ProjectId, &str),
    keys: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct result.fingerprint
         from result join run r using (run_id) join sweep s using (sweep_id)
         where result.fingerprint = any($3) and r.kind = 'train' and r.state = 'done'
           and r.outcome = 'succeeded' and s.pool = $2 and s.project_id = $1 and not s.is_deleting
           and not exists (select from exclusion x where x.run_id = r.run_id)",
        project.0,
        pool,
        keys,
    )
    .fetch_all(db)
    .await
}

/// What data was when it was last prepared, by the point of its `prepare` run.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub point: String,
    pub fingerprint: String,
}

/// Of a sweep's own pins, where it has them, or of any sweep of its project and pool.
///
/// # Errors
/// The database does not answer.
pub async fn prepared(
    db: impl PgExecutor<'_>,
    (project, sweep, pool): (ProjectId, &str, &str),
    points: &[String],
) -> Result<Vec<Prepared>, sqlx::Error> {
    sqlx::query_as!(
        Prepared,
        "select distinct on (r.point) r.point, result.fingerprint
         from run r join sweep s using (sweep_id)
         join result on result.run_id = r.run_id
         where r.point = any($4) and r.kind = 'prepare' and r.state = 'done' and r.outcome = 'succeeded'
           and s.pool = $3 and s.project_id = $1
         order by r.point, s.name = $2 desc, result.created_at desc",
        project.0,
        sweep,
        pool,
        points,
    )
    .fetch_all(db)
    .await
}

/// Holds the sweeps of some runs and the runs that they are to be linked to, so that nobody adds runs to
/// those and nobody deletes these. Waits for nobody: what somebody else holds now can be linked a moment
/// later. Returns the runs that can be linked.
///
/// # Errors
/// The database does not answer.
pub async fn hold(
    tx: &mut PgConnection,
    (runs, originals): (&[Uuid], &[Uuid]),
) -> Result<Vec<Uuid>, sqlx::Error> {
    let sweeps: Vec<Uuid> = sqlx::query_scalar!(
        "select sweep_id from sweep where sweep_id in (select sweep_id from run where run_id = any($1))
         order by sweep_id for no key update skip locked",
        runs,
    )
    .fetch_all(&mut *tx)
    .await?;
    let held: Vec<Uuid> = sqlx::query_scalar!(
        "select run_id from run where run_id = any($1) order by run_id for key share skip locked",
        originals,
    )
    .fetch_all(&mut *tx)
    .await?;
    // asked once they are held: who deletes a sweep holds its runs
    sqlx::query_scalar!(
        r#"select w.run_id as "run_id!"
         from unnest($1::uuid[], $2::uuid[]) as w (run_id, of_run_id)
         join run r on r.run_id = w.run_id
         join run o on o.run_id = w.of_run_id join sweep s on s.sweep_id = o.sweep_id
         where r.sweep_id = any($3) and o.run_id = any($4) and not s.is_deleting"#,
        runs,
        originals,
        &sweeps,
        &held,
    )
    .fetch_all(tx)
    .await
}

/// Links a run that ended with this step to the one that trained it; what it may have trained itself is not
/// shown any more. Streams of its sweep begin anew: its points are not reported, but were all the time.
///
/// # Errors
/// The database does not answer.
pub async fn link(tx: &mut PgConnection, run: RunId, original: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into result (run_id, attempt, step, path, fingerprint, tokens)
         select $1, attempt, step, path, fingerprint, tokens from result where run_id = $2
         on conflict (run_id) do update set
            attempt = excluded.attempt, step = excluded.step, path = excluded.path,
            fingerprint = excluded.fingerprint, tokens = excluded.tokens, created_at = now()",
        run.0,
        original,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update run r set reused_run_id = $2, step = result.step, tokens = result.tokens, started_at = null,
            rewritten = change_id(), changed = change_id()
         from result where r.run_id = $1 and result.run_id = $1",
        run.0,
        original,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A run that is linked, and what is to be known for scoring it.
#[derive(Clone, Debug)]
pub struct Linked {
    pub sweep_id: Uuid,
    pub point: String,
    pub label: String,
    pub spec: serde_json::Value,
    pub slots: i32,
    pub priority: i16,
    /// Its tasks that need no run: scored where it was trained, or by a later run of its own sweep.
    pub scored: Vec<String>,
    /// Of the whole sweep.
    pub number_max: i32,
    pub queue_order_max: i32,
}

/// # Errors
/// The database does not answer.
pub async fn linked(db: impl PgExecutor<'_>, run: RunId) -> Result<Linked, sqlx::Error> {
    sqlx::query_as!(
        Linked,
        r#"select r.sweep_id, r.point, r.label, r.spec, r.slots, r.priority,
            array(
                select unnest(coalesce(v.tasks, array(select jsonb_object_keys(s.spec->'of'->'eval'->'tasks'))))
                from shown v join run s on s.run_id = v.source_run_id
                where v.run_id = r.run_id and (v.tasks is null or (s.state = 'done' and s.outcome = 'succeeded'))
            ) as "scored!",
            (select max(number) from run o where o.sweep_id = r.sweep_id) as "number_max!",
            (select max(queue_order) from run o where o.sweep_id = r.sweep_id) as "queue_order_max!"
         from run r where r.run_id = $1"#,
        run.0,
    )
    .fetch_one(db)
    .await
}
