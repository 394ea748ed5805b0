//! Where attempts run.
//!
//! **Invariant:** a pool never writes SQL, and an empty answer and no answer are different things:
//! `observe` fails where the pool cannot be seen, and then nothing is planned for it.

pub mod local;

use std::collections::BTreeMap;
use std::fmt::Debug;

use assay_api::RunId;
use assay_api::view::{PoolHealth, PoolKind, PoolView};
use assay_scheduler::AttemptSeen;
use futures_util::future::BoxFuture;

/// One try at a run, as a pool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptKey {
    pub run: RunId,
    pub attempt: u32,
}

/// What stopping means for a worker that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: checkpoint, report, exit.
    Gracefully,
    /// What it did since its last checkpoint is not wanted, or it does not listen.
    AtOnce,
}

/// Every action is idempotent and may be lost: it is planned again.
pub trait Pool: Debug + Send + Sync {
    /// Unique among the pools of an installation.
    fn name(&self) -> &str;

    fn kind(&self) -> PoolKind;

    /// Slots.
    fn capacity(&self) -> u32;

    /// Every attempt that the pool has, alive or ended, until it is deleted.
    fn observe(&self) -> BoxFuture<'_, anyhow::Result<BTreeMap<AttemptKey, AttemptSeen>>>;

    /// Starts an attempt, unless it is there.
    fn ensure(&self, key: AttemptKey, secret: String) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Stops an attempt, if it is there and alive.
    fn stop(&self, key: AttemptKey, stop: Stop) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Forgets an attempt, stopping it at once if it is alive. Its output is kept.
    fn delete(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Whether the last `observe` succeeded, and why not.
    fn trouble(&self) -> Option<String>;

    fn view(&self, used: u32) -> PoolView {
        let why = self.trouble();
        let health = if why.is_none() { PoolHealth::Ok } else { PoolHealth::Unknown };
        let (name, kind, capacity) = (self.name().to_owned(), self.kind(), self.capacity());
        PoolView { name, kind, capacity, used, health, why }
    }
}
