//! Rows as people see them. Read inside one repeatable-read transaction, so that a page and the
//! cursor of its stream agree.

use std::collections::{BTreeMap, HashMap};

use assay_api::view::{
    Counts, EventView, GpuHours, NeedView, Outcome, RunKind, RunRow, RunState, SweepState,
    SweepSummary,
};
use assay_api::{ProjectId, RunId, SweepId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{canary, exclusion, note, tag};

/// How far a snapshot sees, in ids of transactions.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// The oldest that was open: changes below are committed and visible, or never will be.
    pub open: i64,
    /// What was committed before lies below this one; above `open` is left for later.
    pub end: i64,
}

/// # Errors
/// The database does not answer.
pub async fn horizon(tx: impl PgExecutor<'_>) -> Result<Horizon, sqlx::Error> {
    sqlx::query_as!(
        Horizon,
        r#"select pg_snapshot_xmin(now)::text::bigint as "open!", pg_snapshot_xmax(now)::text::bigint as "end!"
         from pg_current_snapshot() as now"#
    )
    .fetch_one(tx)
    .await
}

/// All sweeps of a project, or one.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    Of(ProjectId),
    One(SweepId),
}

/// Newest first.
///
/// # Errors
/// The database does not answer.
pub async fn sweeps(tx: &mut PgConnection, which: Which) -> Result<Vec<SweepSummary>, sqlx::Error> {
    let (project, only) = match which {
        Which::Of(project) => (Some(project.0), None),
        Which::One(sweep) => (None, Some(sweep.0)),
    };
    let rows = sqlx::query!(
        r#"select s.sweep_id, p.name as project, s.name, s.paused, s.paused_because, s.is_deleting,
            s.created_at,
            (s.resources->>'priority')::smallint as priority,
            s.slot_ms_max::float8 / 3.6e6 as gpu_hours_limit,
            (coalesce(u.slot_ms, 0) / 3.6e6 + coalesce(sum(
                r.slots * extract(epoch from greatest(now() - a.started_at, interval '0')) / 3600
            ), 0))::float8 as "gpu_hours_used!",
            greatest(s.updated_at, max(r.queued_at), max(r.started_at), max(r.ended_at)) as "updated_at!",
            array(select tag from sweep_tag t where t.sweep_id = s.sweep_id order by tag) as "tags!",
            count(*) filter (where r.state = 'queued') as "queued!",
            count(*) filter (where r.state = 'leased') as "leased!",
            count(*) filter (where r.state = 'stopping') as "stopping!",
            count(*) filter (where r.state = 'done' and r.outcome = 'succeeded') as "succeeded!",
            count(*) filter (where r.state = 'done' and r.outcome = 'diverged') as "diverged!",
            count(*) filter (where r.state = 'done' and r.outcome = 'failed') as "failed!",
            count(*) filter (where r.state = 'done' and r.outcome = 'cancelled') as "cancelled!",
            count(*) filter (where r.state = 'done' and r.outcome = 'stopped_early') as "stopped_early!"
         from sweep s join project p using (project_id) left join run r using (sweep_id)
         left join sweep_use u using (sweep_id)
         left join attempt a on a.run_id = r.run_id and a.attempt = r.attempt
            and r.state in ('leased', 'stopping')
         where ($1::uuid is null or s.sweep_id = $1) and ($2::uuid is null or s.project_id = $2)
         group by s.sweep_id, p.name, u.sweep_id
         order by s.created_at desc, s.sweep_id"#,
        only,
        project,
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.sweep_id).collect();
    let mut canaries = canary::of_sweeps(tx, &ids).await?;
    let n = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    let view = rows.into_iter().map(|row| {
        let counts = Counts {
            queued: n(row.queued),
            leased: n(row.leased),
            stopping: n(row.stopping),
            succeeded: n(row.succeeded),
            diverged: n(row.diverged),
            failed: n(row.failed),
            cancelled: n(row.cancelled),
            stopped_early: n(row.stopped_early),
        };
        SweepSummary {
            sweep_id: SweepId(row.sweep_id),
            project: row.project,
            name: row.name,
            state: match row.is_deleting {
                true => SweepState::Deleting,
                false => sweep_state(row.paused, counts),
            },
            paused_because: row.paused_because,
            priority: row.priority.unwrap_or(0),
            gpu_hours: GpuHours { used: row.gpu_hours_used, limit: row.gpu_hours_limit },
            canaries: canaries.remove(&row.sweep_id).unwrap_or_default(),
            counts,
            tags: row.tags,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    });
    Ok(view.collect())
}

fn sweep_state(paused: bool, counts: Counts) -> SweepState {
    let active = counts.leased + counts.stopping;
    let short = counts.diverged + counts.failed + counts.cancelled + counts.stopped_early;
    match (active + counts.queued, paused) {
        (0, _) if short == 0 => SweepState::Succeeded,
        (0, _) => SweepState::Ended,
        (_, true) => SweepState::Paused,
        (_, false) if active == 0 && counts.succeeded + short == 0 => SweepState::Queued,
        (_, false) => SweepState::Running,
    }
}

/// Which runs of a sweep.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    All(SweepId),
    /// Those that changed from the cursor on, below the horizon.
    Changed(SweepId, i64, i64),
    One(RunId),
}

