//! Notes of people, pinned to a step of a run or to the run as a whole.

use std::collections::HashMap;

use assay_api::RunId;
use assay_api::view::{NoteRequest, NoteView};
use sqlx::PgExecutor;
use uuid::Uuid;

/// None: there is no such run, or it has `limit` notes.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run: RunId,
    note: &NoteRequest,
    limit: i64,
) -> Result<Option<NoteView>, sqlx::Error> {
    let row = sqlx::query!(
        "with told as (
            update run set changed = change_id()
            where run_id = $1 and (select count(*) from note where note.run_id = $1) < $5
            returning run_id
         )
         insert into note (run_id, step, text, author) select run_id, $2, $3, $4 from told
         returning note_id, created_at",
        run.0,
        note.step.map(u64::cast_signed),
        note.text,
        note.author,
        limit,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| NoteView {
        note_id: row.note_id,
        step: note.step,
        text: note.text.clone(),
        author: note.author.clone(),
        at: row.created_at,
    }))
}

/// False: the run has no such note.
///
/// # Errors
/// The database does not answer.
pub async fn remove(db: impl PgExecutor<'_>, run: RunId, note: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with gone as (delete from note where run_id = $1 and note_id = $2 returning run_id)
         update run set changed = change_id() from gone where run.run_id = gone.run_id",
        run.0,
        note,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Of each run in the order of their steps; those of the run as a whole last.
///
/// # Errors
/// The database does not answer.
pub async fn of_runs(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, Vec<NoteView>>, sqlx::Error> {
    let rows = sqlx::query!(
        "select run_id, note_id, step, text, author, created_at from note where run_id = any($1)
         order by run_id, step nulls last, note_id",
        runs,
    )
    .fetch_all(db)
    .await?;
    let mut notes: HashMap<Uuid, Vec<NoteView>> = HashMap::new();
    for row in rows {
        notes.entry(row.run_id).or_default().push(NoteView {
            note_id: row.note_id,
            step: row.step.map(i64::unsigned_abs),
            text: row.text,
            author: row.author,
            at: row.created_at,
        });
    }
    Ok(notes)
}
