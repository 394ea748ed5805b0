//! Scores and checkpoints that workers report.

use assay_api::RunId;
use assay_api::view::{CheckpointView, EvaluationView};
use assay_api::worker::{CheckpointSaved, Evaluation};
use sqlx::PgExecutor;

/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    evaluations: &[Evaluation],
) -> Result<(), sqlx::Error> {
    let column = |pick: fn(&Evaluation) -> i64| evaluations.iter().map(pick).collect::<Vec<_>>();
    let step = column(|e| e.step.cast_signed());
    let n = column(|e| e.n.cast_signed());
    let task: Vec<String> = evaluations.iter().map(|e| e.task.clone()).collect();
    let metric: Vec<String> = evaluations.iter().map(|e| e.metric.clone()).collect();
    let value: Vec<f64> = evaluations.iter().map(|e| e.value).collect();
    let stderr: Vec<Option<f64>> = evaluations.iter().map(|e| e.stderr).collect();
    sqlx::query!(
        "insert into evaluation (run_id, attempt, step, task, metric, value, stderr, n)
         select $1, $2, e.* from unnest(
            $3::bigint[], $4::text[], $5::text[], $6::float8[], $7::float8[], $8::bigint[]) as e
         on conflict do nothing",
        run.0,
        attempt,
        &step,
        &task,
        &metric,
        &value,
        &stderr as &[Option<f64>],
        &n,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Every score that counts, also those that a later run found for its weights: at one step the later
/// run's, its own sweep's before another's, and of its attempts the highest's.
///
/// # Errors
/// The database does not answer.
pub async fn of_run(
    db: impl PgExecutor<'_>,
    run: RunId,
) -> Result<Vec<EvaluationView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select distinct on (e.step, e.task, e.metric) e.step, e.task, e.metric, e.value, e.stderr, e.n
         from shown v join evaluation e on e.run_id = v.source_run_id
         join attempt a on a.run_id = e.run_id and a.attempt = e.attempt
         where v.run_id = $1 and e.step <= coalesce(a.visible_to, e.step)
           and (v.tasks is null or e.task like 'heldout/%' or e.task = any(v.tasks))
         order by e.step, e.task, e.metric, (v.tasks is null) desc, v.number desc, e.attempt desc",
        run.0,
    )
    .fetch_all(db)
    .await?;
    let view = rows.into_iter().map(|row| EvaluationView {
        step: row.step.unsigned_abs(),
        task: row.task,
        metric: row.metric,
        value: row.value,
        stderr: row.stderr,
        n: row.n.unsigned_abs(),
    });
    Ok(view.collect())
}

/// # Errors
/// The database does not answer.
pub async fn insert_checkpoint(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    saved: &CheckpointSaved,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into checkpoint (run_id, attempt, step, path, bytes) values ($1, $2, $3, $4, $5)
         on conflict (run_id, attempt, step) do update set path = excluded.path, bytes = excluded.bytes",
        run.0,
        attempt,
        saved.step.cast_signed(),
        saved.path,
        saved.bytes.cast_signed(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Marks a checkpoint that an attempt goes on from; it may never have been reported. True: it is the
/// first that does.
///
/// # Errors
/// The database does not answer.
pub async fn accept_checkpoint(
    db: impl PgExecutor<'_>,
    run: RunId,
    (attempt, step): (i32, i64),
    path: &str,
) -> Result<bool, sqlx::Error> {
    let news = sqlx::query_scalar!(
        "insert into checkpoint (run_id, attempt, step, path, bytes, is_accepted) values ($1, $2, $3, $4, 0, true)
         on conflict (run_id, attempt, step) do update set is_accepted = true where not checkpoint.is_accepted
         returning step",
        run.0,
        attempt,
        step,
        path,
    )
    .fetch_optional(db)
    .await?;
    Ok(news.is_some())
}

/// Also those of the run that trained for this one.
///
/// # Errors
/// The database does not answer.
pub async fn checkpoints(
    db: impl PgExecutor<'_>,
    run: RunId,
) -> Result<Vec<CheckpointView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select step, attempt, path, bytes, saved_at, is_accepted from checkpoint
         where run_id = (select coalesce(reused_run_id, run_id) from run where run_id = $1)
         order by attempt, step",
        run.0,
    )
    .fetch_all(db)
    .await?;
    let view = rows.into_iter().map(|row| CheckpointView {
        step: row.step.unsigned_abs(),
        attempt: row.attempt.unsigned_abs(),
        path: row.path,
        bytes: row.bytes.unsigned_abs(),
        saved_at: row.saved_at,
        is_accepted: row.is_accepted,
    });
    Ok(view.collect())
}
