//! What sweeps have used of their slots, and how their runs failed: added up as it happens, so that
//! the loop reads one row a sweep however many attempts there were.

use assay_api::{RunId, SweepId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// An error is told to people in so many characters; its run has all of it.
const TEXT_MAX: i32 = 500;

/// A run failed with an error: it counts once for each, however often it is tried.
///
/// # Errors
/// The database does not answer.
pub async fn failed(
    tx: &mut PgConnection,
    run: RunId,
    (signature, text): (i64, &str),
) -> Result<(), sqlx::Error> {
    // locked first: two that fail at once would each not count the other
    let sweep = sqlx::query_scalar!(
        "insert into sweep_use (sweep_id) select sweep_id from run where run_id = $1
         on conflict (sweep_id) do update set sweep_id = excluded.sweep_id
         returning sweep_id",
        run.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into run_error (sweep_id, signature, run_id) values ($1, $2, $3) on conflict do nothing",
        sweep,
        signature,
        run.0,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update sweep_use u set same_errors = e.n, same_error = left($3, $4)
         from (select count(*)::integer as n from run_error where sweep_id = $1 and signature = $2) e
         where u.sweep_id = $1 and u.same_errors < e.n",
        sweep,
        signature,
        text,
        TEXT_MAX,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Pauses a sweep whose runs fail alike, unless somebody has let it go on meanwhile. True: it did.
///
/// # Errors
/// The database does not answer.
pub async fn pause_failing(tx: impl PgExecutor<'_>, sweep: Uuid) -> Result<bool, sqlx::Error> {
    let paused = sqlx::query!(
        "update sweep s set paused = true, updated_at = now(), changed = change_id(),
            paused_because = u.same_errors || ' of its runs failed with the same error: ' || u.same_error
         from sweep_use u
         where s.sweep_id = $1 and u.sweep_id = s.sweep_id and not s.paused
           and s.same_error_max <= u.same_errors",
        sweep,
    )
    .execute(tx)
    .await?;
    Ok(0 < paused.rows_affected())
}

/// A sweep has used all its time. True: nobody was told of it at this limit.
///
/// # Errors
/// The database does not answer.
pub async fn spent(tx: impl PgExecutor<'_>, sweep: Uuid) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query!(
        "insert into sweep_use (sweep_id, told_slot_ms_max)
         select s.sweep_id, s.slot_ms_max from sweep s left join sweep_use u using (sweep_id)
         where s.sweep_id = $1 and s.slot_ms_max is not null and u.told_slot_ms_max is distinct from s.slot_ms_max
         on conflict (sweep_id) do update set told_slot_ms_max = excluded.told_slot_ms_max",
        sweep,
    )
    .execute(tx)
    .await?;
    Ok(0 < noted.rows_affected())
}

/// Errors are counted anew from here.
///
/// # Errors
/// The database does not answer.
pub async fn forget_errors(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with forgotten as (delete from run_error where sweep_id = $1)
         update sweep_use set same_errors = 0, same_error = null where sweep_id = $1",
        sweep.0,
    )
    .execute(tx)
    .await?;
    Ok(())
}
