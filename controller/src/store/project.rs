//! Projects: the scope of names, tokens and quotas.

use std::collections::BTreeMap;

use assay_api::view::{ProjectView, QuotaView, Role};
use assay_api::{ProjectId, RunId};
use assay_scheduler as scheduler;
use assay_scheduler::PoolId;
use sqlx::PgExecutor;
use uuid::Uuid;

/// The project of everything until somebody makes another.
pub const DEFAULT: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub project_id: ProjectId,
    pub name: String,
}

impl Project {
    /// What a sentence about something in it adds.
    #[must_use]
    pub fn place(&self) -> String {
        if self.name == DEFAULT { String::new() } else { format!(" in project `{}`", self.name) }
    }
}

/// # Errors
/// The database does not answer.
pub async fn make_default(db: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    insert(db, DEFAULT, "assay").await?;
    Ok(())
}

/// False: there is one of that name.
///
/// # Errors
/// The database does not answer.
pub async fn insert(db: impl PgExecutor<'_>, name: &str, by: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into project (project_id, name, created_by) values ($1, $2, $3) on conflict (name) do nothing",
        Uuid::now_v7(),
        name,
        by,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// # Errors
/// The database does not answer.
pub async fn find(db: impl PgExecutor<'_>, name: &str) -> Result<Option<Project>, sqlx::Error> {
    sqlx::query_as!(Project, r#"select project_id, name from project where name = $1"#, name,)
        .fetch_optional(db)
        .await
}

/// # Errors
/// The database does not answer, or there is no such project.
pub async fn of_id(db: impl PgExecutor<'_>, project: ProjectId) -> Result<Project, sqlx::Error> {
    sqlx::query_as!(
        Project,
        r#"select project_id, name from project where project_id = $1"#,
        project.0,
    )
    .fetch_one(db)
    .await
}

/// The project of a run's sweep.
///
/// # Errors
/// The database does not answer.
pub async fn of_run(db: impl PgExecutor<'_>, run: RunId) -> Result<Option<Project>, sqlx::Error> {
    sqlx::query_as!(
        Project,
        r#"select p.project_id, p.name
         from run r join sweep s using (sweep_id) join project p using (project_id) where r.run_id = $1"#,
        run.0,
    )
    .fetch_optional(db)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn names(db: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from project order by name").fetch_all(db).await
}

/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "n!" from project"#).fetch_one(db).await
}

/// Keeps a project from being deleted for the rest of the transaction. False: it is gone.
///
/// # Errors
/// The database does not answer.
pub async fn hold(tx: impl PgExecutor<'_>, project: ProjectId) -> Result<bool, sqlx::Error> {
    let held = sqlx::query!(
        "select project_id from project where project_id = $1 for key share",
        project.0
    );
    Ok(held.fetch_optional(tx).await?.is_some())
}

/// What stands in the way of deleting a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    pub sweeps: i64,
    pub schedules: i64,
    pub webhooks: i64,
}

/// Keeps others from adding anything to a project, and says what it has.
///
/// # Errors
/// The database does not answer.
pub async fn lock(tx: &mut sqlx::PgConnection, project: ProjectId) -> Result<Holds, sqlx::Error> {
    sqlx::query!("select project_id from project where project_id = $1 for update", project.0)
        .fetch_optional(&mut *tx)
        .await?;
    // a statement of its own: it sees what was waited for
    sqlx::query_as!(
        Holds,
        r#"select (select count(*) from sweep where project_id = $1) as "sweeps!",
            (select count(*) from schedule where project_id = $1) as "schedules!",
            (select count(*) from webhook where project_id = $1) as "webhooks!""#,
        project.0,
    )
    .fetch_one(tx)
    .await
}

/// With its tokens, the sessions that they opened, and its quotas.
///
/// # Errors
/// The database does not answer, or it holds sweeps, schedules or webhooks.
pub async fn delete(tx: impl PgExecutor<'_>, project: ProjectId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from project where project_id = $1", project.0).execute(tx).await?;
    Ok(())
}

/// Every project that `role_in` has a role for, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    tx: &mut sqlx::PgConnection,
    role_in: impl Fn(&str) -> Option<Role>,
) -> Result<Vec<ProjectView>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select project_id, name, created_at, created_by,
            (select count(*) from sweep s where s.project_id = p.project_id) as "sweeps!",
            (select count(*) from run r join sweep s using (sweep_id)
             where s.project_id = p.project_id and r.state <> 'done') as "open!"
         from project p order by name"#,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut quotas: BTreeMap<Uuid, Vec<QuotaView>> = BTreeMap::new();
    let found = sqlx::query!(
        r#"select q.project_id, q.pool, q.slots, coalesce((
                select sum(r.slots) from run r join sweep s using (sweep_id)
                where s.project_id = q.project_id and s.pool = q.pool and r.state in ('leased', 'stopping')
            ), 0) as "used!"
         from quota q order by q.pool"#,
    )
    .fetch_all(tx)
    .await?;
    for row in found {
        let (slots, used) = (row.slots.unsigned_abs(), n(row.used));
        quotas.entry(row.project_id).or_default().push(QuotaView { pool: row.pool, slots, used });
    }
    let view = rows.into_iter().filter_map(|row| {
        Some(ProjectView {
            role: role_in(&row.name)?,
            name: row.name,
            sweeps: n(row.sweeps),
            open: n(row.open),
            quotas: quotas.remove(&row.project_id).unwrap_or_default(),
            created_at: row.created_at,
            created_by: row.created_by,
        })
    });
    Ok(view.collect())
}

fn n(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// # Errors
/// The database does not answer.
pub async fn set_quota(
    db: impl PgExecutor<'_>,
    (project, pool): (ProjectId, &str),
    slots: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into quota (project_id, pool, slots) values ($1, $2, $3)
         on conflict (project_id, pool) do update set slots = excluded.slots",
        project.0,
        pool,
        slots.cast_signed(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// False: there is none.
///
/// # Errors
/// The database does not answer.
pub async fn remove_quota(
    db: impl PgExecutor<'_>,
    (project, pool): (ProjectId, &str),
) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query!("delete from quota where project_id = $1 and pool = $2", project.0, pool);
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// What projects may use of the pools that this controller knows.
///
/// # Errors
/// The database does not answer.
pub async fn quotas(
    db: impl PgExecutor<'_>,
    pools: &BTreeMap<String, PoolId>,
) -> Result<BTreeMap<(scheduler::ProjectId, PoolId), scheduler::Quota>, sqlx::Error> {
    let rows = sqlx::query!(
        "select q.project_id, p.name, q.pool, q.slots from quota q join project p using (project_id)"
    )
    .fetch_all(db)
    .await?;
    let quota = rows.into_iter().filter_map(|row| {
        let project = scheduler::ProjectId(row.project_id.as_u128());
        let quota = scheduler::Quota { name: row.name, slots: row.slots.unsigned_abs() };
        Some(((project, *pools.get(&row.pool)?), quota))
    });
    Ok(quota.collect())
}
