//! What can be done to a machine, and what can be seen of it from outside.

use std::fs;
use std::path::{Path, PathBuf};

use assay_api::KillPoint;
use assay_api::process::{PROCESS_FILE, ProcessFile};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;

use super::{Machine, tell};

/// Kill points of a start; more deaths than these are the program's own.
const STARTS_MAX: usize = 3;

/// The two processes of an attempt that may be alive.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The run's id.
    pub run: String,
    pub worker: i32,
    pub parent: i32,
    folder: PathBuf,
}

impl Machine {
    /// The next controller dies here, or one of the workers that it starts: whoever comes first, and
    /// nobody after that.
    pub fn set_trap(&mut self, point: Option<KillPoint>) {
        let trap = |point: KillPoint| format!("{}@{}", point.word(), self.mark(point).display());
        self.trap = point.map(trap);
    }

    /// The next controller waits here, until [`Self::let_go`].
    pub fn set_hold(&mut self, point: KillPoint) {
        self.trap = Some(format!("hold:{}@{}", point.word(), self.mark(point).display()));
    }

    /// Whether somebody fell into the trap.
    #[must_use]
    pub fn is_sprung(&self, point: KillPoint) -> bool {
        self.mark(point).exists()
    }

    /// # Panics
    /// If nobody waits there.
    pub fn let_go(&self, point: KillPoint) {
        fs::remove_file(self.mark(point)).expect("somebody waits there");
    }

    pub(super) fn let_all_go(&self) {
        for point in KillPoint::ALL {
            // most have nobody who waits there
            let _was_there = fs::remove_file(self.mark(*point));
        }
    }

    fn mark(&self, point: KillPoint) -> PathBuf {
        self.corpus.path().join(format!("sprung-{}", point.word()))
    }

    /// Starts a controller. False: it died before it listened.
    pub fn begin_to_start(&mut self) -> bool {
        self.try_to_serve().is_ok()
    }

    /// Starts controllers until one listens: those before it fell into a trap.
    ///
    /// # Panics
    /// If none does.
    pub fn start_controller(&mut self) {
        for _ in 0..STARTS_MAX {
            match self.try_to_serve() {
                Ok(()) => return,
                Err(log) => tell(&format!("it did not start:\n{log}")),
            }
        }
        self.restart_controller();
    }

    /// Whether the controller runs.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn has_controller(&mut self) -> bool {
        let Some(controller) = &mut self.controller else { return false };
        if controller.try_wait().expect("it is our child").is_some() {
            self.controller = None;
        }
        self.controller.is_some()
    }

    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn controller(&self) -> i32 {
        let controller = self.controller.as_ref().expect("it was started");
        i32::try_from(controller.id()).expect("process ids are small")
    }

    /// Attempts of which a process is alive.
    #[must_use]
    pub fn attempts(&self) -> Vec<Processes> {
        let folders =
            entries(&self.data.join("attempts")).into_iter().flat_map(|run| entries(&run));
        let processes = folders.filter_map(|folder| {
            let text = fs::read(folder.join(PROCESS_FILE)).ok()?;
            let file: ProcessFile = serde_json::from_slice(&text).expect("a whole file");
            let run = folder.parent()?.file_name()?.to_str()?.to_owned();
            let (worker, parent) = (file.worker.pid, file.supervisor.pid);
            Some(Processes { run, worker, parent, folder })
        });
        processes.filter(|found| is_in(found.worker, &found.folder)).collect()
    }

    /// Whether no worker is at work: the first thread of each sleeps, or there is none.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let sleeps = |found: Processes| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", found.worker));
            // the program's name, in parentheses, may hold anything
            stat.is_ok_and(|stat| {
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
            })
        };
        self.attempts().into_iter().all(sleeps)
    }

    /// The process of the private server, if it has one.
    #[must_use]
    pub fn postmaster(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data.join("postgres/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    /// The processes that the private server has started.
    #[must_use]
    pub fn backends(&self) -> Vec<i32> {
        let Some(postmaster) = self.postmaster() else { return Vec::new() };
        processes().into_iter().filter(|pid| parent(*pid) == Some(postmaster)).collect()
    }

    /// The database: one that the options name, or the private server, if it says where it listens.
    ///
    /// # Panics
    /// If the options name none that can be read.
    #[must_use]
    pub fn database(&self) -> Option<PgConnectOptions> {
        let named = self.options.iter().skip_while(|option| *option != "--database-url").nth(1);
        if let Some(url) = named {
            return Some(url.parse().expect("it was made from a URL"));
        }
        let text = fs::read_to_string(self.data.join("postgres/data/postmaster.pid")).ok()?;
        let folder = text.lines().nth(4).filter(|folder| !folder.is_empty())?;
        let options = PgConnectOptions::new_without_pgpass().socket(folder);
        Some(options.username("assay").database("assay"))
    }

    /// Reports that lie on disk until the controller has stored them.
    #[must_use]
    pub fn spooled(&self) -> usize {
        let spool = |found: Processes| fs::read(found.folder.join("reports.spool")).ok();
        self.attempts().into_iter().filter_map(spool).map(|spool| frames(&spool)).sum()
    }

    /// Another machine's controller, on the same folder and with the same options.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[must_use]
    pub fn beside(&self) -> Self {
        let mut machine = Self::of(self.corpus.clone(), self.data.clone(), self.options.clone());
        machine.environment = self.environment.clone();
        machine
    }

    /// For the next controllers, and all that they start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Where its pool keeps datasets and checkpoints.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.data.join("storage")
    }

    /// Runs that something is kept of, by their ids: checkpoints, or the output of their attempts.
    #[must_use]
    pub fn run_folders(&self) -> Vec<String> {
        let folders = [self.storage().join("runs"), self.data.join("ended")];
        let folders = folders.iter().flat_map(|folder| entries(folder));
        folders.filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned())).collect()
    }

    /// Folders and processes that nothing should be left of once every run has ended.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let data = self.data.canonicalize().unwrap_or_else(|_| self.data.clone());
        let (attempts, ended) = (data.join("attempts"), data.join("ended"));
        let is_worker = |pid: &i32| is_in(*pid, &attempts) || is_in(*pid, &ended);
        let left = processes().into_iter().filter(is_worker).map(|pid| format!("process {pid}"));
        let folders = entries(&attempts).into_iter().chain(unfinished(&self.storage()));
        let folders = folders.chain(entries(&self.storage().join("trash")));
        left.chain(folders.map(|folder| folder.display().to_string())).collect()
    }
}

/// Signals a process, which may have ended already.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _may_be_gone = kill_process(pid, signal);
    }
}

/// What was begun and not finished below a folder: drafts, and checkpoints without a manifest.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let is_unfinished = name.ends_with(".partial")
        || name.starts_with("writing-")
        || (name.starts_with("step-") && !folder.join("manifest.json").exists());
    if is_unfinished {
        return vec![folder.to_owned()];
    }
    entries(folder).iter().flat_map(|entry| unfinished(entry)).collect()
}

/// Frames of a spool: their length, their checksum, and so many bytes.
fn frames(spool: &[u8]) -> usize {
    let (mut rest, mut count) = (spool, 0);
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let after = 8 + u32::from_le_bytes(*length) as usize;
        let Some(next) = rest.get(after..) else { break };
        (rest, count) = (next, count + 1);
    }
    count
}

/// Whether a process is alive and works in a folder.
fn is_in(pid: i32, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(folder))
}

fn processes() -> Vec<i32> {
    let numbers = entries(Path::new("/proc")).into_iter();
    numbers.filter_map(|entry| entry.file_name()?.to_str()?.parse().ok()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
