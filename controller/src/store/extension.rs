//! Runs that go on where another run of their sweep was before its decay.

use assay_api::RunId;
use sqlx::PgExecutor;
use uuid::Uuid;

/// What an extension begins from.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub of_run_id: Uuid,
    /// Who trained it, and has the checkpoint: itself, or the run that it is linked to.
    pub trained_by: Uuid,
    pub number: i32,
    pub attempt: i32,
    pub step: i64,
    pub spec: serde_json::Value,
}

/// # Errors
/// The database does not answer.
pub async fn of(db: impl PgExecutor<'_>, run: RunId) -> Result<Option<Earlier>, sqlx::Error> {
    sqlx::query_as!(
        Earlier,
        r#"select e.of_run_id, coalesce(r.reused_run_id, r.run_id) as "trained_by!", r.number, e.attempt,
            e.step, r.spec
         from extension e join run r on r.run_id = e.of_run_id where e.run_id = $1"#,
        run.0,
    )
    .fetch_optional(db)
    .await
}

/// A run that may be extended, with what a new run of its sweep must know.
#[derive(Clone, Debug)]
pub struct Source {
    pub sweep_id: Uuid,
    pub sweep: String,
    pub file: String,
    pub number: i32,
    pub label: String,
    pub kind: String,
    pub state: String,
    pub outcome: Option<String>,
    pub spec: serde_json::Value,
    /// The run that it is linked to, and the model there: a checkpoint knows the run that it began as by
    /// the name that the file gave that.
    pub reused: Option<String>,
    pub reused_model: Option<serde_json::Value>,
    pub axes: serde_json::Value,
    pub slots: i32,
    pub priority: i16,
    /// Of the whole sweep.
    pub number_max: i32,
    pub queue_order_max: i32,
}

/// # Errors
/// The database does not answer.
pub async fn source(tx: impl PgExecutor<'_>, run: RunId) -> Result<Option<Source>, sqlx::Error> {
    sqlx::query_as!(
        Source,
        r#"select r.sweep_id, s.name as sweep, s.file, r.number, r.label, r.kind, r.state, r.outcome, r.spec,
            o.spec->'model' as reused_model, (
                select os.name || '/' || o.number from sweep os where os.sweep_id = o.sweep_id
            ) as reused, r.axes, r.slots, r.priority,
            (select max(number) from run o where o.sweep_id = r.sweep_id) as "number_max!",
            (select max(queue_order) from run o where o.sweep_id = r.sweep_id) as "queue_order_max!"
         from run r join sweep s using (sweep_id) left join run o on o.run_id = r.reused_run_id
         where r.run_id = $1"#,
        run.0,
    )
    .fetch_optional(tx)
    .await
}

/// The attempt whose checkpoint of this step is kept: the last that reported one.
///
/// # Errors
/// The database does not answer.
pub async fn kept(
    tx: impl PgExecutor<'_>,
    run: RunId,
    step: i64,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "select attempt from checkpoint
         where run_id = (select coalesce(reused_run_id, run_id) from run where run_id = $1) and step = $2
         order by attempt desc limit 1",
        run.0,
        step,
    )
    .fetch_optional(tx)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn insert(
    tx: impl PgExecutor<'_>,
    run: Uuid,
    (of_run, attempt, step): (RunId, i32, i64),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into extension (run_id, of_run_id, attempt, step) values ($1, $2, $3, $4)",
        run,
        of_run.0,
        attempt,
        step,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a sweep for the rest of the transaction, so that no other adds runs to it.
///
/// # Errors
/// The database does not answer.
pub async fn lock_sweep(tx: impl PgExecutor<'_>, run: RunId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select s.sweep_id from sweep s join run using (sweep_id) where run_id = $1 for update of s",
        run.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(())
}
