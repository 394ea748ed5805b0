//! Schedules, and what became of each of their times.

use assay_api::sweep::Timetable;
use assay_api::view::{FiringOutcome, FiringView};
use assay_api::{ProjectId, SweepId};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

/// So many times of a schedule are remembered.
const FIRINGS_KEPT: i64 = 1_000;

#[derive(Clone, Debug)]
pub struct Stored {
    pub schedule_id: Uuid,
    pub project_id: ProjectId,
    pub name: String,
    pub file: String,
    pub folder: String,
    pub timetable: Json<Timetable>,
    pub is_paused: bool,
    pub due_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// By the database's clock.
    pub now: DateTime<Utc>,
}

/// The clock that times are judged by.
///
/// # Errors
/// The database does not answer.
pub async fn now(db: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(db).await
}

/// A schedule as apply writes it.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    pub name: &'a str,
    pub file: &'a str,
    pub folder: &'a str,
    pub timetable: &'a Timetable,
    pub due_at: Option<DateTime<Utc>>,
    pub by: &'a str,
}

/// Makes a schedule, or changes the one of that name. One that is paused stays so.
///
/// # Errors
/// The database does not answer.
pub async fn upsert(
    tx: impl PgExecutor<'_>,
    project: ProjectId,
    new: New<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into schedule as s (schedule_id, project_id, name, file, folder, timetable, due_at, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (project_id, name) do update set
            file = excluded.file, folder = excluded.folder, timetable = excluded.timetable,
            due_at = case when not s.is_paused then excluded.due_at end",
        Uuid::now_v7(),
        project.0,
        new.name,
        new.file,
        new.folder,
        serde_json::to_value(new.timetable).expect("a timetable is plain data"),
        new.due_at,
        new.by,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// All of a project, or the one of a name; by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: Option<&str>,
) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"select schedule_id, project_id, s.name, file, folder, timetable as "timetable: Json<Timetable>", is_paused, due_at,
            s.created_at, created_by, now() as "now!"
         from schedule s where project_id = $1 and ($2::text is null or s.name = $2)
         order by s.name"#,
        project.0,
        name,
    )
    .fetch_all(db)
    .await
}

/// Holds a schedule for the rest of the transaction; none: it was removed.
///
/// # Errors
/// The database does not answer.
pub async fn lock(tx: impl PgExecutor<'_>, schedule: Uuid) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"select schedule_id, project_id, name, file, folder, timetable as "timetable: Json<Timetable>", is_paused, due_at,
            created_at, created_by, now() as "now!"
         from schedule where schedule_id = $1 for update"#,
        schedule,
    )
    .fetch_optional(tx)
    .await
}

/// Whose time has come, the longest overdue first.
///
/// # Errors
/// The database does not answer.
pub async fn due(db: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select schedule_id from schedule where due_at <= now() order by due_at")
        .fetch_all(db)
        .await
}

/// # Errors
/// The database does not answer.
pub async fn set_due(
    tx: impl PgExecutor<'_>,
    schedule: Uuid,
    is_paused: bool,
    due_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update schedule set is_paused = $2, due_at = $3 where schedule_id = $1",
        schedule,
        is_paused,
        due_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// With what became of its times; its sweeps stay.
///
/// # Errors
/// The database does not answer.
pub async fn delete(tx: impl PgExecutor<'_>, schedule: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from schedule where schedule_id = $1", schedule).execute(tx).await?;
    Ok(())
}

/// Schedules of a project.
///
/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>, project: ProjectId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "n!" from schedule where project_id = $1"#,
        project.0,
    )
    .fetch_one(db)
    .await
}

