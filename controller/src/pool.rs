//! Where attempts run.
//!
//! **Invariant:** a pool never writes SQL, and an empty answer and no answer are different things:
//! `observe` fails where the pool cannot be seen, and then nothing is planned for it.

pub mod file;
pub mod kubernetes;
pub mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use assay_api::RunId;
use assay_api::spec::Engine;
use assay_api::sweep::Resources;
use assay_api::view::{PoolHealth, PoolKind, PoolView};
use assay_scheduler::{AttemptSeen, Patience, PoolId};
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// Lines of output that say how a process ended.
pub const LAST_WORDS: usize = 20;

/// One try at a run, as a pool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptKey {
    pub run: RunId,
    pub attempt: u32,
}

/// Attempts that runs lay claim to.
pub type Claims = BTreeMap<AttemptKey, Claim>;

/// How far a claimed attempt is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Its worker has not spoken.
    Placed,
    /// Its worker has spoken, or it is on its way out.
    Begun,
}

/// An attempt that should exist.
#[derive(Clone)]
pub struct Order {
    pub key: AttemptKey,
    /// The bearer token of its worker.
    pub secret: String,
    pub sweep: String,
    /// The run's number in its sweep.
    pub number: u32,
    pub slots: u32,
    pub resources: Resources,
}

impl Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, sweep, number, slots, resources, .. } = self;
        let mut shown = f.debug_struct("Order");
        shown.field("key", key).field("run", &format!("{sweep}/{number}")).field("slots", slots);
        shown.field("resources", resources).finish_non_exhaustive()
    }
}

/// An attempt as its pool shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub what: AttemptSeen,
    /// What it takes, where the pool remembers it.
    pub slots: Option<u32>,
    /// Where it is, how it ended and what to do about that, for people.
    pub told: Option<String>,
}

impl From<AttemptSeen> for Seen {
    fn from(what: AttemptSeen) -> Self {
        Self { what, slots: None, told: None }
    }
}

/// What stopping means for a worker that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: checkpoint, report, exit.
    Gracefully,
    /// What it did since its last checkpoint is not wanted, or it does not listen.
    AtOnce,
}

/// What runs leave in a pool's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// A run's checkpoints and the output of its processes.
    Run(RunId),
    /// The dataset of a `prepare` run's point.
    Dataset(String),
}

/// Something that a pool does not give: where it stands in the sweep file, what stands there, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub path: &'static str,
    pub value: String,
    pub why: String,
}

/// Every action is idempotent and may be lost: it is planned again.
pub trait Pool: Debug + Send + Sync {
    /// Unique among the pools of an installation.
    fn name(&self) -> &str;

    fn kind(&self) -> PoolKind;

    /// Why none of its workers has such an engine, where that can be known.
    fn cannot_compute(&self, _engine: Engine) -> Option<String> {
        None
    }

    /// What `engine: auto` means here.
    fn engine(&self) -> Engine {
        Engine::CpuF32
    }

    /// Slots.
    fn capacity(&self) -> u32;

    /// How long what cannot begin is waited for.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// How long an attempt that was asked to stop may take to save a checkpoint.
    fn grace(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Whether its attempts go on when the controller stops in an orderly way.
    fn outlives_controller(&self) -> bool;

    /// Whether the first run of each shape goes ahead where a sweep does not say so.
    fn has_canaries(&self) -> bool {
        self.kind() == PoolKind::Kubernetes
    }

    /// What of a sweep's wishes it does not give.
    fn refusals(&self, resources: &Resources) -> Vec<Refusal>;

    /// Why its workers cannot read a file, if they cannot.
    fn cannot_read(&self, path: &str) -> Option<String>;

    /// Every attempt that the pool has, alive or ended, until it is deleted. That one of the claimed
    /// ones is absent is said only after the pool was asked for that one itself.
    fn observe<'a>(
        &'a self,
        claimed: &'a Claims,
    ) -> BoxFuture<'a, anyhow::Result<BTreeMap<AttemptKey, Seen>>>;

    /// Creates what is missing of an attempt.
    fn ensure(&self, order: Order) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Stops an attempt, if it is there and alive.
    fn stop(&self, key: AttemptKey, stop: Stop) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Forgets an attempt, stopping it if it is alive. Its output is kept for a while.
    fn delete(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<()>>;

    /// The last lines that its process printed: at most [`LAST_WORDS`].
    fn last_words(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<Vec<String>>>;

    /// Where its storage lies, if the controller does not reach it: its files stay there.
    fn storage_elsewhere(&self) -> Option<String>;

    /// Moves something to where nobody looks for it, under this name. What was moved before is no
    /// error.
    fn set_aside(&self, left: Left, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Deletes what was set aside under this name, if it is there.
    fn clear_aside(&self, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Why the pool cannot be seen, if it cannot.
    fn trouble(&self) -> Option<String>;

    fn view(&self, used: u32) -> PoolView {
        let why = self.trouble();
        let health = if why.is_none() { PoolHealth::Ok } else { PoolHealth::Unknown };
        let (name, kind, capacity) = (self.name().to_owned(), self.kind(), self.capacity());
        PoolView { name, kind, capacity, used, health, why }
    }
}

/// The pools of this controller; at least one.
#[derive(Clone, Debug)]
pub struct Pools(Arc<[Arc<dyn Pool>]>);

impl Pools {
    /// # Errors
    /// There is none, or two have one name.
    pub fn new(pools: Vec<Arc<dyn Pool>>) -> anyhow::Result<Self> {
        anyhow::ensure!(!pools.is_empty(), "there is no pool: give `--slots` or `--pools`");
        let mut names = BTreeSet::new();
        for pool in &pools {
            let name = pool.name();
            anyhow::ensure!(names.insert(name), "two pools are called `{name}`");
        }
        Ok(Self(pools.into()))
    }

    /// With the ids that the scheduler knows them by.
    pub fn each(&self) -> impl Iterator<Item = (PoolId, &Arc<dyn Pool>)> {
        (0..).map(PoolId).zip(self.0.iter())
    }

    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn Pool>> {
        self.0.iter().find(|pool| pool.name() == name)
    }

    pub(crate) fn get(&self, id: PoolId) -> Option<&Arc<dyn Pool>> {
        self.0.get(usize::from(id.0))
    }

    /// As people say them: `a`, `b` and `c`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|pool| pool.name().to_owned()).collect()
    }

    pub(crate) fn ids(&self) -> BTreeMap<String, PoolId> {
        self.each().map(|(id, pool)| (pool.name().to_owned(), id)).collect()
    }
}