/// Runs in the order of their numbers, with the values that the table ranks by.
///
/// # Errors
/// The database does not answer.
pub async fn runs(tx: &mut PgConnection, which: Rows) -> Result<Vec<RunRow>, sqlx::Error> {
    let (sweep, run, cursor, horizon) = match which {
        Rows::All(sweep) => (Some(sweep.0), None, 0, i64::MAX),
        Rows::Changed(sweep, cursor, horizon) => (Some(sweep.0), None, cursor, horizon),
        Rows::One(run) => (None, Some(run.0), 0, i64::MAX),
    };
    let rows = sqlx::query!(
        r#"select run_id, number, kind, label, state, outcome, reason, waiting, attempt, step, steps, tokens,
                phase, axes, is_baseline, priority, queued_at, started_at, ended_at,
                (select s.name || '/' || o.number from run o join sweep s using (sweep_id)
                 where o.run_id = run.reused_run_id) as reused
         from run
         where ($1::uuid is null or sweep_id = $1) and ($2::uuid is null or run_id = $2)
           and ($3 <= changed and changed < $4 or exists (
                -- its scores may come later, by a run of their own
                select from run e where e.of_run_id = run.run_id and $3 <= e.changed and e.changed < $4))
         order by number"#,
        sweep,
        run,
        cursor,
        horizon,
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.run_id).collect();
    let mut latest = latest_values(&mut *tx, &ids).await?;
    let mut excluded = exclusion::of_runs(&mut *tx, &ids).await?;
    let mut notes = note::of_runs(&mut *tx, &ids).await?;
    let mut tags = tag::of_runs(&mut *tx, &ids).await?;
    let view = rows.into_iter().map(|row| {
        let state = run_state(&row.state);
        let attempt = row.attempt.unsigned_abs();
        RunRow {
            run_id: RunId(row.run_id),
            number: row.number.unsigned_abs(),
            kind: run_kind(&row.kind),
            label: row.label,
            state,
            outcome: row.outcome.as_deref().map(outcome),
            reason: row.reason,
            waiting: row.waiting.or_else(|| {
                (state == RunState::Queued).then(|| "waits behind earlier runs".to_owned())
            }),
            // the row holds the next one where none is alive
            attempt: match state {
                RunState::Queued | RunState::Done => attempt - 1,
                RunState::Leased | RunState::Stopping => attempt,
            },
            step: row.step.unsigned_abs(),
            steps: row.steps.unsigned_abs(),
            tokens: row.tokens.unsigned_abs(),
            phase: row.phase,
            axes: serde_json::from_value(row.axes).unwrap_or_default(),
            is_baseline: row.is_baseline,
            reused: row.reused,
            latest: latest.remove(&row.run_id).unwrap_or_default(),
            priority: row.priority,
            excluded: excluded.remove(&row.run_id),
            notes: notes.remove(&row.run_id).unwrap_or_default(),
            tags: tags.remove(&row.run_id).unwrap_or_default(),
            queued_at: row.queued_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
        }
    });
    Ok(view.collect())
}

/// A run that has begun, and how far it came.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub run_id: RunId,
    pub step: u64,
    pub tokens: u64,
    /// It will come no further, and did not come to its end.
    pub fell_short: bool,
}

/// The trained points of a sweep that have begun and that nobody left out of comparisons.
///
/// # Errors
/// The database does not answer.
pub async fn begun(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<Vec<Begun>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select run_id, step, tokens, state = 'done' and outcome <> 'succeeded' as "fell_short!" from run
         where sweep_id = $1 and kind = 'train' and (is_baseline or axes <> '{}') and 0 < step and 0 < tokens
           and not exists (select from exclusion e where e.run_id = run.run_id)
         order by number"#,
        sweep.0,
    )
    .fetch_all(tx)
    .await?;
    let begun = rows.into_iter().map(|row| Begun {
        run_id: RunId(row.run_id),
        step: row.step.unsigned_abs(),
        tokens: row.tokens.unsigned_abs(),
        fell_short: row.fell_short,
    });
    Ok(begun.collect())
}

