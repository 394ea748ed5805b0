//! The loop: observe, plan, commit, perform. The same whether a timer, a user or a dead process woke
//! it. No retry inside an activation: the next one is the retry.

mod clear;
mod drop_old;
mod explain;
mod observe;
mod perform;
mod reachable;
mod reuse;

use std::time::Duration;

use anyhow::Context;
use assay_api::view::LoopView;
use assay_api::{KillPoint, RunId, SweepId, kill_point};
use assay_scheduler::{self as scheduler, Attempt, Event, Plan, State, Waiting};
use chrono::Utc;
use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::app::App;
use crate::calendar;
use crate::pool::AttemptKey;
use crate::store::leader::{self, LeaderProof};
use crate::store::outbox::{self, Limit};
use crate::store::world::{self, Rows, Told};
use crate::store::{self, CHANNEL};

use clear::clear;
use drop_old::Turns;
pub use drop_old::{Dropped, drop_old};
use explain::{Explained, explain};
use observe::{observe, world_of};
use perform::perform;
use reachable::Reachable;
use reuse::Keys;

/// Nothing depends on being woken: this often the world is looked at anyway.
const POLL: Duration = Duration::from_secs(1);
/// A leader that is silent for so long has lost the lead.
const LEADER_TTL: Duration = Duration::from_secs(15);
/// Between two looks at whether everything has stopped.
const DRAIN_POLL: Duration = Duration::from_millis(100);

/// What the loop remembers between activations.
#[derive(Debug, Default)]
pub struct Memory {
    reachable: Reachable,
    keys: Keys,
    turns: Turns,
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
    let pulse = tokio::spawn(reachable::pulse(app.clone(), memory.reachable.clone()));
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
    pulse.abort();
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
            memory.reachable.forget();
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
        memory.reachable.forget();
        return Ok(Activation { is_follower: true, ..Activation::default() });
    };
    let rows = {
        let mut tx = store::snapshot(&app.store.db).await?;
        let rows = world::load(&mut tx, &app.pools.ids()).await.context("cannot read the runs")?;
        let originals = reuse::originals(&mut tx, &rows, &mut memory.keys).await;
        Rows { originals: originals.context("cannot look for results")?, ..rows }
    };
    let reports_since = memory.reachable.since(rows.now, app.lease_ms);
    let sights = observe(app, &rows).await;
    let world = world_of(app, &rows, &sights, reports_since);

    let plan = scheduler::plan(&world);
    let told = explain(app, &rows, &sights, &plan).await;
    if !plan.steps.is_empty() {
        kill_point(KillPoint::PlannedStored);
    }
    let steps = commit(app, proof, &rows, (&plan, &told)).await.context("cannot store the plan")?;
    let Some(steps) = steps else {
        // whoever leads now has a plan of its own
        memory.reachable.forget();
        return Ok(Activation { is_follower: true, ..Activation::default() });
    };
    if !plan.actions.is_empty() {
        kill_point(KillPoint::StepsCommittedPerformed);
    }
    perform(app, &rows, &plan.actions).await?;
    clear(app, proof).await?;
    calendar::turn(app, proof).await;
    memory.turns.take(app, proof).await;
    Ok(Activation { steps, actions: plan.actions.len(), is_follower: false })
}

fn key(run: scheduler::RunId, attempt: Attempt) -> AttemptKey {
    AttemptKey { run: RunId(Uuid::from_u128(run.0)), attempt: attempt.0 }
}

/// All in one transaction that holds the lead; each step is guarded by the version that it was
/// planned from. Returns how many were written; none: another controller leads.
async fn commit(
    app: &App,
    proof: LeaderProof,
    rows: &Rows,
    (plan, explained): (&Plan, &[Explained]),
) -> anyhow::Result<Option<usize>> {
    let mut tx = app.store.begin().await?;
    if !leader::hold(&mut *tx, proof).await? {
        return Ok(None);
    }
    // a sweep before its runs, in the order that apply locks them in
    for sweep in &plan.pauses {
        pause(&mut tx, Uuid::from_u128(sweep.0)).await?;
    }
    let linked = reuse::hold(&mut tx, rows, plan).await?;
    let mut written = 0;
    let mut moved = Vec::new();
    for ((id, event), Explained { told, output }) in plan.steps.iter().zip(explained) {
        let found = &rows.runs[id];
        let original = linked.get(id);
        if *event == Event::Reuse && original.is_none() {
            continue;
        }
        if world::commit(&mut tx, rows.now, found, told).await? {
            written += 1;
            moved.push(SweepId(Uuid::from_u128(found.run.spec.sweep.0)));
            info!(run.id = %Uuid::from_u128(id.0), "{}: {event}", found.run.spec.name);
            if let Some(original) = original {
                reuse::link(&mut tx, RunId(Uuid::from_u128(id.0)), *original).await?;
            }
            if let Some(attempt) = event.attempt().filter(|_| !output.is_empty()) {
                let key = key(*id, attempt);
                let number = key.attempt.cast_signed();
                store::attempt::set_output(&mut *tx, key.run, number, output).await?;
            }
        }
    }
    if !app.is_draining() {
        let runs: Vec<Uuid> = plan.waiting.iter().map(|(id, _)| Uuid::from_u128(id.0)).collect();
        let why: Vec<String> =
            plan.waiting.iter().map(|(_, waiting)| waiting.to_string()).collect();
        let is_held_back = |waiting: &Waiting| matches!(waiting, Waiting::HeldBack { .. });
        let held_back: Vec<bool> =
            plan.waiting.iter().map(|(_, waiting)| is_held_back(waiting)).collect();
        store::run::explain(&mut tx, &runs, &why, &held_back).await?;
    }
    for sweep in &plan.spent {
        if store::sweep_use::spent(&mut *tx, Uuid::from_u128(sweep.0)).await? {
            outbox::paused(&mut *tx, Uuid::from_u128(sweep.0), Limit::GpuHours).await?;
        }
    }
    outbox::ended(&mut tx, &moved).await?;
    if 0 < written {
        kill_point(KillPoint::StepsStoredCommitted);
    }
    tx.commit().await?;
    if 0 < written + plan.pauses.len() + plan.spent.len() {
        // what others wait for may be something else by now
        app.news.tell_all();
    }
    Ok(Some(written))
}

async fn pause(tx: &mut PgConnection, sweep: Uuid) -> Result<(), sqlx::Error> {
    if store::sweep_use::pause_failing(&mut *tx, sweep).await? {
        outbox::paused(tx, sweep, Limit::SameError).await?;
        info!(sweep.id = %sweep, "paused a sweep whose runs fail alike");
    }
    Ok(())
}

/// Asks every attempt that would die with this controller to save a checkpoint, and waits until all
/// are gone. Nothing new is placed.
pub async fn drain(app: &App) {
    app.begin_draining();
    loop {
        match ask_to_stop(app).await {
            Ok(0) => return,
            Ok(_) => kill_point(KillPoint::AskedGone),
            Err(failure) => warn!("could not ask the workers to stop: {failure:#}"),
        }
        app.wake.notify_one();
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Returns how many attempts there are still.
async fn ask_to_stop(app: &App) -> anyhow::Result<usize> {
    let mut tx = app.store.begin().await?;
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
