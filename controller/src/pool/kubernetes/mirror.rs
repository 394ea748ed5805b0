//! A copy of what a cluster has of one kind, kept by a watch. It informs; before anything is
//! concluded from an absence, the cluster is asked.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, pin_mut};
use kube::runtime::reflector::{Lookup, Store, store::Writer};
use kube::runtime::watcher::{self, Event};

/// Between a failure and the next try: a watch goes on from where it was, or lists again.
const RETRY: Duration = Duration::from_secs(1);
/// The same for what may not be there or not be allowed.
const RETRY_OPTIONAL: Duration = Duration::from_secs(30);
/// A watch is asked for anew this often, in seconds: a connection that died silently is noticed then.
const WATCH_S: u32 = 60;

pub(super) struct Mirror<K: Lookup + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    standing: Arc<Standing>,
}

/// How the watch is doing.
#[derive(Debug, Default)]
struct Standing {
    /// It has listed everything once.
    is_whole: AtomicBool,
    /// The last failure.
    failure: Mutex<Option<String>>,
}

pub(super) fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_S)
}

impl<K> Mirror<K>
where
    K: Lookup + Clone + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug + Send + Sync,
{
    /// `heed` sees every event after it is in the copy. The watch ends with the runtime.
    pub(super) fn of(
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        heed: impl Fn(&Event<K>) + Send + 'static,
    ) -> Self
    where
        K::DynamicType: Default,
    {
        Self::begin(K::DynamicType::default(), events, heed, RETRY)
    }

    /// Of a kind that may not be there, or that nobody may look at.
    pub(super) fn of_optional(
        kind: K::DynamicType,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    ) -> Self {
        Self::begin(kind, events, |_| (), RETRY_OPTIONAL)
    }

    fn begin(
        kind: K::DynamicType,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        heed: impl Fn(&Event<K>) + Send + 'static,
        retry: Duration,
    ) -> Self {
        let writer = Writer::new(kind);
        let (store, standing) = (writer.as_reader(), Arc::new(Standing::default()));
        tokio::spawn(follow(events, writer, standing.clone(), (heed, retry)));
        Self { store, standing }
    }

    pub(super) fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// Whether everything was listed once.
    pub(super) fn is_whole(&self) -> bool {
        self.standing.is_whole.load(Ordering::Relaxed)
    }

    /// The watch's last failure.
    pub(super) fn failure(&self) -> Option<String> {
        self.standing.failure().clone()
    }
}

impl Standing {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    mut writer: Writer<K>,
    standing: Arc<Standing>,
    (heed, retry): (impl Fn(&Event<K>), Duration),
) where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                writer.apply_watcher_event(&event);
                if matches!(event, Event::InitDone) {
                    standing.is_whole.store(true, Ordering::Relaxed);
                    *standing.failure() = None;
                }
                heed(&event);
            }
            Err(error) => {
                let text = super::words(&anyhow::Error::from(error));
                tracing::debug!("a watch failed and is begun again: {text}");
                *standing.failure() = Some(text);
                tokio::time::sleep(retry).await;
            }
        }
    }
}