/// Latest held-out, task and training values by run; scores that another run found are those of the run
/// whose weights they are. Slices (`field=value`) are left to the charts.
async fn latest_values(
    tx: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<HashMap<Uuid, BTreeMap<String, f64>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select v.run_id as "run_id!", s.name, s.latest_value as "value!"
           from shown v join series s on s.run_id = v.source_run_id
           where v.run_id = any($1) and s.latest_value is not null and s.name !~ '='
             and (s.name like 'heldout/%' or s.name like 'task/%' or s.name = 'train/loss')
             and is_shown(s.name, v.tasks)
           -- of two scores of one task the later run's counts, and the own sweep's before another's
           order by v.tasks is null, v.number"#,
        runs,
    )
    .fetch_all(tx)
    .await?;
    let mut latest: HashMap<Uuid, BTreeMap<String, f64>> = HashMap::new();
    for row in rows.into_iter().filter(|row| row.value.is_finite()) {
        latest.entry(row.run_id).or_default().insert(row.name, row.value);
    }
    Ok(latest)
}

/// # Errors
/// The database does not answer.
pub async fn needs(tx: impl PgExecutor<'_>, run: RunId) -> Result<Vec<NeedView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select r.number, r.label, r.state, r.outcome from run_need n join run r on r.run_id = n.needs_run_id
         where n.run_id = $1 order by r.number",
        run.0,
    )
    .fetch_all(tx)
    .await?;
    let view = rows.into_iter().map(|row| NeedView {
        number: row.number.unsigned_abs(),
        label: row.label,
        state: run_state(&row.state),
        outcome: row.outcome.as_deref().map(outcome),
    });
    Ok(view.collect())
}

/// # Errors
/// The database does not answer.
pub async fn events(tx: impl PgExecutor<'_>, run: RunId) -> Result<Vec<EventView>, sqlx::Error> {
    let rows = sqlx::query!(
        "select created_at, event, attempt, state, text from run_event where run_id = $1 order by version",
        run.0,
    )
    .fetch_all(tx)
    .await?;
    let view = rows.into_iter().map(|row| EventView {
        at: row.created_at,
        event: row.event,
        attempt: row.attempt.map(i32::unsigned_abs),
        state: run_state(&row.state),
        text: row.text,
    });
    Ok(view.collect())
}

/// What a sweep's page shows beside its runs.
#[derive(Clone, Debug)]
pub struct SweepFile {
    pub file: String,
    pub folder: String,
    pub axes: serde_json::Value,
    pub changed: i64,
    /// The last change that a stream cannot tell of any more, but by beginning anew.
    pub rewritten: i64,
}

/// # Errors
/// The database does not answer.
pub async fn sweep_file(tx: impl PgExecutor<'_>, sweep: SweepId) -> Result<SweepFile, sqlx::Error> {
    sqlx::query_as!(
        SweepFile,
        r#"select file, folder, axes, changed,
            (select coalesce(greatest(max(rewritten), max(trimmed)), 0) from run r where r.sweep_id = s.sweep_id) as "rewritten!"
         from sweep s where sweep_id = $1"#,
        sweep.0,
    )
    .fetch_one(tx)
    .await
}

/// Words that a CHECK keeps to those known here; a test holds the two together.
#[must_use]
pub fn run_state(word: &str) -> RunState {
    match word {
        "queued" => RunState::Queued,
        "leased" => RunState::Leased,
        "stopping" => RunState::Stopping,
        "done" => RunState::Done,
        _ => unreachable!("a CHECK refuses the state `{word}`"),
    }
}

#[must_use]
pub fn outcome(word: &str) -> Outcome {
    match word {
        "succeeded" => Outcome::Succeeded,
        "diverged" => Outcome::Diverged,
        "failed" => Outcome::Failed,
        "cancelled" => Outcome::Cancelled,
        "stopped_early" => Outcome::StoppedEarly,
        _ => unreachable!("a CHECK refuses the outcome `{word}`"),
    }
}

#[must_use]
pub fn run_kind(word: &str) -> RunKind {
    match word {
        "prepare" => RunKind::Prepare,
        "train" => RunKind::Train,
        "evaluate" => RunKind::Evaluate,
        _ => unreachable!("a CHECK refuses the kind `{word}`"),
    }
}
