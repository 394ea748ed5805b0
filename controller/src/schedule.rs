//! The loop: observe, plan, commit, perform. The same whether a timer, a user or a dead process woke
//! it. No retry inside an activation: the next one is the retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_api::RunId;
use assay_api::view::LoopView;
use assay_scheduler::{
    self as scheduler, Action, Attempt, Event, Observed, Plan, PoolId, State, Time, Urgency, Verb,
    World,
};
use chrono::Utc;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use sqlx::postgres::PgListener;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::app::App;
use crate::pool::{AttemptKey, Claim, Claims, Order, Pool, Seen, Stop};
use crate::store::leader::{self, LeaderProof};
use crate::store::world::{self, Rows, Told};
use crate::store::{self, CHANNEL};

/// Nothing depends on being woken: this often the world is looked at anyway.
const POLL: Duration = Duration::from_secs(1);
/// A leader that is silent for so long has lost the lead.
const LEADER_TTL: Duration = Duration::from_secs(15);
/// A pool that does not answer for so long is unknown, and the others do not wait for it any longer.
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(10);
/// An action that takes longer is given up, and planned again.
const ACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Reading what a process printed last is worth so much of everybody's time.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests to one pool at a time: more would only wait in its API server's queue.
const ACTIONS_AT_ONCE: usize = 8;
/// Between two looks at whether everything has stopped.
const DRAIN_POLL: Duration = Duration::from_millis(100);

/// What the loop remembers between activations.
#[derive(Debug, Default)]
pub struct Memory {
    /// Since when reports could be stored without a break.
    reports_since: Option<Time>,
}

/// What one activation did.
#[derive(Debug, Default)]
pub struct Activation {
    pub steps: usize,
    pub actions: usize,
    pub is_follower: bool,
}

/// Runs until shutdown.
pub async fn run(app: App) {
    let listening = tokio::spawn(listen(app.clone()));
    let mut memory = Memory::default();
    while !app.shutdown.is_cancelled() {
        // enabled before looking, so that a wake during the look is not lost
        let woken = app.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();

        let more = report(&app, &mut memory).await;
        if more {
            continue;
        }
        tokio::select! {
            () = woken => (),
            () = tokio::time::sleep(POLL) => (),
            () = app.shutdown.cancelled() => (),
        }
    }
    listening.abort();
}

/// One activation, its report kept for `GET /loops/schedule`. True: what follows from its steps can
/// be planned at once.
async fn report(app: &App, memory: &mut Memory) -> bool {
    let (began_at, began) = (Utc::now(), Instant::now());
    let done = activate(app, memory).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let view = LoopView { began_at: Some(began_at), took_ms, ..LoopView::default() };
    match done {
        Ok(Activation { steps, actions, is_follower }) => {
            if 0 < steps {
                info!(steps, actions, took_ms, "{steps} steps, {actions} actions in {took_ms} ms");
            }
            let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
            let (n_steps, n_actions) = (count(steps), count(actions));
            app.record_activation(LoopView {
                steps: n_steps,
                actions: n_actions,
                is_follower,
                ..view
            });
            0 < steps
        }
        Err(failure) => {
            // nobody could be heard while the database was away
            memory.reports_since = None;
            let text = format!("{failure:#}");
            error!(error = text, "the scheduling loop failed and will try again: {text}");
            app.record_activation(LoopView { error: Some(text), ..view });
            false
        }
    }
}

/// One activation.
///
/// # Errors
/// The database does not answer. A pool that does not answer is no error: nothing is planned for it.
pub async fn activate(app: &App, memory: &mut Memory) -> anyhow::Result<Activation> {
    let lead = leader::lead(&app.store.db, &app.name, LEADER_TTL).await;
    let Some(proof) = lead.context("cannot ask who leads")? else {
        memory.reports_since = None;
        return Ok(Activation { is_follower: true, ..Activation::default() });
    };
    let rows = {
        let mut tx = store::view::snapshot(&app.store.db).await?;
        world::load(&mut tx, &app.pools.ids()).await.context("cannot read the runs")?
    };
    let reports_since = *memory.reports_since.get_or_insert(rows.now);
    let sights = observe(app, &rows).await;
    let world = world_of(app, &rows, &sights, reports_since);

    let plan = scheduler::plan(&world);
    let told = explain(app, &rows, &sights, &plan).await;
    let steps = commit(app, proof, &rows, (&plan, &told)).await.context("cannot store the plan")?;
    let Some(steps) = steps else {
        // whoever leads now has a plan of its own
        memory.reports_since = None;
        return Ok(Activation { is_follower: true, ..Activation::default() });
    };
    perform(app, &rows, &plan.actions).await?;
    Ok(Activation { steps, actions: plan.actions.len(), is_follower: false })
}

