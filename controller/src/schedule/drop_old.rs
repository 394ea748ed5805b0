//! What is dropped because it is old: metrics of machines, log lines, rows of the audit log. How long
//! each is kept is said to the controller (`retention.rs`).
//!
//! **Invariant:** nothing is dropped of a run that has not ended, or of points that are not folded yet;
//! values, scores and the series of a training are never dropped.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::app::App;
use crate::store::leader::{self, LeaderProof};
use crate::store::log_line::Due;
use crate::store::{audit, log_line, series};

/// What is dropped at once: some tenths of a second. More waits for the next turn.
const EVERY: Duration = Duration::from_mins(1);
const RUNS_MAX: i64 = 100;
const ROWS_MAX: i64 = 5000;

/// When something was dropped last.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: Option<Instant>,
}

impl Turns {
    /// Nobody's run waits for this: trouble is only logged, and the next turn tries again.
    pub(super) async fn take(&mut self, app: &App, proof: LeaderProof) {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        match drop_old(app, proof).await {
            Ok(Dropped { series: 0, log_lines: 0, audit_rows: 0 }) => (),
            Ok(Dropped { series, log_lines, audit_rows }) => {
                info!(
                    series,
                    log_lines,
                    audit_rows,
                    "dropped what is older than it is kept: {series} system metrics, {log_lines} log lines, \
                     {audit_rows} rows of the audit log"
                );
            }
            Err(failure) => warn!("could not drop what is old and will try again: {failure}"),
        }
    }
}

/// What one turn dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub series: u64,
    pub log_lines: u64,
    pub audit_rows: u64,
}

/// One turn, in one transaction that holds the lead.
///
/// # Errors
/// The database does not answer.
pub async fn drop_old(app: &App, proof: LeaderProof) -> Result<Dropped, sqlx::Error> {
    let mut dropped = Dropped::default();
    let mut tx = app.store.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(dropped);
    }
    if let Some(kept) = app.retention.system_metrics.duration() {
        dropped.series = series::drop_system(&mut tx, kept, RUNS_MAX).await?;
    }
    if let Some(kept) = app.retention.logs.duration() {
        let due = Due { kept, runs_max: RUNS_MAX, lines_max: ROWS_MAX };
        dropped.log_lines = log_line::drop_old(&mut tx, due).await?;
    }
    if let Some(kept) = app.retention.audit.duration() {
        dropped.audit_rows = audit::drop_old(&mut *tx, kept, ROWS_MAX).await?;
    }
    tx.commit().await?;
    Ok(dropped)
}
