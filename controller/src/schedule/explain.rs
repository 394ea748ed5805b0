//! The plan's steps in the words of everybody who knows something of them.

use std::time::Duration;

use assay_scheduler::{self as scheduler, Attempt, Event, Pause, Plan};
use futures_util::future::join_all;
use tracing::warn;

use super::key;
use super::observe::Sights;
use crate::app::App;
use crate::store::world::{Rows, Told};

/// Reading what a process printed last is worth so much of everybody's time.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(3);

/// A step as it is told, and what the attempt's process printed last.
pub(super) struct Explained {
    pub(super) told: Told,
    pub(super) output: Vec<String>,
}

/// Each step of the plan, in its order, in the words of everybody who knows something of it.
pub(super) async fn explain(
    app: &App,
    rows: &Rows,
    sights: &Sights,
    plan: &Plan,
) -> Vec<Explained> {
    let told = plan.steps.iter().map(|(id, event)| async move {
        let told = in_words(rows, sights, *id, *event);
        let output = if let Event::Lost { attempt, .. } = event {
            last_words(app, rows, *id, *attempt).await
        } else {
            Vec::new()
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
        // the loop asks for room for one of two reasons
        Event::Preempt => {
            let sweep = rows.sweeps.get(&rows.runs[&id].run.spec.sweep);
            let is_paused = sweep.is_some_and(|sweep| sweep.pause == Some(Pause::Running));
            let why = if is_paused { "is paused" } else { "has used its GPU hours" };
            Told { reason: Some(format!("asked to checkpoint: its sweep {why}")), ..told }
        }
        Event::Lost { attempt, .. } | Event::Gone { attempt } => {
            let sight =
                sights.get(&rows.runs[&id].run.spec.pool).and_then(|seen| seen.as_ref().ok());
            let seen = sight.and_then(|seen| seen.get(&key(id, attempt)));
            Told { detail: seen.and_then(|seen| seen.told.clone()), ..told }
        }
        Event::Reuse => {
            let original = rows.originals.get(&id);
            Told { reason: original.map(|of| format!("reused from {}", of.name)), ..told }
        }
        Event::Place
        | Event::Start { .. }
        | Event::CheckpointAccepted { .. }
        | Event::Finish { .. }
        | Event::Cancel
        | Event::StopEarly
        | Event::Retry
        | Event::Renew
        | Event::NeedRetried => told,
    }
}
