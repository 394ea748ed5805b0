//! What the scheduler sees of the database, and the steps that it decided on.
//!
//! The scheduler's types are not serializable, on purpose: this is the one place that turns rows into
//! them and back.

mod limit;
mod told;

use std::collections::BTreeMap;

use assay_api::{RunId, SweepId};
use assay_scheduler as scheduler;
use assay_scheduler::{
    Attempt, Cause, ErrorSeen, Event, IllegalStep, Loss, Outcome, PoolId, Spec, State, Then, Time,
    Tries,
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::attempt;
use super::canary;
use super::project;
use super::reuse::Original;
use super::run::{self, Standing, Step};
use super::sweep_use;
use told::ended;

pub use told::Told;

/// The head of each sweep's queue: the loop costs the same at 100 and at 100,000 queued runs.
const HEAD: i64 = 200;

/// A pool that this controller does not know.
const NO_POOL: PoolId = PoolId(u16::MAX);

/// A run with the version that a step must name.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub run: scheduler::Run,
    pub version: i64,
    /// It trains, waits for no other run, and its sweep takes results that there are.
    pub may_be_reused: bool,
    /// When the worker of its active attempt started.
    started_at: Option<Time>,
    pool: String,
    cause: Option<String>,
    reason: Option<String>,
}

/// The database's part of a [`scheduler::World`].
#[derive(Clone, Debug)]
pub struct Rows {
    pub now: Time,
    pub runs: BTreeMap<scheduler::RunId, Versioned>,
    pub needs: BTreeMap<scheduler::RunId, Vec<scheduler::Need>>,
    pub canaries: BTreeMap<scheduler::RunId, scheduler::Canary>,
    /// The runs whose results some of them can have; looked for by whoever plans.
    pub originals: BTreeMap<scheduler::RunId, Original>,
    pub sweeps: BTreeMap<scheduler::SweepId, scheduler::Sweep>,
    pub quotas: BTreeMap<(scheduler::ProjectId, PoolId), scheduler::Quota>,
}

#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error("there is no run {0}")]
    Missing(RunId),
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    #[error("could not store a step")]
    Store(#[from] sqlx::Error),
}

/// Locks a run, moves it, and writes what follows from it. Its sweep: whoever may have ended the run asks
/// `outbox::ended` to tell of it.
///
/// # Errors
/// The step is illegal where the run stands; or there is no such run.
pub async fn tell(tx: &mut PgConnection, run: RunId, told: &Told) -> Result<SweepId, TellError> {
    let now = now(&mut *tx).await?;
    let found = lock(&mut *tx, run).await?.ok_or(TellError::Missing(run))?;
    let moved = commit(tx, now, &found, told).await?;
    assert!(moved, "a locked row is moved by nobody else");
    Ok(SweepId(Uuid::from_u128(found.run.spec.sweep.0)))
}

