//! One report, stored whole: its points, lines, checkpoints and scores, in the caller's transaction.

use assay_api::RunId;
use assay_api::worker::{Progress, Report};
use sqlx::{PgConnection, PgExecutor};

use super::{evaluation, log_line, series};

/// Stores a report of an attempt. Stored twice, it changes nothing but log lines: the caller skips
/// what is stored already.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: &mut PgConnection,
    run: RunId,
    attempt: i32,
    report: &Report,
) -> Result<(), sqlx::Error> {
    if !report.metrics.is_empty() {
        series::insert(tx, run, (attempt, report.seq.cast_signed()), &report.metrics).await?;
    }
    if !report.logs.is_empty() {
        log_line::insert(&mut *tx, run, attempt, &report.logs).await?;
    }
    if !report.evaluations.is_empty() {
        evaluation::insert(&mut *tx, run, attempt, &report.evaluations).await?;
    }
    for saved in &report.checkpoints {
        evaluation::insert_checkpoint(&mut *tx, run, attempt, saved).await?;
    }
    Ok(())
}

/// What the run table shows of a live run.
///
/// # Errors
/// The database does not answer.
pub async fn progress(
    tx: impl PgExecutor<'_>,
    run: RunId,
    progress: Option<&Progress>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update run set changed = change_id(), step = coalesce($2, step), tokens = coalesce($3, tokens),
            steps = coalesce(nullif($4::bigint, 0), steps), phase = coalesce($5, phase)
         where run_id = $1",
        run.0,
        progress.map(|p| p.step.cast_signed()),
        progress.map(|p| p.tokens.cast_signed()),
        progress.map_or(0, |p| p.steps.cast_signed()),
        progress.map(|p| p.phase.as_str()),
    )
    .execute(tx)
    .await?;
    Ok(())
}
