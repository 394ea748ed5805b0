//! Sweeps that are deleted, and files that are left to delete of those that are gone.

use assay_api::SweepId;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A sweep, locked for the rest of the transaction.
#[derive(Clone, Debug)]
pub struct Locked {
    pub name: String,
    pub pool: String,
}

/// Locks the sweep and all its runs, so that none begins or is needed anew meanwhile. None: it is
/// gone.
///
/// # Errors
/// The database does not answer.
pub async fn lock(tx: &mut PgConnection, sweep: SweepId) -> Result<Option<Locked>, sqlx::Error> {
    let locked = sqlx::query_as!(
        Locked,
        "select name, pool from sweep where sweep_id = $1 for update",
        sweep.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query!("select run_id from run where sweep_id = $1 order by run_id for update", sweep.0)
        .fetch_all(tx)
        .await?;
    Ok(locked)
}

/// What a sweep holds.
#[derive(Clone, Debug)]
pub struct Holdings {
    pub runs: i64,
    /// Not ended.
    pub open: i64,
    pub points: i64,
    /// Runs with a checkpoint.
    pub checkpoints: i64,
    pub checkpoint_bytes: i64,
}

/// While it trains a run keeps its two latest checkpoints, afterwards the last one and perhaps the
/// state before the decay; all of one run are equally large.
///
/// # Errors
/// The database does not answer.
pub async fn holdings(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<Holdings, sqlx::Error> {
    sqlx::query_as!(
        Holdings,
        r#"select count(*) as "runs!", count(*) filter (where r.state <> 'done') as "open!",
            (select coalesce(sum(c.n), 0)::bigint
             from chunk c join series s using (series_id) join run o on o.run_id = s.run_id
             where o.sweep_id = $1)
            + (select coalesce(sum(t.n), 0)::bigint
             from report t join attempt a using (run_id, attempt) join run o using (run_id)
             where o.sweep_id = $1 and a.seq_folded < t.seq) as "points!",
            count(kept.n) as "checkpoints!", coalesce(sum(kept.bytes), 0)::bigint as "checkpoint_bytes!"
         from run r
         left join lateral (
            select count(*) as n, sum(k.bytes) as bytes from (
                select bytes from checkpoint where run_id = r.run_id order by attempt desc, step desc limit 2
            ) k having 0 < count(*)
         ) kept on true
         where r.sweep_id = $1"#,
        sweep.0,
    )
    .fetch_one(tx)
    .await
}

/// Runs of other sweeps that need runs of this one or have their results, as people say them.
///
/// # Errors
/// The database does not answer.
pub async fn needed_by(
    tx: impl PgExecutor<'_>,
    sweep: SweepId,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct s.name || '/' || r.number as "name!"
         from run needed cross join lateral (
            select n.run_id from run_need n where n.needs_run_id = needed.run_id
            union all
            select l.run_id from run l where l.reused_run_id = needed.run_id
         ) other
         join run r on r.run_id = other.run_id join sweep s on s.sweep_id = r.sweep_id
         where needed.sweep_id = $1 and r.sweep_id <> $1
         order by 1 limit $2"#,
        sweep.0,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Runs that may have left something in the storage, and points of datasets that no other sweep of
/// the pool prepares.
///
/// # Errors
/// The database does not answer.
pub async fn left_behind(
    tx: &mut PgConnection,
    sweep: SweepId,
) -> Result<(Vec<Uuid>, Vec<String>), sqlx::Error> {
    let runs = sqlx::query_scalar!(
        "select run_id from run r where sweep_id = $1
           and exists (select from attempt a where a.run_id = r.run_id) order by number",
        sweep.0,
    )
    .fetch_all(&mut *tx)
    .await?;
    let datasets = sqlx::query_scalar!(
        "select r.point from run r join sweep s using (sweep_id)
         where r.sweep_id = $1 and r.kind = 'prepare'
           and exists (select from attempt a where a.run_id = r.run_id)
           and not exists (
             select from run o join sweep os on os.sweep_id = o.sweep_id
             where o.kind = 'prepare' and o.point = r.point and o.sweep_id <> $1 and os.pool = s.pool
           )
         order by r.number",
        sweep.0,
    )
    .fetch_all(tx)
    .await?;
    Ok((runs, datasets))
}

/// Marks a sweep whose runs are being cancelled: the loop deletes it once all have ended.
///
/// # Errors
/// The database does not answer.
pub async fn mark(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sweep set is_deleting = true, updated_at = now(), changed = change_id() where sweep_id = $1",
        sweep.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn marked(db: impl PgExecutor<'_>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select sweep_id from sweep where is_deleting order by sweep_id")
        .fetch_all(db)
        .await
}

/// # Errors
/// The database does not answer, or there is no such sweep.
pub async fn is_marked(db: impl PgExecutor<'_>, sweep: SweepId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!("select is_deleting from sweep where sweep_id = $1", sweep.0)
        .fetch_one(db)
        .await
}

/// Deletes a sweep's rows, all that hangs on them included.
///
/// # Errors
/// The database does not answer, or runs of another sweep stand on it.
pub async fn delete_rows(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from sweep where sweep_id = $1", sweep.0).execute(tx).await?;
    Ok(())
}

/// Writes down what is to be deleted in a pool's storage.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: &mut PgConnection,
    pool: &str,
    (runs, datasets): (&[Uuid], &[String]),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into deletion (deletion_id, pool, run_id)
         select gen_random_uuid(), $1, run from unnest($2::uuid[]) as r (run)",
        pool,
        runs,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into deletion (deletion_id, pool, dataset)
         select gen_random_uuid(), $1, point from unnest($2::text[]) as d (point)",
        pool,
        datasets,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Something left to delete.
#[derive(Clone, Debug)]
pub struct Due {
    pub deletion_id: Uuid,
    pub pool: String,
    pub run_id: Option<Uuid>,
    pub dataset: Option<String>,
    pub is_aside: bool,
}

/// What is due in these pools, the oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn due(
    db: impl PgExecutor<'_>,
    pools: &[String],
    limit: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        "select deletion_id, pool, run_id, dataset, is_aside from deletion
         where pool = any($1) and not_before <= now() order by asked_at, deletion_id limit $2",
        pools,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Whether some run of the pool prepares this dataset.
///
/// # Errors
/// The database does not answer.
pub async fn is_used(
    tx: impl PgExecutor<'_>,
    pool: &str,
    dataset: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
            select from run r join sweep s using (sweep_id)
            where r.kind = 'prepare' and r.point = $2 and s.pool = $1
        ) as "used!""#,
        pool,
        dataset,
    )
    .fetch_one(tx)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn set_aside(tx: impl PgExecutor<'_>, deletion: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update deletion set is_aside = true where deletion_id = $1", deletion)
        .execute(tx)
        .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn done(db: impl PgExecutor<'_>, deletion: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from deletion where deletion_id = $1", deletion).execute(db).await?;
    Ok(())
}

/// Tried again in a minute: whatever holds a folder does not let go within a second.
///
/// # Errors
/// The database does not answer.
pub async fn failed(
    db: impl PgExecutor<'_>,
    deletion: Uuid,
    trouble: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deletion set trouble = $2, not_before = now() + interval '1 minute' where deletion_id = $1",
        deletion,
        trouble,
    )
    .execute(db)
    .await?;
    Ok(())
}
