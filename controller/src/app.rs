//! What handlers and loops share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use assay_api::view::LoopView;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::access::provider::Provider;
use crate::http::limits::STREAMS_MAX;
use crate::news::News;
use crate::pool::Pools;
use crate::retention::Retention;
use crate::secret::InstallationKey;
use crate::store::Store;
use crate::webhook::address::Reach;

/// Cheap to clone; one per controller.
#[derive(Clone, Debug)]
pub struct App {
    pub store: Store,
    pub pools: Pools,
    pub key: InstallationKey,
    /// Names this controller among others of the same database.
    pub name: String,
    /// Who is served.
    pub access: Arc<Access>,
    /// Where people log in as themselves.
    pub provider: Option<Arc<Provider>>,
    /// Where webhooks may lead.
    pub reach: Reach,
    /// How long a worker may be silent.
    pub lease_ms: u64,
    /// How long what grows is kept.
    pub retention: Retention,
    /// The folder that relative paths start from where a request names none.
    pub folder: String,
    pub shutdown: CancellationToken,
    pub wake: Arc<Notify>,
    pub activation: Arc<Mutex<LoopView>>,
    /// Nothing new is placed: the controller is about to stop.
    pub draining: Arc<AtomicBool>,
    /// A permit for each stream that may be open.
    pub streams: Arc<Semaphore>,
    /// Tells them.
    pub news: News,
}

/// What [`App::streams`] begins with.
#[must_use]
pub fn stream_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(STREAMS_MAX))
}

impl App {
    /// Wakes the loop, here and in every other controller.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn wake(&self) -> Result<(), sqlx::Error> {
        self.wake.notify_one();
        self.store.notify().await
    }

    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn last_activation(&self) -> LoopView {
        self.activation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn record_activation(&self, view: LoopView) {
        *self.activation.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}
