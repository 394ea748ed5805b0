//! Deleting a sweep with its data: the rows at once, and in the same transaction the intent to
//! delete the files, which `schedule/clear.rs` then does. A crash in between loses nothing.

use assay_api::view::DeletionView;
use assay_api::worker::layout;
use assay_api::{KillPoint, RunId, SweepId, kill_point};
use sqlx::PgConnection;

use crate::app::App;
use crate::http::Error;
use crate::intent;
use crate::store::{self, deletion};

/// As many names say enough.
const NEEDED_BY_SHOWN: i64 = 10;

/// What becomes of runs that have not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The sweep is not deleted then.
    Refuse,
    Cancel,
}

/// What deleting a sweep would take away.
///
/// # Errors
/// The database does not answer.
pub async fn show(app: &App, sweep: SweepId) -> Result<DeletionView, Error> {
    let mut tx = store::snapshot(&app.store.db).await?;
    let name = store::sweep::name(&mut *tx, sweep).await?;
    let pool = store::sweep::pool(&mut *tx, sweep).await?;
    measure(app, &mut tx, sweep, (name, pool)).await
}

/// Deletes a sweep; where runs must be cancelled first, the loop does so once all have ended.
///
/// # Errors
/// 409: runs have not ended and may not be cancelled, or runs of other sweeps stand on it.
pub async fn delete(app: &App, sweep: SweepId, open: Open) -> Result<DeletionView, Error> {
    let mut tx = app.store.begin().await?;
    let gone = || Error::NotFound("the sweep is gone".to_owned());
    let locked = deletion::lock(&mut tx, sweep).await?.ok_or_else(gone)?;
    let mut view = measure(app, &mut tx, sweep, (locked.name, locked.pool)).await?;
    refuse(&view, open)?;
    view.is_deleted = cancel_and_delete(app, &mut tx, sweep, &view.pool).await?;
    if !view.is_deleted {
        deletion::mark(&mut *tx, sweep).await?;
    }
    kill_point(KillPoint::DeletionStoredCommitted);
    tx.commit().await?;
    kill_point(KillPoint::DeletionCommittedAnswered);
    app.wake().await?;
    Ok(view)
}

fn refuse(view: &DeletionView, open: Open) -> Result<(), Error> {
    if let Some(first) = view.needed_by.first() {
        let others = view.needed_by[1..].join(", ");
        return Err(Error::Conflict(format!(
            "runs of other sweeps stand on runs of this one: {first}{}{others}; delete those sweeps first",
            if others.is_empty() { "" } else { ", " },
        )));
    }
    if 0 < view.open && open == Open::Refuse {
        return Err(Error::Conflict(format!(
            "{} of its {} runs have not ended: wait for them, or cancel them with it (`--cancel`)",
            view.open, view.runs
        )));
    }
    Ok(())
}

/// Cancels what has not ended, in a sweep that is locked with its runs. True: nothing was active, and
/// the sweep is deleted.
pub(crate) async fn cancel_and_delete(
    app: &App,
    tx: &mut PgConnection,
    sweep: SweepId,
    pool: &str,
) -> Result<bool, Error> {
    intent::cancel_all_in(tx, sweep, intent::BY_A_PERSON).await?;
    if store::run::of_sweep(&mut *tx, sweep).await?.iter().any(|run| run.state != "done") {
        return Ok(false);
    }
    let (runs, datasets) = deletion::left_behind(tx, sweep).await?;
    if files_stay(app, pool).is_none() {
        deletion::insert(tx, pool, (&runs, &datasets)).await?;
    }
    deletion::delete_rows(&mut *tx, sweep).await.map_err(stood_on)?;
    Ok(true)
}

/// What refers to a run without going with it needs it.
fn stood_on(error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            Error::Conflict("something of another sweep stands on a run of this one".to_owned())
        }
        _ => error.into(),
    }
}

async fn measure(
    app: &App,
    tx: &mut PgConnection,
    sweep: SweepId,
    (name, pool): (String, String),
) -> Result<DeletionView, Error> {
    let held = deletion::holdings(&mut *tx, sweep).await?;
    let (runs, datasets) = deletion::left_behind(tx, sweep).await?;
    let folders = runs.iter().map(|run| layout::run(RunId(*run)));
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(DeletionView {
        sweep: name,
        runs: count(held.runs),
        open: count(held.open),
        needed_by: deletion::needed_by(&mut *tx, sweep, NEEDED_BY_SHOWN).await?,
        points: held.points.unsigned_abs(),
        checkpoints: count(held.checkpoints),
        checkpoint_bytes: held.checkpoint_bytes.unsigned_abs(),
        datasets: u32::try_from(datasets.len()).unwrap_or(u32::MAX),
        files_stay: files_stay(app, &pool),
        pool,
        folders: folders.chain(datasets.iter().map(|point| layout::dataset(point))).collect(),
        is_deleted: false,
    })
}

/// Where files stay that nobody here can delete. Of a pool that this controller does not have, they
/// are deleted by one that has it.
fn files_stay(app: &App, pool: &str) -> Option<String> {
    app.pools.named(pool).and_then(|pool| pool.storage_elsewhere())
}
