//! The plan's actions: idempotent, and a lost one is planned again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_scheduler::{Action, State, Urgency, Verb};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tracing::warn;
use uuid::Uuid;

use super::key;
use crate::app::App;
use crate::pool::{Order, Pool, Stop};
use crate::store;
use crate::store::world::Rows;

/// An action that takes longer is given up, and planned again.
const ACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests to one pool at a time: more would only wait in its API server's queue.
const ACTIONS_AT_ONCE: usize = 8;

/// What pools must know of runs whose attempts they create.
type Orders = BTreeMap<Uuid, store::run::Ordered>;

/// Pools side by side, so that a slow one holds up no other.
pub(super) async fn perform(app: &App, rows: &Rows, actions: &[Action]) -> anyhow::Result<()> {
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