/// What each pool shows, or why it shows nothing.
type Sights = BTreeMap<PoolId, Result<BTreeMap<AttemptKey, Seen>, String>>;

/// Rows first, pools after: what is planned from a row that has moved since is refused.
async fn observe(app: &App, rows: &Rows) -> Sights {
    let mut claims: BTreeMap<PoolId, Claims> = BTreeMap::new();
    for found in rows.runs.values() {
        let state = found.run.standing.state;
        let Some(attempt) = state.attempt() else { continue };
        let has_begun = !matches!(state, State::Leased { lease: None, .. });
        let claim = if has_begun { Claim::Begun } else { Claim::Placed };
        claims.entry(found.run.spec.pool).or_default().insert(key(found.run.id, attempt), claim);
    }
    let nothing = Claims::new();
    let looks = app.pools.each().map(|(id, pool)| {
        let claimed = claims.get(&id).unwrap_or(&nothing);
        async move {
            let look = tokio::time::timeout(OBSERVE_TIMEOUT, pool.observe(claimed)).await;
            let seen = match look {
                Ok(seen) => seen.map_err(|error| format!("{error:#}")),
                Err(_) => Err(format!("no answer for {} s", OBSERVE_TIMEOUT.as_secs())),
            };
            (id, seen)
        }
    });
    join_all(looks).await.into_iter().collect()
}

fn world_of(app: &App, rows: &Rows, sights: &Sights, reports_since: Time) -> World {
    let mut sweeps = rows.sweeps.clone();
    if app.is_draining() {
        sweeps.values_mut().for_each(|sweep| sweep.paused = true);
    }
    let pools = app.pools.each().map(|(id, pool)| (id, pool_of(app, &**pool, &sights[&id])));
    World {
        now: rows.now,
        reports_since,
        runs: rows.runs.iter().map(|(id, found)| (*id, found.run.clone())).collect(),
        needs: rows.needs.clone(),
        sweeps,
        pools: pools.collect(),
    }
}

fn pool_of(
    app: &App,
    pool: &dyn Pool,
    seen: &Result<BTreeMap<AttemptKey, Seen>, String>,
) -> scheduler::Pool {
    let (observed, slots) = match seen {
        Ok(seen) => {
            let id =
                |key: &AttemptKey| (scheduler::RunId(key.run.0.as_u128()), Attempt(key.attempt));
            let slots = seen.iter().filter_map(|(key, seen)| Some((id(key), seen.slots?)));
            let known = seen.iter().map(|(key, seen)| (id(key), seen.what.clone()));
            (Observed::Known(known.collect()), slots.collect())
        }
        Err(why) => (Observed::Unknown { why: why.clone() }, BTreeMap::new()),
    };
    scheduler::Pool {
        name: pool.name().to_owned(),
        capacity: pool.capacity(),
        lease_ms: app.lease_ms,
        grace_ms: u64::try_from(pool.grace().as_millis()).unwrap_or(u64::MAX),
        patience: pool.patience(),
        observed,
        slots,
    }
}

fn key(run: scheduler::RunId, attempt: Attempt) -> AttemptKey {
    AttemptKey { run: RunId(Uuid::from_u128(run.0)), attempt: attempt.0 }
}

/// A step as it is told, and what the attempt's process printed last.
struct Explained {
    told: Told,
    output: Vec<String>,
}

/// Each step of the plan, in its order, in the words of everybody who knows something of it.
async fn explain(app: &App, rows: &Rows, sights: &Sights, plan: &Plan) -> Vec<Explained> {
    let told = plan.steps.iter().map(|(id, event)| async move {
        let told = in_words(rows, sights, *id, *event);
        let output = match event {
            Event::Lost { attempt, .. } => last_words(app, rows, *id, *attempt).await,
            _ => Vec::new(),
        };
        Explained { told, output }
    });
    join_all(told).await
}

