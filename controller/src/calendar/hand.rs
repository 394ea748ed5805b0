//! What people ask of schedules.

use assay_api::sweep::{Overlap, Timetable};
use assay_api::view::{ApplyRequest, ScheduleDetails, ScheduleView, TimesView};
use assay_api::{KillPoint, kill_point, sweep};
use sqlx::PgExecutor;

use super::{clear, fire};
use crate::app::App;
use crate::http::Error;
use crate::http::limits::SCHEDULES_MAX;
use crate::project;
use crate::store::project::Project;
use crate::store::schedule::{self, Firing, New, Stored, What};

/// Times of a schedule that are shown.
const FIRINGS_SHOWN: i64 = 100;
/// Times that a plan tells.
const TIMES_TOLD: usize = 3;

/// Stores a schedule, or changes the one of that name, and the time it is due next.
///
/// # Errors
/// 422: what is meant for a sweep alone is asked for, or there are as many as may be.
pub(crate) async fn put(
    app: &App,
    project: &Project,
    (name, timetable): (&str, &Timetable),
    request: &ApplyRequest,
    by: &str,
) -> Result<(), Error> {
    if request.prune || request.repin || !request.retry.is_empty() {
        return Err(Error::Invalid(format!(
            "`{name}` is a schedule, which has no runs to prune, retry or repin: do that with one of its sweeps"
        )));
    }
    let mut tx = app.store.begin().await?;
    project::hold(&mut tx, project).await?;
    let known = schedule::list(&mut *tx, project.project_id, Some(name)).await?;
    if known.is_empty() && SCHEDULES_MAX <= schedule::count(&mut *tx, project.project_id).await? {
        let text =
            format!("the project has {SCHEDULES_MAX} schedules, which is the limit: remove one");
        return Err(Error::Limit(text));
    }
    let folder = request.folder.as_deref().unwrap_or(&app.folder);
    let due_at = timetable.next(schedule::now(&mut *tx).await?);
    let new = New { name, file: &request.file, folder, timetable, due_at, by };
    schedule::upsert(&mut *tx, project.project_id, new).await?;
    kill_point(KillPoint::ApplyStoredCommitted);
    tx.commit().await?;
    kill_point(KillPoint::ApplyCommittedAnswered);
    Ok(())
}

/// What a plan says of when a file is applied; and whether a schedule of its name is there.
///
/// # Errors
/// The database does not answer.
pub(crate) async fn times(
    app: &App,
    project: &Project,
    (name, timetable): (&str, &Timetable),
) -> Result<(TimesView, bool), Error> {
    let mut db = app.store.db.acquire().await?;
    let mut next = Vec::new();
    let mut after = schedule::now(&mut *db).await?;
    while let Some(time) = timetable.next(after).filter(|_| next.len() < TIMES_TOLD) {
        next.push(time);
        after = time;
    }
    let is_known = !schedule::list(&mut *db, project.project_id, Some(name)).await?.is_empty();
    Ok((TimesView { timetable: timetable.clone(), next }, is_known))
}

/// Every schedule of a project, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, project: &Project) -> Result<Vec<ScheduleView>, Error> {
    let mut views = Vec::new();
    for found in schedule::list(&app.store.db, project.project_id, None).await? {
        views.push(view(app, &found).await?);
    }
    Ok(views)
}

/// # Errors
/// 404: there is none of that name.
pub async fn show(app: &App, project: &Project, name: &str) -> Result<ScheduleDetails, Error> {
    let found = find(&app.store.db, project, name).await?;
    let firings = schedule::firings(&app.store.db, found.schedule_id, FIRINGS_SHOWN).await?;
    let schedule = view(app, &found).await?;
    Ok(ScheduleDetails { schedule, file: found.file, folder: found.folder, firings })
}

async fn view(app: &App, found: &Stored) -> Result<ScheduleView, Error> {
    let last = schedule::firings(&app.store.db, found.schedule_id, 1).await?.pop();
    Ok(ScheduleView {
        name: found.name.clone(),
        timetable: found.timetable.0.clone(),
        is_paused: found.is_paused,
        due_at: found.due_at,
        last,
        created_at: found.created_at,
        created_by: found.created_by.clone(),
    })
}

async fn find(db: impl PgExecutor<'_>, project: &Project, name: &str) -> Result<Stored, Error> {
    let missing = || {
        let place = project.place();
        Error::NotFound(format!("no schedule `{name}`{place}: `ctl schedule ls` lists them"))
    };
    if !sweep::is_name(name) {
        return Err(missing()); // Postgres would refuse some of these, and none was ever stored
    }
    schedule::list(db, project.project_id, Some(name)).await?.pop().ok_or_else(missing)
}

/// None of its times comes until it is resumed.
///
/// # Errors
/// 404: there is none of that name.
pub async fn pause(app: &App, project: &Project, name: &str) -> Result<(), Error> {
    set(app, project, name, true).await
}

/// Its next time is the first from now on: what passed meanwhile is not made up for.
///
/// # Errors
/// 404: there is none of that name.
pub async fn resume(app: &App, project: &Project, name: &str) -> Result<(), Error> {
    set(app, project, name, false).await
}

async fn set(app: &App, project: &Project, name: &str, is_paused: bool) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    let id = find(&mut *tx, project, name).await?.schedule_id;
    let Some(found) = schedule::lock(&mut *tx, id).await? else { return Ok(()) };
    if found.is_paused != is_paused {
        let due_at = found.timetable.next(found.now).filter(|_| !is_paused);
        schedule::set_due(&mut *tx, id, is_paused, due_at).await?;
    }
    Ok(tx.commit().await?)
}

/// Its sweeps stay.
///
/// # Errors
/// 404: there is none of that name.
pub async fn remove(app: &App, project: &Project, name: &str) -> Result<(), Error> {
    let found = find(&app.store.db, project, name).await?;
    Ok(schedule::delete(&app.store.db, found.schedule_id).await?)
}

/// Applies its file now, as a sweep that is called by the minute. Its times are left as they are.
///
/// # Errors
/// 404: there is none of that name. 409: its last sweep has not ended, unless it is to be replaced.
/// 422: the file's errors.
pub async fn run_now(app: &App, project: &Project, name: &str) -> Result<String, Error> {
    let mut tx = app.store.begin().await?;
    let id = find(&mut *tx, project, name).await?.schedule_id;
    let gone = || Error::NotFound(format!("the schedule `{name}` is gone"));
    let found = schedule::lock(&mut *tx, id).await?.ok_or_else(gone)?;
    let open = schedule::open_sweeps(&mut *tx, id).await?;
    if let Some(last) = open.first().filter(|_| found.timetable.overlap != Overlap::Replace) {
        let last = &last.name;
        return Err(Error::Conflict(format!(
            "{last} has not ended: wait for it, or cancel it (`ctl sweep cancel {last}`)"
        )));
    }
    let sweep = found.timetable.name_by_minute(&found.name, found.now);
    let sweep_id = fire(app, &mut tx, &found, &sweep).await?;
    let what = What::Applied(sweep_id, &sweep);
    schedule::note(&mut tx, id, Firing { due_at: found.now, missed: 0, what }).await?;
    kill_point(KillPoint::ApplyStoredCommitted);
    tx.commit().await?;
    kill_point(KillPoint::ApplyCommittedAnswered);
    app.wake().await?;
    clear(app, &found).await?;
    Ok(sweep)
}
