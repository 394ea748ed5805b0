//! What people want: written as a step, then the loop is woken. A run that has ended is left alone
//! where many are meant, and an error where one is.

use assay_api::{RunId, SweepId};
use assay_scheduler::Event;
use sqlx::PgConnection;

use crate::app::App;
use crate::http::Error;
use crate::store;
use crate::store::outbox;
use crate::store::world::{self, TellError, Told};

/// Why a run is cancelled.
pub(crate) const BY_A_PERSON: &str = "cancelled by a person";

/// # Errors
/// 409: it has ended or is being cancelled. 404: there is no such run.
pub async fn cancel_run(app: &App, run: RunId) -> Result<(), Error> {
    tell(app, run, &cancelled(BY_A_PERSON)).await
}

/// # Errors
/// 409: it has not ended, or succeeded. 404: there is no such run.
pub async fn retry_run(app: &App, run: RunId) -> Result<(), Error> {
    tell(app, run, &Told::plainly(Event::Retry)).await
}

/// Goes on placing; errors that runs have in common are counted anew.
///
/// # Errors
/// The database does not answer.
pub async fn resume_sweep(app: &App, sweep: SweepId) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    store::sweep::pause(&mut *tx, sweep, None).await?;
    store::sweep_use::forget_errors(&mut *tx, sweep).await?;
    tx.commit().await?;
    Ok(app.wake().await?)
}

/// Cancels what has not ended, in one transaction.
///
/// # Errors
/// The database does not answer.
pub async fn cancel_sweep(app: &App, sweep: SweepId) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    cancel_all_in(&mut tx, sweep, BY_A_PERSON).await?;
    tx.commit().await?;
    Ok(app.wake().await?)
}

/// Cancels what has not ended of a sweep, and tells of its end if that was all.
pub(crate) async fn cancel_all_in(
    tx: &mut PgConnection,
    sweep: SweepId,
    why: &str,
) -> Result<(), Error> {
    for run in store::run::of_sweep(&mut *tx, sweep).await? {
        if run.state != "done" {
            unless_ended(world::tell(&mut *tx, RunId(run.run_id), &cancelled(why)).await)?;
        }
    }
    Ok(outbox::ended(tx, &[sweep]).await?)
}

/// Puts a run before or behind others in the queue; what is active goes on.
///
/// # Errors
/// 404: there is no such run.
pub async fn prioritize_run(app: &App, run: RunId, priority: i16) -> Result<(), Error> {
    if !store::run::prioritize(&app.store.db, run, priority).await? {
        return Err(Error::NotFound(format!("no run {run}")));
    }
    Ok(app.wake().await?)
}

/// The same for every run that a sweep has now.
///
/// # Errors
/// The database does not answer.
pub async fn prioritize_sweep(app: &App, sweep: SweepId, priority: i16) -> Result<(), Error> {
    store::run::prioritize_all(&app.store.db, sweep, priority).await?;
    Ok(app.wake().await?)
}

/// Whoever asks for it tells of the end: `outbox::ended`.
pub(crate) async fn cancel_in(tx: &mut PgConnection, run: RunId) -> Result<(), Error> {
    unless_ended(world::tell(tx, run, &cancelled(BY_A_PERSON)).await)
}

pub(crate) async fn retry_in(tx: &mut PgConnection, run: RunId) -> Result<(), Error> {
    unless_ended(world::tell(tx, run, &Told::plainly(Event::Retry)).await)
}

/// What needs it is not active, and blocked.
pub(crate) async fn renew_in(tx: &mut PgConnection, run: RunId) -> Result<(), Error> {
    unless_ended(world::tell(tx, run, &Told::plainly(Event::Renew)).await)
}

fn cancelled(why: &str) -> Told {
    let reason = Some(why.to_owned());
    Told { reason, ..Told::plainly(Event::Cancel) }
}

async fn tell(app: &App, run: RunId, told: &Told) -> Result<(), Error> {
    let mut tx = app.store.begin().await?;
    let sweep = world::tell(&mut tx, run, told).await?;
    outbox::ended(&mut tx, &[sweep]).await?;
    tx.commit().await?;
    Ok(app.wake().await?)
}

fn unless_ended(told: Result<SweepId, TellError>) -> Result<(), Error> {
    match told {
        Ok(_) | Err(TellError::Illegal(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl From<TellError> for Error {
    fn from(error: TellError) -> Self {
        match error {
            TellError::Illegal(step) => Self::Conflict(step.to_string()),
            TellError::Missing(run) => Self::NotFound(format!("no run {run}")),
            TellError::Store(error) => error.into(),
        }
    }
}
