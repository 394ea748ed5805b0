//! What was committed by this controller, told to its open streams: which sweeps have news, not what it is.
//! A stream reads that for itself, and looks now and then untold: other controllers of the same database
//! tell it of nothing, as a notification with each report would make Postgres commit one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use assay_api::SweepId;
use tokio::sync::watch;

/// Cheap to clone; one per controller.
#[derive(Clone, Debug, Default)]
pub struct News {
    readers: Arc<Mutex<HashMap<SweepId, watch::Sender<()>>>>,
}

impl News {
    /// Changes whenever there is news of this sweep from now on.
    #[must_use]
    pub fn of(&self, sweep: SweepId) -> watch::Receiver<()> {
        let mut readers = self.readers();
        readers.retain(|_, reader| !reader.is_closed());
        readers.entry(sweep).or_default().subscribe()
    }

    /// After the commit: whoever looks before sees nothing.
    pub fn tell(&self, sweep: SweepId) {
        if let Some(reader) = self.readers().get(&sweep) {
            reader.send_replace(());
        }
    }

    /// For what is rare and may be about several sweeps.
    pub fn tell_all(&self) {
        for reader in self.readers().values() {
            reader.send_replace(());
        }
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<SweepId, watch::Sender<()>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