/// Writes one step, guarded by the version that it was planned from. False: somebody else moved the
/// run first.
///
/// # Errors
/// The step is illegal where the run stands.
pub async fn commit(
    tx: &mut PgConnection,
    now: Time,
    found: &Versioned,
    told: &Told,
) -> Result<bool, TellError> {
    let before = found.run.standing;
    let after = found.run.step(now, told.event)?;
    let run = RunId(Uuid::from_u128(found.run.id.0));
    if let Event::Lost { attempt, how: Loss::LeaseExpired } = told.event {
        // a sign of life changes no version: whether it came meanwhile is asked here
        if !attempt::lease_is_over(&mut *tx, run, attempt.0.cast_signed()).await? {
            return Ok(false);
        }
    }
    let text = told.text();
    let step = Step {
        run,
        version: found.version,
        to: columns(found, (before.state, after), told, &text),
        event: told.event.word(),
        event_attempt: told.event.attempt().map(|attempt| attempt.0.cast_signed()),
        text,
    };
    if !run::step(&mut *tx, &step).await? {
        return Ok(false);
    }
    if matches!(after.state, State::Done { outcome: Outcome::Succeeded, .. }) {
        run::unblock(&mut *tx, run).await?;
    }
    let is_done = |state| matches!(state, State::Done { .. });
    if is_done(before.state) != is_done(after.state) {
        canary::hand_on(&mut *tx, run).await?;
    }
    if told.event.cause() == Some(Cause::Error) && before.state != after.state {
        let (signature, text) = limit::error_of(told);
        sweep_use::failed(&mut *tx, run, (signature.cast_signed(), &text)).await?;
    }
    match told.event {
        Event::Place => {
            attempt::insert(&mut *tx, run, step.to.attempt, &found.pool).await?;
        }
        Event::Gone { attempt } => {
            let cause = found.cause.as_deref().unwrap_or("infrastructure");
            // who made a worker leave is not known to the worker; all else was said when it ended
            let detail = told.detail.as_deref().filter(|_| cause == "preempted");
            let reason = ended(found.reason.as_deref(), detail);
            attempt::end(&mut *tx, run, attempt.0.cast_signed(), (cause, &reason)).await?;
        }
        Event::Start { .. }
        | Event::CheckpointAccepted { .. }
        | Event::Finish { .. }
        | Event::Lost { .. }
        | Event::Reuse
        | Event::Cancel
        | Event::StopEarly
        | Event::Preempt
        | Event::Retry
        | Event::Renew
        | Event::NeedEnded
        | Event::NeedRetried => (),
    }
    Ok(true)
}

/// The row after a step.
fn columns(
    found: &Versioned,
    (before, after): (State, scheduler::Standing),
    told: &Told,
    text: &str,
) -> Standing {
    let Tries { errors, infrastructure, last_error } = after.tries;
    // what is heard after all is decided changes nothing; what begins anew forgets why the last try ended
    let begins_anew =
        matches!(told.event, Event::Place | Event::Retry | Event::Renew | Event::NeedRetried);
    let (cause, reason) = match told.event.cause() {
        _ if begins_anew => (None, None),
        _ if told.event == Event::Reuse => (None, Some(text.to_owned())),
        Some(cause) if before != after.state => {
            (Some(cause.word().to_owned()), Some(text.to_owned()))
        }
        Some(_) | None => (found.cause.clone(), found.reason.clone()),
    };
    let mut row = Standing {
        state: String::new(),
        attempt: 0,
        not_before: None,
        stopping_since: None,
        outcome: None,
        is_cancelled_by_need: told.event == Event::NeedEnded,
        cause,
        reason,
        tries_error: errors.cast_signed(),
        tries_infrastructure: infrastructure.cast_signed(),
        last_error_step: last_error.map(|seen| seen.step.cast_signed()),
        last_error_signature: last_error.map(|seen| seen.signature.cast_signed()),
    };
    let (state, attempt) = match after.state {
        State::Queued { next, not_before } => {
            row.not_before = (not_before != Time::ALWAYS).then(|| date(not_before));
            ("queued", next)
        }
        State::Leased { attempt, .. } => ("leased", attempt),
        State::Stopping { attempt, since, then } => {
            row.stopping_since = Some(date(since));
            row.outcome = match then {
                Then::Requeue { .. } => None,
                Then::End { outcome } => Some(outcome.word().to_owned()),
            };
            if let Then::Requeue { cause } = then {
                row.cause = Some(cause.word().to_owned());
            }
            ("stopping", attempt)
        }
        State::Done { next, outcome } => {
            row.outcome = Some(outcome.word().to_owned());
            ("done", next)
        }
    };
    state.clone_into(&mut row.state);
    row.attempt = attempt.0.cast_signed();
    row
}

/// The clock that leases and back-offs are judged by.
///
/// # Errors
/// The database does not answer.
pub async fn now(db: impl PgExecutor<'_>) -> Result<Time, sqlx::Error> {
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(db).await?;
    Ok(time(now))
}

