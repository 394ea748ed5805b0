//! Sends what the spool holds, and hears what is wanted. Runs beside training, for ever if need be.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use assay_api::client::{Error, WorkerClient};
use assay_api::worker::limits::REPORTS_MAX;
use assay_api::worker::{Report, ReportRequest, Wish};
use assay_api::{InstanceId, KillPoint, kill_point};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::portion;
use crate::spool::Spool;

/// As often as a page can use it.
const PACE: Duration = Duration::from_millis(500);
/// About so many bytes in one request.
const BATCH_BYTES: usize = 1 << 20;
const BACK_OFF_MIN: Duration = Duration::from_millis(500);
/// A controller that comes back after a long time is not stormed, and is heard soon.
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// Reports of earlier attempts that a checkpoint carried, and that must still be sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    pub attempt: u32,
    pub reports: Vec<Report>,
}

/// How sending ended, or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Sending,
    /// The attempt is not current: whatever it does is not wanted.
    Refused(String),
}

/// What the trainer's thread and the sender share.
#[derive(Debug)]
pub struct Shared {
    spool: Mutex<Spool>,
    carried: Mutex<Vec<Carried>>,
    /// Something was written, or nobody wants to wait any longer.
    written: Notify,
    wish: AtomicU8,
    /// SIGTERM or SIGINT came.
    is_terminated: AtomicBool,
    standing: watch::Sender<Standing>,
    /// Unacknowledged reports.
    open: watch::Sender<usize>,
}

impl Shared {
    #[must_use]
    pub fn new(spool: Spool) -> Arc<Self> {
        let open = spool.len();
        Arc::new(Self {
            spool: Mutex::new(spool),
            carried: Mutex::default(),
            written: Notify::new(),
            wish: AtomicU8::new(0),
            is_terminated: AtomicBool::new(false),
            standing: watch::Sender::new(Standing::Sending),
            open: watch::Sender::new(open),
        })
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carried(&self) -> MutexGuard<'_, Vec<Carried>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a checkpoint carried: it is sent before anything else.
    pub fn carry(&self, carried: Vec<Carried>) {
        *self.carried() = carried;
        self.count();
    }

    /// Writes a report down; the sender wakes.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub fn write(&self, report: Report) -> anyhow::Result<()> {
        for part in portion::portions(report) {
            self.spool().append(part).context("cannot write down a report")?;
        }
        kill_point(KillPoint::SpooledSent);
        self.count();
        self.written.notify_one();
        Ok(())
    }

    /// Everything not yet acknowledged, of this attempt and of those before it, as bytes for a
    /// checkpoint.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn unacknowledged(&self, attempt: u32) -> anyhow::Result<Vec<u8>> {
        let mut all = self.carried().clone();
        let reports = self.spool().oldest(usize::MAX)?;
        all.push(Carried { attempt, reports });
        all.retain(|carried| !carried.reports.is_empty());
        Ok(serde_json::to_vec(&all)?)
    }

    /// What is wanted now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        if *self.standing.borrow() != Standing::Sending {
            return Wish::Stop;
        }
        match (self.wish.load(Ordering::Relaxed), self.is_terminated()) {
            (2, _) => Wish::Stop,
            (1, _) | (_, true) => Wish::CheckpointAndStop,
            _ => Wish::Continue,
        }
    }

    fn hear(&self, wish: Wish) {
        let code = match wish {
            Wish::Continue => 0,
            Wish::CheckpointAndStop => 1,
            Wish::Stop => 2,
        };
        self.wish.store(code, Ordering::Relaxed);
    }

    pub fn terminate(&self) {
        self.is_terminated.store(true, Ordering::Relaxed);
        self.written.notify_one();
    }

    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.is_terminated.load(Ordering::Relaxed)
    }

    pub fn refuse(&self, why: String) {
        self.standing.send_replace(Standing::Refused(why));
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    fn count(&self) {
        let open = self.spool().len() + self.carried().len();
        self.open.send_replace(open);
    }

    /// Waits until everything is acknowledged, the attempt is refused, or `patience` is over.
    pub async fn flushed(&self, patience: Duration) {
        let (mut open, mut standing) = (self.open.subscribe(), self.standing.subscribe());
        self.written.notify_one();
        let ended = async {
            tokio::select! {
                _ = open.wait_for(|open| *open == 0) => (),
                _ = standing.wait_for(|standing| *standing != Standing::Sending) => (),
            }
        };
        let _in_time = timeout(patience, ended).await;
    }
}

