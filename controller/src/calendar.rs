//! Schedules: a file that is applied again at its times, each time as a sweep of its own.
//!
//! The leader's loop asks whose time has come (`turn`); what becomes of a time is one transaction: it holds
//! the lead and the schedule, stores the sweep, notes the time and sets the next one. So no time comes twice,
//! and a controller that dies leaves it due. What people ask for is in `hand`.

mod hand;

pub use hand::{list, pause, remove, resume, run_now, show};
pub(crate) use hand::{put, times};

use assay_api::sweep::{Overlap, renamed, unscheduled};
use assay_api::view::ApplyRequest;
use assay_api::{KillPoint, SweepId, kill_point};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tracing::{info, warn};
use uuid::Uuid;

use crate::app::App;
use crate::apply;
use crate::deletion::{self, Open};
use crate::http::Error;
use crate::intent;
use crate::store::leader::{self, LeaderProof};
use crate::store::project;
use crate::store::schedule::{self, Firing, Stored, What};

/// Applies what is due. Nobody's run waits for this: trouble with one schedule is logged, and it stays due.
pub(crate) async fn turn(app: &App, proof: LeaderProof) {
    if app.is_draining() {
        return;
    }
    let due = match schedule::due(&app.store.db).await {
        Ok(due) => due,
        Err(failure) => return warn!("cannot ask which schedules are due: {failure}"),
    };
    for id in due {
        if let Err(failure) = apply_due(app, proof, id).await {
            warn!(schedule.id = %id, "cannot apply what is due and will try again: {failure:#}");
        }
    }
}

async fn apply_due(app: &App, proof: LeaderProof, id: Uuid) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(());
    }
    let Some(found) = schedule::lock(&mut *tx, id).await? else { return Ok(()) };
    let Some((due_at, missed)) = due(&found) else { return Ok(()) };
    let open = schedule::open_sweeps(&mut *tx, id).await?;
    let firing = |what| Firing { due_at, missed, what };
    match (found.timetable.overlap, open.first()) {
        // it stays due
        (Overlap::Wait, Some(_)) => return Ok(()),
        (Overlap::Skip, Some(last)) => {
            let why = format!("{} has not ended", last.name);
            return Ok(settle(tx, &found, firing(What::Skipped(&why))).await?);
        }
        (Overlap::Replace, _) | (Overlap::Skip | Overlap::Wait, None) => (),
    }
    let name = found.timetable.name(&found.name, due_at);
    match fire(app, &mut tx, &found, &name).await {
        Ok(sweep) => {
            kill_point(KillPoint::ApplyStoredCommitted);
            settle(tx, &found, firing(What::Applied(sweep, &name))).await?;
            app.wake().await?;
        }
        Err(error @ (Error::Internal(_) | Error::Away(_))) => return Err(error.into()),
        Err(refusal) => {
            drop(tx);
            refuse(app, proof, &found, firing(What::Refused(&text(&refusal)))).await?;
        }
    }
    Ok(clear(app, &found).await?)
}

/// The time that counts: of several that have passed the last one, and how many that leaves out.
fn due(found: &Stored) -> Option<(DateTime<Utc>, u32)> {
    let first = found.due_at.filter(|due_at| *due_at <= found.now)?;
    let before = first - chrono::TimeDelta::seconds(1);
    Some(found.timetable.latest(before, found.now).unwrap_or((first, 0)))
}

/// Applies the file under the name of its time. Sweeps of the schedule that have not ended are cancelled
/// where it says so.
async fn fire(
    app: &App,
    tx: &mut PgConnection,
    found: &Stored,
    name: &str,
) -> Result<SweepId, Error> {
    if found.timetable.overlap == Overlap::Replace {
        let why = format!("cancelled by the schedule {}: {name} replaces its sweep", found.name);
        for open in schedule::open_sweeps(&mut *tx, found.schedule_id).await? {
            if open.name != name {
                intent::cancel_all_in(tx, SweepId(open.sweep_id), &why).await?;
            }
        }
    }
    let project = project::of_id(&mut *tx, found.project_id).await?;
    let file = unscheduled(&found.file).and_then(|file| renamed(&file, name));
    let file = file.map_err(Error::File)?;
    let folder = Some(found.folder.clone());
    let request = ApplyRequest { file, folder, prune: false, retry: Vec::new(), repin: false };
    apply::apply_in(app, tx, &project, &request).await
}

/// Notes what became of a time, and sets the next one.
async fn settle(
    mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
    found: &Stored,
    firing: Firing<'_>,
) -> Result<(), sqlx::Error> {
    let next = found.timetable.next(found.now);
    schedule::note(&mut tx, found.schedule_id, firing).await?;
    schedule::set_due(&mut *tx, found.schedule_id, false, next).await?;
    tx.commit().await?;
    let name = &found.name;
    match firing.what {
        What::Applied(_, sweep) => info!(schedule = name, sweep, "{name} was due: applied {sweep}"),
        What::Skipped(why) => info!(schedule = name, "{name} was due and is passed over: {why}"),
        What::Refused(why) => warn!(schedule = name, "{name} was due and cannot be applied: {why}"),
    }
    Ok(())
}

/// What could not be applied was taken back with its transaction; that it could not is noted in another.
async fn refuse(
    app: &App,
    proof: LeaderProof,
    found: &Stored,
    firing: Firing<'_>,
) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(());
    }
    let now = schedule::lock(&mut *tx, found.schedule_id).await?;
    let is_same = now.is_some_and(|now| now.due_at == found.due_at && now.file == found.file);
    if is_same {
        settle(tx, found, firing).await?;
    }
    Ok(())
}

/// A refusal with each place in the file.
fn text(refusal: &Error) -> String {
    const LINES_MAX: usize = 5;
    let Error::File(errors) = refusal else { return refusal.to_string() };
    let line = |error: &assay_api::view::FileError| format!("{}: {}", error.path, error.message);
    let lines: Vec<String> = errors.iter().take(LINES_MAX).map(line).collect();
    lines.join("; ")
}

/// Deletes ended sweeps beyond those that a schedule keeps, with their data. What cannot be deleted, as
/// other sweeps stand on it, is tried again the next time.
async fn clear(app: &App, found: &Stored) -> Result<(), sqlx::Error> {
    let Some(keep) = found.timetable.keep else { return Ok(()) };
    for sweep in schedule::surplus(&app.store.db, found.schedule_id, keep).await? {
        let name = &sweep.name;
        match deletion::delete(app, SweepId(sweep.sweep_id), Open::Refuse).await {
            Ok(_) => info!(schedule = found.name, "deleted {name}: {} keeps {keep}", found.name),
            Err(error) => warn!(schedule = found.name, "cannot delete {name}: {error}"),
        }
    }
    Ok(())
}
