//! What the pools show, beside what the rows say.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_scheduler::{self as scheduler, Attempt, Observed, Pause, PoolId, State, Time, World};
use futures_util::future::join_all;

use super::key;
use crate::app::App;
use crate::pool::{AttemptKey, Claim, Claims, Pool, Seen};
use crate::store::world::Rows;

/// A pool that does not answer for so long is unknown, and the others do not wait for it any longer.
const OBSERVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What each pool shows, or why it shows nothing.
pub(super) type Sights = BTreeMap<PoolId, Result<BTreeMap<AttemptKey, Seen>, String>>;

/// Rows first, pools after: what is planned from a row that has moved since is refused.
pub(super) async fn observe(app: &App, rows: &Rows) -> Sights {
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

pub(super) fn world_of(app: &App, rows: &Rows, sights: &Sights, reports_since: Time) -> World {
    let mut sweeps = rows.sweeps.clone();
    if app.is_draining() {
        sweeps.values_mut().for_each(|sweep| sweep.pause = sweep.pause.or(Some(Pause::Placing)));
    }
    let pools = app.pools.each().map(|(id, pool)| (id, pool_of(app, &**pool, &sights[&id])));
    World {
        now: rows.now,
        reports_since,
        runs: rows.runs.iter().map(|(id, found)| (*id, found.run.clone())).collect(),
        needs: rows.needs.clone(),
        canaries: rows.canaries.clone(),
        reusable: rows.originals.keys().copied().collect(),
        sweeps,
        pools: pools.collect(),
        quotas: rows.quotas.clone(),
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