/// Sends until the attempt is refused. `lease`: silence is borne for so long.
pub async fn send(
    shared: Arc<Shared>,
    client: WorkerClient,
    instance: InstanceId,
    lease: Duration,
) {
    let mut back_off = Duration::ZERO;
    let mut heard_at = Instant::now();
    let sign_of_life = lease / 4;
    loop {
        if shared.open.borrow().eq(&0) {
            let quiet = sign_of_life.saturating_sub(heard_at.elapsed());
            let _woken = timeout(quiet, shared.written.notified()).await;
        }
        sleep(if back_off.is_zero() { PACE } else { back_off }).await;
        match send_once(&shared, &client, instance).await {
            Ok(()) => {
                (back_off, heard_at) = (Duration::ZERO, Instant::now());
            }
            Err(SendError::Client(error)) if !error.is_passing() => {
                shared.refuse(error.to_string());
                return;
            }
            Err(_) => back_off = longer(back_off, instance),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
}

/// One request: what an earlier attempt left comes first.
async fn send_once(
    shared: &Shared,
    client: &WorkerClient,
    instance: InstanceId,
) -> Result<(), SendError> {
    let earlier = shared.carried().first().map(|first| (first.attempt, oldest(&first.reports)));
    let (carried, reports) = match earlier {
        Some((attempt, reports)) => (Some(attempt), reports),
        None => {
            let mut reports = shared.spool().oldest(BATCH_BYTES)?;
            reports.truncate(REPORTS_MAX);
            (None, reports)
        }
    };
    let n = reports.len();
    let answer = client.report(&ReportRequest { instance, carried, reports }).await?;
    // heard before what it came with counts as sent: whoever waits for the one has the other
    shared.hear(answer.wish);
    kill_point(KillPoint::HeardAcknowledged);
    if carried.is_some() {
        let mut earlier = shared.carried();
        earlier[0].reports.drain(..n);
        if earlier[0].reports.is_empty() {
            earlier.remove(0);
        }
    } else {
        shared.spool().acknowledge(answer.seq_stored)?;
    }
    shared.count();
    Ok(())
}

/// As many as fit into one request, at least one: a checkpoint carries days of them if need be.
fn oldest(reports: &[Report]) -> Vec<Report> {
    let mut bytes = 0;
    let fits = |(index, report): &(usize, &Report)| {
        bytes += serde_json::to_vec(report).map_or(0, |json| json.len());
        *index == 0 || (bytes <= BATCH_BYTES && *index < REPORTS_MAX)
    };
    reports.iter().enumerate().take_while(fits).map(|(_, report)| report.clone()).collect()
}

/// Doubles, up to the longest; workers of one sweep spread by their instances.
fn longer(back_off: Duration, instance: InstanceId) -> Duration {
    let doubled = (back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
    let spread = u64::from(instance.0.as_bytes()[15]);
    doubled + Duration::from_millis(spread)
}

/// Asks again while nothing answers; gives up on a refusal, or when told to leave.
///
/// # Errors
/// The refusal, or the last failure before it was told to leave.
pub async fn insist<T, F: Future<Output = Result<T, Error>>>(
    shared: &Shared,
    instance: InstanceId,
    mut ask: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut back_off = Duration::ZERO;
    loop {
        match ask().await {
            Err(error) if error.is_passing() && !shared.is_terminated() => {
                back_off = longer(back_off, instance);
                let _woken = timeout(back_off, shared.written.notified()).await;
            }
            done => return done,
        }
    }
}