struct Row {
    run_id: Uuid,
    sweep_id: Uuid,
    name: String,
    pool: String,
    slots: i32,
    priority: i16,
    queue_order: i32,
    state: String,
    attempt: i32,
    not_before: Option<DateTime<Utc>>,
    stopping_since: Option<DateTime<Utc>>,
    outcome: Option<String>,
    cause: Option<String>,
    reason: Option<String>,
    tries_error: i32,
    tries_infrastructure: i32,
    last_error_step: Option<i64>,
    last_error_signature: Option<i64>,
    version: i64,
    may_be_reused: bool,
    placed_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    lease_ends_at: Option<DateTime<Utc>>,
}

async fn lock(tx: impl PgExecutor<'_>, run: RunId) -> Result<Option<Versioned>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select r.run_id, r.sweep_id, s.name || '/' || r.number as "name!", s.pool, r.slots, r.priority,
            r.queue_order, r.state, r.attempt, r.not_before, r.stopping_since, r.outcome, r.cause, r.reason,
            r.tries_error, r.tries_infrastructure, r.last_error_step, r.last_error_signature, r.version,
            s.reuse and r.kind = 'train' and r.state = 'queued' and not r.is_blocked as "may_be_reused!",
            a.placed_at as "placed_at?", a.started_at as "started_at?", a.lease_ends_at
         from run r join sweep s using (sweep_id)
         left join attempt a on a.run_id = r.run_id and a.attempt = r.attempt
         where r.run_id = $1 for update of r"#,
        run.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| versioned(row, None)))
}

/// Every active run, the head of each sweep's queue, and runs that may go on with what they need.
///
/// # Errors
/// The database does not answer.
pub async fn load(
    tx: &mut PgConnection,
    pools: &BTreeMap<String, PoolId>,
) -> Result<Rows, sqlx::Error> {
    let now = now(&mut *tx).await?;
    let rows = sqlx::query_as!(
        Row,
        r#"with picked as (
            select run_id from run where state in ('leased', 'stopping')
            union all
            select run_id from run where is_cancelled_by_need
            union all
            select head.run_id from sweep s cross join lateral (
                -- what can be placed comes before what waits for another run
                select q.run_id from run q
                where q.sweep_id = s.sweep_id and q.state = 'queued'
                order by q.is_blocked, q.priority desc, q.queue_order
                limit $1
            ) head
        )
        select r.run_id, r.sweep_id, s.name || '/' || r.number as "name!", s.pool, r.slots, r.priority,
            r.queue_order, r.state, r.attempt, r.not_before, r.stopping_since, r.outcome, r.cause, r.reason,
            r.tries_error, r.tries_infrastructure, r.last_error_step, r.last_error_signature, r.version,
            s.reuse and r.kind = 'train' and r.state = 'queued' and not r.is_blocked as "may_be_reused!",
            a.placed_at as "placed_at?", a.started_at as "started_at?", a.lease_ends_at
         from picked
         -- one by one, wherever statistics lag behind: read whole, the table has every run there ever was
         cross join lateral (select * from run where run_id = picked.run_id offset 0) r
         join sweep s using (sweep_id)
         left join attempt a on a.run_id = r.run_id and a.attempt = r.attempt"#,
        HEAD,
    )
    .fetch_all(&mut *tx)
    .await?;
    let runs: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| versioned(row, Some(pools)))
        .map(|run| (run.run.id, run))
        .collect();
    let ids: Vec<Uuid> = runs.keys().map(|id| Uuid::from_u128(id.0)).collect();
    let sweeps = limit::sweeps(&mut *tx, &ids, (now, &runs)).await?;
    let (needs, canaries) =
        (needs(&mut *tx, &ids).await?, canary::waited_for(&mut *tx, &ids).await?);
    let quotas = project::quotas(&mut *tx, pools).await?;
    Ok(Rows { now, needs, canaries, originals: BTreeMap::new(), sweeps, quotas, runs })
}