async fn last_words(app: &App, rows: &Rows, id: scheduler::RunId, attempt: Attempt) -> Vec<String> {
    let Some(pool) = app.pools.get(rows.runs[&id].run.spec.pool) else { return Vec::new() };
    let key = key(id, attempt);
    match tokio::time::timeout(LAST_WORDS_TIMEOUT, pool.last_words(key)).await {
        Ok(Ok(lines)) => lines,
        // what it printed helps people, and nothing waits for it
        Ok(Err(error)) => {
            warn!(run.id = %key.run, attempt = key.attempt, "cannot read its last output: {error:#}");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// Some events say more with a name in them, or with what the pool knows.
fn in_words(rows: &Rows, sights: &Sights, id: scheduler::RunId, event: Event) -> Told {
    let told = Told::plainly(event);
    match event {
        Event::NeedEnded => {
            let failed = rows.needs.get(&id).and_then(|needs| {
                needs.iter().find(|need| {
                    need.outcome.is_some_and(|outcome| outcome != scheduler::Outcome::Succeeded)
                })
            });
            let reason =
                failed.map(|need| format!("cancelled because {} ended without success", need.name));
            Told { reason, ..told }
        }
        Event::Lost { attempt, .. } | Event::Gone { attempt } => {
            let sight =
                sights.get(&rows.runs[&id].run.spec.pool).and_then(|seen| seen.as_ref().ok());
            let seen = sight.and_then(|seen| seen.get(&key(id, attempt)));
            Told { detail: seen.and_then(|seen| seen.told.clone()), ..told }
        }
        _ => told,
    }
}

/// All in one transaction that holds the lead; each step is guarded by the version that it was
/// planned from. Returns how many were written; none: another controller leads.
async fn commit(
    app: &App,
    proof: LeaderProof,
    rows: &Rows,
    (plan, explained): (&Plan, &[Explained]),
) -> anyhow::Result<Option<usize>> {
    let mut tx = app.store.db.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(None);
    }
    let mut written = 0;
    for ((id, event), Explained { told, output }) in plan.steps.iter().zip(explained) {
        let found = &rows.runs[id];
        if world::commit(&mut tx, rows.now, found, told).await? {
            written += 1;
            info!(run.id = %Uuid::from_u128(id.0), "{}: {event}", found.run.spec.name);
            if let Some(attempt) = event.attempt().filter(|_| !output.is_empty()) {
                let key = key(*id, attempt);
                let number = key.attempt.cast_signed();
                store::attempt::set_output(&mut *tx, key.run, number, output).await?;
            }
        }
    }
    if !app.is_draining() {
        let (runs, why): (Vec<_>, Vec<_>) = plan
            .waiting
            .iter()
            .map(|(id, waiting)| (Uuid::from_u128(id.0), waiting.to_string()))
            .unzip();
        store::run::explain(&mut tx, &runs, &why).await?;
    }
    tx.commit().await?;
    Ok(Some(written))
}

/// What pools must know of runs whose attempts they create.
type Orders = BTreeMap<Uuid, store::run::Ordered>;

/// Pools side by side, so that a slow one holds up no other.
async fn perform(app: &App, rows: &Rows, actions: &[Action]) -> anyhow::Result<()> {
    let wanted = actions.iter().filter(|action| action.verb == Verb::Ensure);
    let wanted: Vec<Uuid> = wanted.map(|action| Uuid::from_u128(action.run.0)).collect();
    let orders = match wanted.as_slice() {
        [] => Vec::new(),
        runs => store::run::ordered(&app.store.db, runs).await?,
    };
    let orders: Orders = orders.into_iter().map(|order| (order.run_id, order)).collect();
    let mut pools = Vec::new();
    for (id, pool) in app.pools.each() {
        let of_pool = actions.iter().filter(|action| action.pool == id).copied();
        pools.push(perform_in(app, pool.clone(), rows, &orders, of_pool.collect()));
    }
    join_all(pools).await;
    Ok(())
}

async fn perform_in(
    app: &App,
    pool: Arc<dyn Pool>,
    rows: &Rows,
    orders: &Orders,
    actions: Vec<Action>,
) {
    let mut acts = Vec::new();
    for action in actions {
        acts.push(try_to(app, &*pool, rows, orders, action));
    }
    stream::iter(acts).buffer_unordered(ACTIONS_AT_ONCE).collect::<()>().await;
}

async fn try_to(app: &App, pool: &dyn Pool, rows: &Rows, orders: &Orders, action: Action) {
    let done = tokio::time::timeout(ACTION_TIMEOUT, act(app, pool, rows, orders, action)).await;
    if let Err(failure) = done.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))) {
        let (key, verb) = (key(action.run, action.attempt), action.verb);
        let (run, attempt) = (key.run, key.attempt);
        warn!(run.id = %run, attempt, "could not perform {verb:?}, it will be planned again: {failure:#}");
    }
}