/// What became of a time.
#[derive(Clone, Copy, Debug)]
pub struct Firing<'a> {
    pub due_at: DateTime<Utc>,
    pub missed: u32,
    pub what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    Applied(SweepId, &'a str),
    Skipped(&'a str),
    Refused(&'a str),
}

/// Notes it, and forgets the oldest beyond a thousand.
///
/// # Errors
/// The database does not answer.
pub async fn note(
    tx: &mut sqlx::PgConnection,
    schedule: Uuid,
    firing: Firing<'_>,
) -> Result<(), sqlx::Error> {
    let (outcome, sweep, reason) = match firing.what {
        What::Applied(sweep, name) => (FiringOutcome::Applied, Some((sweep.0, name)), None),
        What::Skipped(why) => (FiringOutcome::Skipped, None, Some(why)),
        What::Refused(why) => (FiringOutcome::Refused, None, Some(why)),
    };
    sqlx::query!(
        "insert into firing (schedule_id, due_at, outcome, missed, sweep_id, sweep, reason)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (schedule_id, due_at) do update set
            outcome = excluded.outcome, missed = excluded.missed, sweep_id = excluded.sweep_id,
            sweep = excluded.sweep, reason = excluded.reason, created_at = now()",
        schedule,
        firing.due_at,
        outcome.word(),
        i32::try_from(firing.missed).unwrap_or(i32::MAX),
        sweep.map(|(id, _)| id),
        sweep.map(|(_, name)| name),
        reason,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from firing where schedule_id = $1 and firing_id <= (
            select firing_id from firing where schedule_id = $1 order by firing_id desc offset $2 limit 1)",
        schedule,
        FIRINGS_KEPT,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What became of a schedule's last times, the newest first.
///
/// # Errors
/// The database does not answer.
pub async fn firings(
    db: impl PgExecutor<'_>,
    schedule: Uuid,
    limit: i64,
) -> Result<Vec<FiringView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select due_at, outcome, missed, sweep, reason, created_at from firing
         where schedule_id = $1 order by due_at desc limit $2",
        schedule,
        limit,
    )
    .fetch_all(db)
    .await?;
    let view = rows.into_iter().map(|row| FiringView {
        due_at: row.due_at,
        outcome: outcome(&row.outcome),
        sweep: row.sweep,
        reason: row.reason,
        missed: row.missed.unsigned_abs(),
        at: row.created_at,
    });
    Ok(view.collect())
}

fn outcome(word: &str) -> FiringOutcome {
    let all = [FiringOutcome::Applied, FiringOutcome::Skipped, FiringOutcome::Refused];
    all.into_iter().find(|outcome| outcome.word() == word).expect("a CHECK keeps to these words")
}

/// A sweep that a schedule has applied.
#[derive(Clone, Debug)]
pub struct Fired {
    pub sweep_id: Uuid,
    pub name: String,
}

/// Sweeps of a schedule that have not ended, the newest first.
///
/// # Errors
/// The database does not answer.
pub async fn open_sweeps(
    db: impl PgExecutor<'_>,
    schedule: Uuid,
) -> Result<Vec<Fired>, sqlx::Error> {
    sqlx::query_as!(
        Fired,
        "select sweep_id, name from sweep s
         where sweep_id in (select sweep_id from firing where schedule_id = $1)
           and exists (select from run r where r.sweep_id = s.sweep_id and r.state <> 'done')
         order by created_at desc",
        schedule,
    )
    .fetch_all(db)
    .await
}

/// Sweeps of a schedule that have ended, but for the newest so many.
///
/// # Errors
/// The database does not answer.
pub async fn surplus(
    db: impl PgExecutor<'_>,
    schedule: Uuid,
    keep: u32,
) -> Result<Vec<Fired>, sqlx::Error> {
    sqlx::query_as!(
        Fired,
        "select sweep_id, name from sweep s
         where sweep_id in (select sweep_id from firing where schedule_id = $1)
           and not is_deleting
           and not exists (select from run r where r.sweep_id = s.sweep_id and r.state <> 'done')
         order by created_at desc offset $2",
        schedule,
        i64::from(keep),
    )
    .fetch_all(db)
    .await
}
