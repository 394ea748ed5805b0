//! Places between any two effects, where a test kills a process.
//!
//! `kill -9` comes at any instant, and what it leaves behind changes only with an effect: a file
//! written, a transaction committed, a process started. So there is a point between any two of them,
//! all listed here. A process that is told of one by a hidden option (`config` reads it) dies there;
//! every other process pays one load of an empty cell. `tests/it/kill.rs` walks over all of them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// Names the trap in the environment of a process, and of those that it starts.
pub const ENV: &str = "ASSAY_KILL_POINT";

/// Between two looks at whether a held process may go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

macro_rules! points {
    ($($name:ident = $word:literal,)*) => {
        /// Named for the effects before and after it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum KillPoint { $($name,)* }

        impl KillPoint {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

points! {
    // The controller begins …
    KeyWrittenNamed = "key-written-named",
    ClusterMadeNamed = "cluster-made-named",
    ServerSpawnedAnswers = "server-spawned-answers",
    DatabaseMadeMigrated = "database-made-migrated",
    // … is told of a sweep …
    ApplyStoredCommitted = "apply-stored-committed",
    ApplyCommittedAnswered = "apply-committed-answered",
    // … schedules its runs …
    PlannedStored = "planned-stored",
    StepsStoredCommitted = "steps-stored-committed",
    StepsCommittedPerformed = "steps-committed-performed",
    FolderMadeSpawned = "folder-made-spawned",
    SpawnedPerformed = "spawned-performed",
    // … and hears their workers.
    StartStoredCommitted = "start-stored-committed",
    StartCommittedAnswered = "start-committed-answered",
    ReportsStoredCommitted = "reports-stored-committed",
    ReportsCommittedAnswered = "reports-committed-answered",
    FinishStoredCommitted = "finish-stored-committed",
    FinishCommittedAnswered = "finish-committed-answered",
    FoldedTrimmed = "folded-trimmed",
    // What has ended is forgotten.
    EndedRenamed = "ended-renamed",
    RenamedRemoved = "renamed-removed",
    // A worker's parent.
    LockedSpawned = "locked-spawned",
    WorkerSpawnedNamed = "worker-spawned-named",
    BesideRenamed = "beside-renamed",
    WorkerNamedTold = "worker-named-told",
    WorkerEndedNoted = "worker-ended-noted",
    // A worker.
    AnsweredWorks = "answered-works",
    SpooledSent = "spooled-sent",
    HeardAcknowledged = "heard-acknowledged",
    WorkedFlushed = "worked-flushed",
    FlushedFinished = "flushed-finished",
    FinishedExits = "finished-exits",
    // What it leaves behind: a dataset …
    DraftWrittenNamed = "draft-written-named",
    VersionNamedNewest = "version-named-newest",
    // … and checkpoints.
    FilesWrittenNamed = "files-written-named",
    FilesNamedManifest = "files-named-manifest",
    ManifestWrittenNamed = "manifest-written-named",
    CheckpointReported = "checkpoint-reported",
    ManifestRemovedFiles = "manifest-removed-files",
    // Whatever may change something is written down before and after.
    AskedHandled = "asked-handled",
    HandledNoted = "handled-noted",
    // A sweep is deleted, and then its files.
    DeletionStoredCommitted = "deletion-stored-committed",
    DeletionCommittedAnswered = "deletion-committed-answered",
    StorageAsideOutput = "storage-aside-output",
    AsideNoted = "aside-noted",
    AsideNotedCleared = "aside-noted-cleared",
    ClearedForgotten = "cleared-forgotten",
    // What happened is told to others.
    ClaimedSent = "claimed-sent",
    SentNoted = "sent-noted",
    // The controller is told to stop.
    AskedGone = "asked-gone",
    GoneStopped = "gone-stopped",
}

impl FromStr for KillPoint {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|point| point.word() == word);
        named.copied().ok_or_else(|| format!("there is no kill point `{word}`"))
    }
}

/// One point where this process dies, or waits.
#[derive(Clone, Debug)]
pub struct Trap {
    point: KillPoint,
    /// At the nth passing, from 1.
    nth: u32,
    /// Made by the one process that falls into the trap: those that come after it pass.
    mark: PathBuf,
    /// It waits until the mark is gone again, instead of dying.
    is_hold: bool,
}

/// How a thread waits, if others must go on meanwhile.
pub type Waits = fn(&mut dyn FnMut());

static TRAP: OnceLock<(Trap, Waits)> = OnceLock::new();
/// How often the trap's point was passed.
static PASSED: AtomicU32 = AtomicU32::new(0);

impl Trap {
    /// From now on, in this process, whose threads wait like this.
    pub fn set(self, waits: Waits) {
        // a second one would change what the first was set for
        let _first_stands = TRAP.set((self, waits));
    }

    fn pass(&self, point: KillPoint, waits: Waits) {
        let is_due = point == self.point
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == self.nth
            && File::create_new(&self.mark).is_ok();
        if !is_due {
            return;
        }
        if self.is_hold {
            waits(&mut || {
                while fs::exists(&self.mark).unwrap_or(false) {
                    std::thread::sleep(LOOK_EVERY);
                }
            });
            return;
        }
        let _never_returns = kill_process(getpid(), Signal::KILL);
    }
}

/// `NAME@FILE`; `NAME:3@FILE` at the third passing; `hold:NAME@FILE` to wait instead of dying.
impl FromStr for Trap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, mark) = text.split_once('@').ok_or("expected `NAME[:NTH]@FILE`")?;
        let (is_hold, what) = match what.strip_prefix("hold:") {
            Some(rest) => (true, rest),
            None => (false, what),
        };
        let (word, nth) = what.split_once(':').unwrap_or((what, "1"));
        let nth = nth.parse().map_err(|_| format!("`{nth}` is no number"))?;
        Ok(Self { point: word.parse()?, nth, mark: mark.into(), is_hold })
    }
}

/// Dies here if this process was told to.
pub fn kill_point(point: KillPoint) {
    if let Some((trap, waits)) = TRAP.get() {
        trap.pass(point, *waits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_found_by_its_word_and_no_word_comes_twice() {
        for point in KillPoint::ALL {
            assert_eq!(point.word().parse(), Ok(*point));
        }
    }

    #[test]
    fn a_trap_names_point_passing_and_mark() {
        let trap: Trap = "hold:planned-stored:3@/tmp/a@b".parse().unwrap();
        assert!(trap.is_hold);
        assert_eq!((trap.point, trap.nth), (KillPoint::PlannedStored, 3));
        assert_eq!(trap.mark, PathBuf::from("/tmp/a@b"));
        assert_eq!("planned-stored@m".parse::<Trap>().unwrap().nth, 1);
        assert!("planned-stored".parse::<Trap>().is_err());
        assert!("planned@m".parse::<Trap>().is_err());
    }
}
