//! What no report does: folding the tails of runs that have gone quiet, and throwing away folded
//! reports once every open stream has read them.

use std::time::Duration;

use assay_api::{KillPoint, kill_point};
use tracing::warn;

use super::fold;
use crate::app::App;
use crate::store::{report, run as runs};

const PERIOD: Duration = Duration::from_secs(10);
/// Streams read once a second and more; one that was away for longer begins anew.
const KEPT: Duration = Duration::from_secs(60);
/// Runs that are folded in one go.
const RUNS_MAX: i64 = 100;

/// Runs until shutdown. Every controller may: what one does, another finds done.
pub async fn run(app: App) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => (),
            () = app.shutdown.cancelled() => return,
        }
        if let Err(failure) = keep(&app, KEPT).await {
            warn!("could not fold what was reported and will try again: {failure:#}");
        }
    }
}

/// Once: folds the runs that report no more, and throws away what has been folded for `kept`.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn keep(app: &App, kept: Duration) -> anyhow::Result<()> {
    for run in report::left_unfolded(&app.store.db, RUNS_MAX).await? {
        let mut tx = app.store.begin().await?;
        if runs::lock(&mut *tx, run).await? {
            fold(&mut tx, run).await?;
        }
        tx.commit().await?;
    }
    kill_point(KillPoint::FoldedTrimmed);
    let mut tx = app.store.begin().await?;
    report::trim(&mut tx, kept.as_secs_f64()).await?;
    tx.commit().await?;
    Ok(())
}
