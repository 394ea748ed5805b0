//! Sweeps: what was asked for, and the data it is pinned to.

use assay_api::{ProjectId, SweepId};
use assay_scheduler::Pause;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A sweep as apply writes it.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub name: &'a str,
    pub file: &'a str,
    pub folder: &'a str,
    pub axes: serde_json::Value,
    pub pool: &'a str,
    pub resources: serde_json::Value,
    pub parallel: Option<i32>,
    /// Slots times milliseconds.
    pub slot_ms_max: Option<i64>,
    pub same_error_max: Option<i32>,
    pub reuse: bool,
}

/// Makes the sweep or changes what was asked for, and locks it for the rest of the transaction. Its
/// pool stays: what its runs left is there.
///
/// # Errors
/// The database does not answer.
pub async fn upsert(
    tx: impl PgExecutor<'_>,
    project: ProjectId,
    asked: &Asked<'_>,
) -> Result<SweepId, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "insert into sweep (sweep_id, project_id, name, file, folder, axes, pool, parallel, resources,
                            slot_ms_max, same_error_max, reuse)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (project_id, name) do update set
            file = excluded.file, folder = excluded.folder, axes = excluded.axes,
            resources = excluded.resources, parallel = excluded.parallel,
            slot_ms_max = excluded.slot_ms_max, same_error_max = excluded.same_error_max,
            reuse = excluded.reuse, updated_at = now(), changed = change_id()
         returning sweep_id",
        Uuid::now_v7(),
        project.0,
        asked.name,
        asked.file,
        asked.folder,
        asked.axes,
        asked.pool,
        asked.parallel,
        asked.resources,
        asked.slot_ms_max,
        asked.same_error_max,
        asked.reuse,
    )
    .fetch_one(tx)
    .await?;
    Ok(SweepId(id))
}

/// # Errors
/// The database does not answer.
pub async fn find(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: &str,
) -> Result<Option<SweepId>, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "select sweep_id from sweep where project_id = $1 and name = $2",
        project.0,
        name,
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(SweepId))
}

/// The priority that a sweep's file last gave it; none: there is no such sweep.
///
/// # Errors
/// The database does not answer.
pub async fn priority(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: &str,
) -> Result<Option<i16>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select coalesce((resources->>'priority')::smallint, 0::smallint) as "priority!"
         from sweep where project_id = $1 and name = $2"#,
        project.0,
        name,
    );
    found.fetch_optional(db).await
}

/// Sweeps of a project.
///
/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>, project: ProjectId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "n!" from sweep where project_id = $1"#, project.0,)
        .fetch_one(db)
        .await
}

/// # Errors
/// The database does not answer, or there is no such sweep.
pub async fn name(db: impl PgExecutor<'_>, sweep: SweepId) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select name from sweep where sweep_id = $1", sweep.0).fetch_one(db).await
}

/// The pool that a sweep lives in.
///
/// # Errors
/// The database does not answer.
pub async fn pool(db: impl PgExecutor<'_>, sweep: SweepId) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!("select pool from sweep where sweep_id = $1", sweep.0).fetch_one(db).await
}

/// Pauses a sweep, or ends its pause.
///
/// # Errors
/// The database does not answer.
pub async fn pause(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    pause: Option<Pause>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sweep set paused = $2, pauses_running = $3, paused_because = null, updated_at = now(),
            changed = change_id()
         where sweep_id = $1",
        sweep.0,
        pause.is_some(),
        pause == Some(Pause::Running),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Pins a sweep to the data that another one is pinned to.
///
/// # Errors
/// The database does not answer.
pub async fn copy_pins(
    tx: impl PgExecutor<'_>,
    from: SweepId,
    to: SweepId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into sweep_pin (sweep_id, point, fingerprint)
         select $2, point, fingerprint from sweep_pin where sweep_id = $1
         on conflict do nothing",
        from.0,
        to.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets what the data of some points is pinned to.
///
/// # Errors
/// The database does not answer.
pub async fn unpin(
    tx: impl PgExecutor<'_>,
    sweep: SweepId,
    points: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from sweep_pin where sweep_id = $1 and point = any($2)", sweep.0, points)
        .execute(tx)
        .await?;
    Ok(())
}

/// Pins the data of a `prepare` run's point, if it is not pinned; returns what it is pinned to.
///
/// # Errors
/// The database does not answer.
pub async fn pin(
    tx: impl PgExecutor<'_>,
    sweep: Uuid,
    point: &str,
    fingerprint: &str,
) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into sweep_pin (sweep_id, point, fingerprint) values ($1, $2, $3)
         on conflict (sweep_id, point) do update set fingerprint = sweep_pin.fingerprint
         returning fingerprint",
        sweep,
        point,
        fingerprint,
    )
    .fetch_one(tx)
    .await
}
