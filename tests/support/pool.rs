//! A pool that is only a table: attempts begin when ensured, and end when a test says so.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_api::sweep::Resources;
use assay_api::view::PoolKind;
use assay_controller::pool::{AttemptKey, Claims, Left, Order, Pool, Refusal, Seen, Stop};
use assay_scheduler::{AttemptSeen, Exit, Time};
use futures_util::future::BoxFuture;
use uuid::Uuid;

#[derive(Debug)]
pub struct FakePool {
    slots: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    attempts: BTreeMap<AttemptKey, AttemptSeen>,
    stops: Vec<(AttemptKey, Stop)>,
    started: Vec<AttemptKey>,
    is_unreachable: bool,
    cleared: Vec<Left>,
    aside: BTreeMap<Uuid, Left>,
}

impl FakePool {
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { slots, state: Mutex::default() }
    }

    /// Every attempt that was ever begun, in order.
    #[must_use]
    pub fn started(&self) -> Vec<AttemptKey> {
        self.state().started.clone()
    }

    /// What was asked to stop, and how.
    #[must_use]
    pub fn stops(&self) -> Vec<(AttemptKey, Stop)> {
        self.state().stops.clone()
    }

    /// Attempts that the pool still has, alive or ended.
    #[must_use]
    pub fn attempts(&self) -> Vec<AttemptKey> {
        self.state().attempts.keys().copied().collect()
    }

    /// An attempt's process ends.
    pub fn end(&self, key: AttemptKey, exit: Exit) {
        self.show(key, AttemptSeen::Ended { exit });
    }

    /// What the pool shows of an attempt from now on.
    pub fn show(&self, key: AttemptKey, seen: AttemptSeen) {
        self.state().attempts.insert(key, seen);
    }

    /// The pool forgets an attempt, as a lost node does.
    pub fn lose(&self, key: AttemptKey) {
        self.state().attempts.remove(&key);
    }

    /// What was deleted of its storage, in order.
    #[must_use]
    pub fn cleared(&self) -> Vec<Left> {
        self.state().cleared.clone()
    }

    pub fn set_unreachable(&self, is_unreachable: bool) {
        self.state().is_unreachable = is_unreachable;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool for FakePool {
    fn name(&self) -> &str {
        "local"
    }

    fn kind(&self) -> PoolKind {
        PoolKind::Local
    }

    fn capacity(&self) -> u32 {
        self.slots
    }

    fn outlives_controller(&self) -> bool {
        false
    }

    fn refusals(&self, _resources: &Resources) -> Vec<Refusal> {
        Vec::new()
    }

    fn cannot_read(&self, _path: &str) -> Option<String> {
        None
    }

    fn observe<'a>(
        &'a self,
        _claimed: &'a Claims,
    ) -> BoxFuture<'a, anyhow::Result<BTreeMap<AttemptKey, Seen>>> {
        Box::pin(async {
            anyhow::ensure!(!self.state().is_unreachable, "no route to the pool");
            let attempts = self.state().attempts.clone();
            Ok(attempts.into_iter().map(|(key, seen)| (key, seen.into())).collect())
        })
    }

    fn ensure(&self, order: Order) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let key = order.key;
            let mut state = self.state();
            let State { attempts, started, .. } = &mut *state;
            attempts.entry(key).or_insert_with(|| {
                started.push(key);
                AttemptSeen::Running { since: Time(0) }
            });
            Ok(())
        })
    }

    /// The process is told, and does nothing: a test ends it.
    fn stop(&self, key: AttemptKey, stop: Stop) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            self.state().stops.push((key, stop));
            Ok(())
        })
    }

    fn delete(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            self.state().attempts.remove(&key);
            Ok(())
        })
    }

    fn last_words(&self, _key: AttemptKey) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn storage_elsewhere(&self) -> Option<String> {
        None
    }

    fn set_aside(&self, left: Left, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            anyhow::ensure!(!self.state().is_unreachable, "the disk is away");
            self.state().aside.insert(name, left);
            Ok(())
        })
    }

    fn clear_aside(&self, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let mut state = self.state();
            let left = state.aside.remove(&name);
            state.cleared.extend(left);
            Ok(())
        })
    }

    fn trouble(&self) -> Option<String> {
        self.state().is_unreachable.then(|| "no route to the pool".to_owned())
    }
}
