//! Tags of runs and of sweeps.

use std::collections::HashMap;

use assay_api::{RunId, SweepId};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A second time changes nothing. False: there is no such run, or it has `limit` tags.
///
/// # Errors
/// The database does not answer.
pub async fn put_on_run(
    db: impl PgExecutor<'_>,
    run: RunId,
    tag: &str,
    limit: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with told as (
            update run set changed = change_id()
            where run_id = $1 and (select count(*) from run_tag t where t.run_id = $1 and t.tag <> $2) < $3
            returning run_id
         )
         insert into run_tag (run_id, tag) select run_id, $2 from told
         on conflict (run_id, tag) do update set tag = excluded.tag",
        run.0,
        tag,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// False: it does not have it.
///
/// # Errors
/// The database does not answer.
pub async fn remove_from_run(
    db: impl PgExecutor<'_>,
    run: RunId,
    tag: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with gone as (delete from run_tag where run_id = $1 and tag = $2 returning run_id)
         update run set changed = change_id() from gone where run.run_id = gone.run_id",
        run.0,
        tag,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A second time changes nothing. False: it has `limit` tags.
///
/// # Errors
/// The database does not answer.
pub async fn put_on_sweep(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    tag: &str,
    limit: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with told as (
            update sweep set changed = change_id()
            where sweep_id = $1
              and (select count(*) from sweep_tag t where t.sweep_id = $1 and t.tag <> $2) < $3
            returning sweep_id
         )
         insert into sweep_tag (sweep_id, tag) select sweep_id, $2 from told
         on conflict (sweep_id, tag) do update set tag = excluded.tag",
        sweep.0,
        tag,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// False: it does not have it.
///
/// # Errors
/// The database does not answer.
pub async fn remove_from_sweep(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
    tag: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with gone as (delete from sweep_tag where sweep_id = $1 and tag = $2 returning sweep_id)
         update sweep set changed = change_id() from gone where sweep.sweep_id = gone.sweep_id",
        sweep.0,
        tag,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Of each run, in the order of the alphabet.
///
/// # Errors
/// The database does not answer.
pub async fn of_runs(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, Vec<String>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select run_id, tag from run_tag where run_id = any($1) order by run_id, tag",
        runs,
    )
    .fetch_all(db)
    .await?;
    let mut tags: HashMap<Uuid, Vec<String>> = HashMap::new();
    for row in rows {
        tags.entry(row.run_id).or_default().push(row.tag);
    }
    Ok(tags)
}
