//! What workers print.

use std::time::Duration;

use assay_api::RunId;
use assay_api::view::{LogPage, LogRow};
use assay_api::worker::{LogLevel, LogLine};
use chrono::DateTime;
use sqlx::{PgConnection, PgExecutor};

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

/// Which lines are dropped, and how many at a time.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Of runs that ended so long ago.
    pub kept: Duration,
    pub runs_max: i64,
    pub lines_max: i64,
}

/// Drops old lines; returns how many.
///
/// # Errors
/// The database does not answer.
pub async fn drop_old(tx: &mut PgConnection, due: Due) -> Result<u64, sqlx::Error> {
    // held, so that nobody retries them meanwhile
    let runs = sqlx::query_scalar!(
        "select run_id from run
         where state = 'done' and not is_log_dropped and ended_at < now() - make_interval(secs => $1)
         order by ended_at limit $2
         for no key update skip locked",
        due.kept.as_secs_f64(),
        due.runs_max,
    )
    .fetch_all(&mut *tx)
    .await?;
    let dropped = sqlx::query!(
        "delete from log_line where log_id in (select log_id from log_line where run_id = any($1) limit $2)",
        &runs,
        due.lines_max,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update run set is_log_dropped = true
         where run_id = any($1) and not exists (select from log_line l where l.run_id = run.run_id)",
        &runs,
    )
    .execute(tx)
    .await?;
    Ok(dropped.rows_affected())
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
