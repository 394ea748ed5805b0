//! Runs that are kept and left out of every comparison.

use std::collections::HashMap;

use assay_api::RunId;
use assay_api::view::ExclusionView;
use sqlx::PgExecutor;
use uuid::Uuid;

/// Leaves a run out, or changes why. False: there is no such run.
///
/// # Errors
/// The database does not answer.
pub async fn put(
    db: impl PgExecutor<'_>,
    run: RunId,
    because: &str,
    author: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with told as (update run set changed = change_id() where run_id = $1 returning run_id)
         insert into exclusion (run_id, because, author) select run_id, $2, $3 from told
         on conflict (run_id) do update set
            because = excluded.because, author = excluded.author, excluded_at = now()",
        run.0,
        because,
        author,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes a run in again. False: it was not left out.
///
/// # Errors
/// The database does not answer.
pub async fn remove(db: impl PgExecutor<'_>, run: RunId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with gone as (delete from exclusion where run_id = $1 returning run_id)
         update run set changed = change_id() from gone where run.run_id = gone.run_id",
        run.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// # Errors
/// The database does not answer.
pub async fn of_runs(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, ExclusionView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select run_id, because, author, excluded_at from exclusion where run_id = any($1)",
        runs,
    )
    .fetch_all(db)
    .await?;
    let view = rows.into_iter().map(|row| {
        let view = ExclusionView { because: row.because, author: row.author, at: row.excluded_at };
        (row.run_id, view)
    });
    Ok(view.collect())
}