async fn needs(
    tx: impl PgExecutor<'_>,
    runs: &[Uuid],
) -> Result<BTreeMap<scheduler::RunId, Vec<scheduler::Need>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select n.run_id, n.needs_run_id, s.name || '/' || r.number || ' (' || r.label || ')' as "name!",
            case r.state when 'done' then r.outcome end as outcome
         from run_need n
         cross join lateral (select * from run where run_id = n.needs_run_id offset 0) r
         join sweep s using (sweep_id)
         where n.run_id = any($1)
         order by n.run_id, r.number"#,
        runs,
    )
    .fetch_all(tx)
    .await?;
    let mut needs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let need = scheduler::Need {
            run: scheduler::RunId(row.needs_run_id.as_u128()),
            name: row.name,
            outcome: row.outcome.as_deref().map(outcome),
        };
        needs.entry(scheduler::RunId(row.run_id.as_u128())).or_default().push(need);
    }
    Ok(needs)
}

/// Without the pools the run's own does not matter.
fn versioned(row: Row, pools: Option<&BTreeMap<String, PoolId>>) -> Versioned {
    let id = scheduler::RunId(row.run_id.as_u128());
    let spec = Spec {
        sweep: scheduler::SweepId(row.sweep_id.as_u128()),
        pool: pools.and_then(|pools| pools.get(&row.pool)).copied().unwrap_or(NO_POOL),
        slots: row.slots.unsigned_abs(),
        priority: row.priority,
        order: row.queue_order.unsigned_abs(),
        name: row.name.clone(),
    };
    let standing = scheduler::Standing { state: state(&row), tries: tries(&row) };
    let run = scheduler::Run { id, spec, standing };
    let started_at = standing.state.attempt().and(row.started_at).map(time);
    let Row { version, may_be_reused, pool, cause, reason, .. } = row;
    Versioned { run, version, may_be_reused, started_at, pool, cause, reason }
}

fn state(row: &Row) -> State {
    let attempt = Attempt(row.attempt.unsigned_abs());
    let ended = || outcome(row.outcome.as_deref().expect("a CHECK asks for it"));
    match row.state.as_str() {
        "queued" => {
            State::Queued { next: attempt, not_before: row.not_before.map_or(Time::ALWAYS, time) }
        }
        "leased" => State::Leased {
            attempt,
            placed_at: row.placed_at.map_or(Time::ALWAYS, time),
            lease: row.lease_ends_at.map(time),
        },
        "stopping" => State::Stopping {
            attempt,
            since: row.stopping_since.map_or(Time::ALWAYS, time),
            then: match row.outcome.as_deref() {
                Some(word) => Then::End { outcome: outcome(word) },
                None => Then::Requeue { cause: cause(row.cause.as_deref().unwrap_or_default()) },
            },
        },
        "done" => State::Done { next: attempt, outcome: ended() },
        word => unreachable!("a CHECK refuses the state `{word}`"),
    }
}

fn tries(row: &Row) -> Tries {
    let seen = row.last_error_step.zip(row.last_error_signature);
    Tries {
        errors: row.tries_error.unsigned_abs(),
        infrastructure: row.tries_infrastructure.unsigned_abs(),
        last_error: seen.map(|(step, signature)| ErrorSeen {
            step: step.cast_unsigned(),
            signature: signature.cast_unsigned(),
        }),
    }
}

fn outcome(word: &str) -> Outcome {
    use Outcome::{Cancelled, Diverged, Failed, StoppedEarly, Succeeded};
    let all = [Succeeded, Diverged, Failed, Cancelled, StoppedEarly];
    all.into_iter().find(|outcome| outcome.word() == word).expect("a CHECK keeps to these words")
}

fn cause(word: &str) -> Cause {
    use Cause::{Cancelled, Diverged, Error, Finished, Infrastructure, Preempted};
    let all = [Finished, Diverged, Error, Infrastructure, Preempted, Cancelled];
    all.into_iter().find(|cause| cause.word() == word).expect("a CHECK keeps to these words")
}

fn time(date: DateTime<Utc>) -> Time {
    Time(date.timestamp_millis())
}

fn date(time: Time) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.0).expect("a time of this database")
}