/// Idempotent, and safe to lose: what did not work is planned again.
async fn act(
    app: &App,
    pool: &dyn Pool,
    rows: &Rows,
    orders: &Orders,
    action: Action,
) -> anyhow::Result<()> {
    let key = key(action.run, action.attempt);
    match action.verb {
        Verb::Ensure => {
            let ordered = orders.get(&key.run.0).context("the run is no longer stored")?;
            pool.ensure(Order {
                key,
                secret: app.key.secret(key.run, key.attempt),
                sweep: ordered.sweep.clone(),
                number: ordered.number.unsigned_abs(),
                slots: ordered.slots.unsigned_abs(),
                resources: serde_json::from_value(ordered.resources.clone())
                    .context("the sweep's resources are not readable")?,
            })
            .await
        }
        Verb::Stop(Urgency::Gracefully) => pool.stop(key, Stop::Gracefully).await,
        Verb::Stop(Urgency::AtOnce) => pool.stop(key, Stop::AtOnce).await,
        Verb::Delete if is_unclaimed(app, rows, action).await? => pool.delete(key).await,
        Verb::Delete => Ok(()),
    }
}

/// What is deleted as nobody's is asked for again: the rows were read before the pool was looked at,
/// and another controller may lead by now. What a stopping run holds is deleted as planned.
async fn is_unclaimed(app: &App, rows: &Rows, action: Action) -> anyhow::Result<bool> {
    let found = rows.runs.get(&action.run).map(|found| found.run.standing.state);
    let is_of_a_stopping_run = found.is_some_and(
        |state| matches!(state, State::Stopping { attempt, .. } if attempt == action.attempt),
    );
    if is_of_a_stopping_run {
        return Ok(true);
    }
    let key = key(action.run, action.attempt);
    let number = key.attempt.cast_signed();
    Ok(!store::attempt::is_claimed(&app.store.db, key.run, number).await?)
}

/// Asks every attempt that would die with this controller to save a checkpoint, and waits until all
/// are gone. Nothing new is placed.
pub async fn drain(app: &App) {
    app.begin_draining();
    loop {
        match ask_to_stop(app).await {
            Ok(0) => return,
            Ok(_) => (),
            Err(failure) => warn!("could not ask the workers to stop: {failure:#}"),
        }
        app.wake.notify_one();
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Returns how many attempts there are still.
async fn ask_to_stop(app: &App) -> anyhow::Result<usize> {
    let mut tx = app.store.db.begin().await?;
    let rows = world::load(&mut tx, &app.pools.ids()).await?;
    let mut active = 0;
    let is_tied = |id| app.pools.get(id).is_some_and(|pool| !pool.outlives_controller());
    for found in rows.runs.values().filter(|found| is_tied(found.run.spec.pool)) {
        let state = found.run.standing.state;
        active += usize::from(state.attempt().is_some());
        if matches!(state, State::Leased { .. }) {
            let reason = Some("asked to checkpoint: the controller is stopping".to_owned());
            let told = Told { reason, ..Told::plainly(Event::Preempt) };
            world::commit(&mut tx, rows.now, found, &told).await?;
        }
    }
    tx.commit().await?;
    Ok(active)
}

/// Passes notifications of other controllers on. The timer alone would do, so trouble is only logged.
async fn listen(app: App) {
    loop {
        match PgListener::connect_with(&app.store.db).await {
            Ok(mut listener) => {
                if listener.listen(CHANNEL).await.is_ok() {
                    while listener.recv().await.is_ok() {
                        app.wake.notify_one();
                    }
                }
            }
            Err(failure) => warn!("cannot listen for notifications: {failure:#}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
