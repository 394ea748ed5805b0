//! Projects: made, listed, given a quota, deleted once they are empty.

use assay_api::sweep::is_name;
use assay_api::view::ProjectView;

use crate::access::Actor;
use crate::app::App;
use crate::http::Error;
use crate::http::limits::{PROJECTS_MAX, QUOTA_SLOTS_MAX};
use crate::store;
use crate::store::project::{self, Holds, Project};

/// # Errors
/// 409: there is one of that name. 422: no project is called so, or there are as many as may be.
pub async fn create(app: &App, name: &str, by: &str) -> Result<(), Error> {
    if !is_name(name) {
        return Err(Error::Invalid(format!(
            "`{}` is no name of a project: it has 1 to 63 letters, digits, `-` and `_`",
            name.escape_debug()
        )));
    }
    if PROJECTS_MAX <= project::count(&app.store.db).await? {
        return Err(Error::Limit(format!(
            "there are {PROJECTS_MAX} projects, which is the limit: delete one"
        )));
    }
    let is_new = project::insert(&app.store.db, name, by).await?;
    is_new.then_some(()).ok_or_else(|| Error::Conflict(format!("there is a project `{name}`")))
}

/// Those that somebody has a role in, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<ProjectView>, Error> {
    let mut tx = store::snapshot(&app.store.db).await?;
    Ok(project::list(&mut tx, |name| actor.roles.in_project(name)).await?)
}

/// With its tokens.
///
/// # Errors
/// 404: there is none of that name. 409: it holds something, or is the default.
pub async fn delete(app: &App, name: &str) -> Result<(), Error> {
    if name == project::DEFAULT {
        let text = "`default` stays: it is what a request means that names no project";
        return Err(Error::Conflict(text.to_owned()));
    }
    let mut tx = app.store.begin().await?;
    let Project { project_id, .. } = find(&mut *tx, name).await?;
    let Holds { sweeps, schedules, webhooks } = project::lock(&mut tx, project_id).await?;
    let held = [(sweeps, "sweep"), (schedules, "schedule"), (webhooks, "webhook")];
    let held: Vec<String> = held
        .into_iter()
        .filter(|(count, _)| 0 < *count)
        .map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
        .collect();
    if !held.is_empty() {
        let held = held.join(", ");
        let text =
            format!("project `{name}` has {held}: delete them first (`ctl --project {name} …`)");
        return Err(Error::Conflict(text));
    }
    project::delete(&mut *tx, project_id).await?;
    Ok(tx.commit().await?)
}

/// How many slots of a pool its active runs may take from now on. What is active goes on.
///
/// # Errors
/// 404: there is no such project or pool. 422: more than any pool has.
pub async fn set_quota(app: &App, (name, pool): (&str, &str), slots: u32) -> Result<(), Error> {
    if QUOTA_SLOTS_MAX < slots {
        return Err(Error::Limit(format!("`slots` is {slots}; the limit is {QUOTA_SLOTS_MAX}")));
    }
    let Project { project_id, .. } = find(&app.store.db, name).await?;
    if app.pools.named(pool).is_none() {
        let names = app.pools.names().join("`, `");
        let pool = pool.escape_debug();
        return Err(Error::NotFound(format!("there is no pool `{pool}`; there is `{names}`")));
    }
    project::set_quota(&app.store.db, (project_id, pool), slots).await?;
    Ok(app.wake().await?)
}

/// All of the pool from now on.
///
/// # Errors
/// 404: there is no such project, or it has no quota there.
pub async fn remove_quota(app: &App, (name, pool): (&str, &str)) -> Result<(), Error> {
    let Project { project_id, .. } = find(&app.store.db, name).await?;
    let is_known =
        is_name(pool) && project::remove_quota(&app.store.db, (project_id, pool)).await?;
    if !is_known {
        let pool = pool.escape_debug();
        return Err(Error::NotFound(format!("project `{name}` has no quota in pool `{pool}`")));
    }
    Ok(app.wake().await?)
}

/// Keeps a project from being deleted for the rest of the transaction.
///
/// # Errors
/// 404: it is gone.
pub(crate) async fn hold(tx: &mut sqlx::PgConnection, project: &Project) -> Result<(), Error> {
    let is_there = project::hold(tx, project.project_id).await?;
    let gone = || Error::NotFound(format!("the project `{}` is gone", project.name));
    is_there.then_some(()).ok_or_else(gone)
}

/// # Errors
/// 404: there is none of that name.
pub async fn find(db: impl sqlx::PgExecutor<'_>, name: &str) -> Result<Project, Error> {
    let missing = || {
        let name = name.escape_debug();
        Error::NotFound(format!("no project `{name}`: `ctl project ls` lists them"))
    };
    if !is_name(name) {
        return Err(missing()); // Postgres would refuse some of these, and none was ever stored
    }
    project::find(db, name).await?.ok_or_else(missing)
}
