//! What workers print.

use assay_api::RunId;
use assay_api::view::{LogPage, LogRow};
use assay_api::worker::{LogLevel, LogLine};
use chrono::DateTime;
use sqlx::PgExecutor;

/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    lines: &[LogLine],
) -> Result<(), sqlx::Error> {
    let at: Vec<_> =
        lines.iter().map(|l| DateTime::from_timestamp_millis(l.time).unwrap_or_default()).collect();
    let level: Vec<String> = lines.iter().map(|l| word(l.level).to_owned()).collect();
    // Postgres stores no NUL in text
    let text: Vec<String> = lines.iter().map(|l| l.text.replace('\0', "\u{fffd}")).collect();
    sqlx::query!(
        "insert into log_line (run_id, attempt, at, level, text)
         select $1, $2, at, level, text from unnest($3::timestamptz[], $4::text[], $5::text[]) as l (at, level, text)",
        run.0,
        attempt,
        &at,
        &level,
        &text,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// At most `limit` lines after `after`, oldest first: what the worker said that trained it, whose run it was.
///
/// # Errors
/// The database does not answer.
pub async fn page(
    db: impl PgExecutor<'_>,
    run: RunId,
    after: i64,
    limit: i64,
) -> Result<LogPage, sqlx::Error> {
    let rows = sqlx::query!(
        "select log_id, attempt, at, level, text from log_line
         where run_id = (select coalesce(reused_run_id, run_id) from run where run_id = $1) and $2 < log_id
         order by log_id limit $3",
        run.0,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    let next = rows.last().map_or(after, |row| row.log_id);
    let rows = rows
        .into_iter()
        .map(|row| LogRow {
            log_id: row.log_id,
            attempt: row.attempt.unsigned_abs(),
            at: row.at,
            level: level(&row.level),
            text: row.text,
        })
        .collect();
    Ok(LogPage { rows, next })
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn level(word: &str) -> LogLevel {
    match word {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}
