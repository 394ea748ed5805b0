//! Sweeps that are to be deleted once nothing of them is active, and files of those that are gone.
//!
//! **Invariant:** a dataset that a run prepares is not deleted. Only the leader places runs, one
//! activation after the other, and while a folder is moved aside the leader's row is held: a run that
//! is applied meanwhile is placed afterwards, and prepares its dataset anew.

use std::time::Duration;

use anyhow::Context;
use assay_api::{KillPoint, RunId, SweepId, kill_point};
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use crate::app::App;
use crate::deletion;
use crate::pool::{Left, Pool};
use crate::store::deletion::{self as rows, Due};
use crate::store::leader::{self, LeaderProof};

/// Cleaning up takes at most so much of an activation, and a folder more: slots come first.
const TIME: Duration = Duration::from_millis(250);
const BATCH: i64 = 100;

pub(super) async fn clear(app: &App, proof: LeaderProof) -> anyhow::Result<()> {
    let began = Instant::now();
    for sweep in rows::marked(&app.store.db).await.context("cannot read what is to be deleted")? {
        delete_sweep(app, proof, SweepId(sweep)).await?;
    }
    let pools = app.pools.names();
    for due in rows::due(&app.store.db, &pools, BATCH).await? {
        if TIME < began.elapsed() {
            break;
        }
        if let Err(failure) = delete_files(app, proof, &due).await {
            let (id, text) = (due.deletion_id, format!("{failure:#}"));
            warn!(deletion = %id, "could not delete files, it will be tried again: {text}");
            rows::failed(&app.store.db, id, &text).await?;
        }
    }
    Ok(())
}

async fn delete_sweep(app: &App, proof: LeaderProof, sweep: SweepId) -> anyhow::Result<()> {
    let mut tx = app.store.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(());
    }
    let Some(locked) = rows::lock(&mut tx, sweep).await? else { return Ok(()) };
    if deletion::cancel_and_delete(app, &mut tx, sweep, &locked.pool).await? {
        info!("{} is deleted", locked.name);
    }
    Ok(tx.commit().await?)
}

/// Aside first, while nobody else can lead; then for good.
async fn delete_files(app: &App, proof: LeaderProof, due: &Due) -> anyhow::Result<()> {
    let id = due.deletion_id;
    let Some(pool) = app.pools.named(&due.pool) else { return Ok(()) };
    if !due.is_aside {
        let mut tx = app.store.begin().await?;
        if !leader::hold(&mut *tx, proof).await? {
            return Ok(());
        }
        if is_used(&mut tx, due).await? {
            rows::done(&mut *tx, id).await?;
            return Ok(tx.commit().await?);
        }
        aside(&**pool, due, id).await?;
        kill_point(KillPoint::AsideNoted);
        rows::set_aside(&mut *tx, id).await?;
        tx.commit().await?;
        kill_point(KillPoint::AsideNotedCleared);
    }
    pool.clear_aside(id).await?;
    kill_point(KillPoint::ClearedForgotten);
    Ok(rows::done(&app.store.db, id).await?)
}

async fn is_used(tx: &mut sqlx::PgConnection, due: &Due) -> Result<bool, sqlx::Error> {
    match &due.dataset {
        Some(dataset) => rows::is_used(tx, &due.pool, dataset).await,
        None => Ok(false),
    }
}

async fn aside(pool: &dyn Pool, due: &Due, id: Uuid) -> anyhow::Result<()> {
    match (due.run_id, &due.dataset) {
        (Some(run), _) => pool.set_aside(Left::Run(RunId(run)), id).await,
        (None, Some(point)) => pool.set_aside(Left::Dataset(point.clone()), id).await,
        (None, None) => Ok(()),
    }
}
