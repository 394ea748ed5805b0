//! What has been trained is not trained again: queued runs of sweeps with `reuse` get the results of other
//! runs, if there are any by the time their needs have succeeded.
//!
//! Only the heads of queues are looked at, and the key of a run is made once: a wake costs the same however
//! many runs are queued.

use std::collections::{BTreeMap, HashMap};

use assay_api::RunId;
use assay_api::result_key::result_key;
use assay_api::spec::{RunSpec, Task};
use assay_scheduler::{self as scheduler, Event, Plan};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::apply::{Later, Weights};
use crate::attempt::{base_run, datasets};
use crate::store;
use crate::store::reuse::{self, Linked, Original, Wanted};
use crate::store::run::NeededResult;
use crate::store::world::Rows;

/// The keys of queued runs, with the version of the run that each was made at: data that is given up for other
/// moves the version of all that waits for it. None: its result has no key.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<scheduler::RunId, (i64, Option<String>)>);

type Originals = BTreeMap<scheduler::RunId, Original>;

/// The runs that have trained what some of these runs want.
pub(super) async fn originals(
    tx: &mut PgConnection,
    rows: &Rows,
    Keys(keys): &mut Keys,
) -> anyhow::Result<Originals> {
    let may_be = |id: &scheduler::RunId| rows.runs.get(id).filter(|found| found.may_be_reused);
    keys.retain(|id, (version, _)| may_be(id).is_some_and(|found| found.version == *version));
    let all = rows.runs.iter().filter(|(_, found)| found.may_be_reused);
    let new = all.clone().filter(|(id, _)| !keys.contains_key(id));
    let new: BTreeMap<_, _> = new.map(|(id, found)| (*id, found.version)).collect();
    if !new.is_empty() {
        for (id, key) in make(tx, rows, &new).await? {
            keys.insert(id, (new[&id], key));
        }
    }
    let wanted = keys.iter().filter_map(|(id, (_, key))| Some((uuid(*id), key.clone()?)));
    let (runs, wanted): (Vec<Uuid>, Vec<String>) = wanted.unzip();
    if runs.is_empty() {
        return Ok(Originals::new());
    }
    let found = reuse::originals(tx, (&runs, &wanted)).await?;
    Ok(found.into_iter().map(|of| (scheduler::RunId(of.for_run_id.as_u128()), of)).collect())
}

async fn make(
    tx: &mut PgConnection,
    rows: &Rows,
    new: &BTreeMap<scheduler::RunId, i64>,
) -> anyhow::Result<Vec<(scheduler::RunId, Option<String>)>> {
    let needs = |id: &scheduler::RunId| rows.needs.get(id).into_iter().flatten();
    let needed: Vec<Uuid> = new.keys().flat_map(needs).map(|need| uuid(need.run)).collect();
    let results = store::run::results(&mut *tx, &needed).await?;
    let results: HashMap<Uuid, NeededResult> =
        results.into_iter().map(|result| (result.run_id, result)).collect();
    let runs: Vec<Uuid> = new.keys().map(|id| uuid(*id)).collect();
    let mut keys = Vec::with_capacity(new.len());
    for wanted in reuse::wanted(&mut *tx, &runs).await? {
        let id = scheduler::RunId(wanted.run_id.as_u128());
        let results = needs(&id).filter_map(|need| results.get(&uuid(need.run)).cloned());
        keys.push((id, key_of(&wanted, &results.collect::<Vec<_>>())?));
    }
    Ok(keys)
}

/// The key that its worker would record.
fn key_of(wanted: &Wanted, results: &[NeededResult]) -> anyhow::Result<Option<String>> {
    let RunSpec::Train(train) = serde_json::from_value(wanted.spec.clone())? else {
        return Ok(None);
    };
    let data = datasets(&train, results)?;
    if data.len() < train.data.sources.len() {
        return Ok(None);
    }
    let base = base_run(results, wanted.of_run_id).map(|base| base.fingerprint.as_str());
    Ok(result_key(&wanted.point, &data, (&train.model, base)))
}

/// Holds what the plan links, before anything is written. Returns the runs that can be linked, with the one
/// that trained each.
pub(super) async fn hold(
    tx: &mut PgConnection,
    rows: &Rows,
    plan: &Plan,
) -> Result<BTreeMap<scheduler::RunId, Uuid>, sqlx::Error> {
    let reused = plan.steps.iter().filter(|(_, event)| *event == Event::Reuse);
    let links: BTreeMap<Uuid, Uuid> =
        reused.filter_map(|(id, _)| Some((uuid(*id), rows.originals.get(id)?.run_id))).collect();
    if links.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (runs, originals): (Vec<Uuid>, Vec<Uuid>) = links.iter().unzip();
    let held = reuse::hold(tx, (&runs, &originals)).await?;
    Ok(held.into_iter().map(|run| (scheduler::RunId(run.as_u128()), links[&run])).collect())
}

/// Links a run that has just ended to the one that trained it. Tasks that this one was not scored on are
/// scored by a run of their own, as if they had been added later.
pub(super) async fn link(tx: &mut PgConnection, run: RunId, original: Uuid) -> anyhow::Result<()> {
    reuse::link(tx, run, original).await?;
    let linked = reuse::linked(&mut *tx, run).await?;
    let RunSpec::Train(train) = serde_json::from_value(linked.spec.clone())? else {
        return Ok(());
    };
    let Linked { point, label, .. } = &linked;
    let slots = linked.slots.unsigned_abs();
    let weights = Weights { run: run.0, point, label, train: &train, merge: None, slots };
    let is_known = |name: &str, _: &Task| linked.scored.iter().any(|known| known == name);
    let Some(later) = Later::score(weights, vec![run.0], is_known) else { return Ok(()) };
    let place = (linked.number_max + 1, linked.queue_order_max + 1, linked.priority);
    let new = later.run(place, true, "queued to score what is reused");
    let sweep = assay_api::SweepId(linked.sweep_id);
    Ok(store::run::insert(tx, sweep, std::slice::from_ref(&new)).await?)
}

fn uuid(id: scheduler::RunId) -> Uuid {
    Uuid::from_u128(id.0)
}
