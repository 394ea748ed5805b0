//! The local pool: worker processes on this machine, which outlive the controller and are found
//! again.
//!
//! Every attempt has a folder of its own, `attempts/<run>/<attempt>`. A small parent
//! (`assay-worker supervise`) starts the worker, writes down who both are (process id and start
//! time: a process id alone comes again) and, at the end, how it ended. What the folders say is all
//! that `observe` reads, so that a controller that has just started sees what the last one left.
//!
//! A folder without a process is an attempt whose start was lost: ensuring it starts it again, which
//! is harmless, as the first instance to speak is the only one that may. If no run lays claim to it any
//! more, it has ended.

mod process;
mod storage;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use assay_api::process::{EXIT_FILE, ExitFile, OUTPUT_FILE, PROCESS_FILE, ProcessFile};
use assay_api::spec::Engine;
use assay_api::sweep::Resources;
use assay_api::view::PoolKind;
use assay_api::worker::env;
use assay_api::{KillPoint, RunId, kill_point};
use assay_scheduler::{AttemptSeen, Exit};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{AttemptKey, Claims, LAST_WORDS, Left, Order, Pool, Refusal, Seen, Stop};

const NAME: &str = "local";
/// What the parent of an attempt's worker prints.
const PARENTS_OUTPUT: &str = "supervisor.log";

#[derive(Debug)]
pub struct LocalPool {
    /// Attempts that are alive or not yet forgotten.
    attempts: PathBuf,
    /// Folders of forgotten ones: their output is kept.
    ended: PathBuf,
    /// Datasets and checkpoints.
    storage: PathBuf,
    worker: PathBuf,
    controller_url: String,
    slots: u32,
    trouble: Mutex<Option<String>>,
}

impl LocalPool {
    /// Makes its folders in `data`.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn new(
        data: &Path,
        worker: PathBuf,
        controller_url: String,
        slots: u32,
    ) -> anyhow::Result<Self> {
        let folder = |name| {
            let path = data.join(name);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))
                .map(|()| path)
        };
        let (attempts, ended) = (folder("attempts")?, folder("ended")?);
        let (storage, trouble) = (folder("storage")?, Mutex::new(None));
        for run in entries(&attempts)? {
            // left where a controller was killed while it forgot the run's last attempt
            remove_empty(&run)?;
        }
        Ok(Self { attempts, ended, storage, worker, controller_url, slots, trouble })
    }

    fn folder(&self, key: AttemptKey) -> PathBuf {
        self.attempts.join(key.run.to_string()).join(key.attempt.to_string())
    }

    fn look(&self, claimed: &Claims) -> anyhow::Result<BTreeMap<AttemptKey, Seen>> {
        let mut seen = BTreeMap::new();
        for run in entries(&self.attempts)? {
            for attempt in entries(&run)? {
                let Some(key) = key(&attempt) else { continue };
                let what = match see(&attempt)? {
                    None if claimed.contains_key(&key) => continue,
                    None => AttemptSeen::Ended { exit: Exit::Unknown },
                    Some(what) => what,
                };
                seen.insert(key, what.into());
            }
        }
        Ok(seen)
    }

    fn begin(&self, key: AttemptKey, secret: &str) -> anyhow::Result<()> {
        let folder = self.folder(key);
        if folder.join(PROCESS_FILE).exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        kill_point(KillPoint::FolderMadeSpawned);
        let output = fs::File::create(folder.join(PARENTS_OUTPUT))?;
        let mut command = Command::new(&self.worker);
        command
            .args(["supervise", "--"])
            .arg(&self.worker)
            .arg("run")
            .current_dir(&folder)
            .env(env::CONTROLLER, &self.controller_url)
            .env(env::RUN, key.run.to_string())
            .env(env::ATTEMPT, key.attempt.to_string())
            .env(env::SECRET, secret)
            .env(env::STORAGE, &self.storage)
            .env(env::SCRATCH, &folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let what = || format!("cannot start {}", self.worker.display());
        let child = command.spawn().with_context(what)?;
        kill_point(KillPoint::SpawnedPerformed);
        // waited for, or it would stay behind as a zombie; its end is read from its file
        std::thread::spawn(move || reap(child));
        Ok(())
    }

    fn end(&self, key: AttemptKey, stop: Stop) -> anyhow::Result<()> {
        if let Some(file) = read::<ProcessFile>(&self.folder(key).join(PROCESS_FILE))? {
            process::signal(&file, stop)?;
        }
        Ok(())
    }

    fn forget(&self, key: AttemptKey) -> anyhow::Result<()> {
        self.end(key, Stop::AtOnce)?;
        let folder = self.folder(key);
        if matches!(see(&folder)?, Some(AttemptSeen::Running { .. })) {
            // seen again at the next look, once the signal has done its work
            return Ok(());
        }
        let place = self.ended.join(key.run.to_string());
        fs::create_dir_all(&place)?;
        kill_point(KillPoint::EndedRenamed);
        match fs::rename(&folder, place.join(key.attempt.to_string())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            // an order that came late made it anew: what it had to say lies there already
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                fs::remove_dir_all(&folder)?;
            }
            renamed => renamed?,
        }
        kill_point(KillPoint::RenamedRemoved);
        remove_empty(&self.attempts.join(key.run.to_string()))
    }
}

/// What an attempt's folder says. None: nothing was started, or its start was lost.
fn see(folder: &Path) -> anyhow::Result<Option<AttemptSeen>> {
    if let Some(exit) = read::<ExitFile>(&folder.join(EXIT_FILE))? {
        return Ok(Some(AttemptSeen::Ended { exit: process::exit(&exit) }));
    }
    let Some(file) = read::<ProcessFile>(&folder.join(PROCESS_FILE))? else { return Ok(None) };
    if process::is_alive(&file)? {
        return Ok(Some(AttemptSeen::Running { since: process::began(&file) }));
    }
    // it may have ended between the two looks
    let exit = read::<ExitFile>(&folder.join(EXIT_FILE))?;
    let exit = exit.map_or(Exit::Unknown, |exit| process::exit(&exit));
    Ok(Some(AttemptSeen::Ended { exit }))
}

/// Of the worker, or of its parent if that could not start it.
fn last_words(folder: &Path) -> anyhow::Result<Vec<String>> {
    let words = tail(&folder.join(OUTPUT_FILE))?;
    if words.is_empty() { tail(&folder.join(PARENTS_OUTPUT)) } else { Ok(words) }
}

/// The last lines of a file.
fn tail(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LAST_WORDS)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

fn reap(mut child: std::process::Child) {
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "could not wait for a worker's parent: {error}");
    }
}

/// A run's folder, unless it has other attempts.
fn remove_empty(folder: &Path) -> anyhow::Result<()> {
    use io::ErrorKind::{DirectoryNotEmpty, NotFound};
    match fs::remove_dir(folder) {
        Err(error) if matches!(error.kind(), DirectoryNotEmpty | NotFound) => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", folder.display())),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        // forgotten between the two looks
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
    }
}

/// A file that appears whole or not at all.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot read {}", path.display()))?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn key(folder: &Path) -> Option<AttemptKey> {
    let attempt = folder.file_name()?.to_str()?.parse().ok()?;
    let run: RunId = folder.parent()?.file_name()?.to_str()?.parse().ok()?;
    Some(AttemptKey { run, attempt })
}

impl Pool for LocalPool {
    fn name(&self) -> &str {
        NAME
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

    fn refusals(&self, resources: &Resources) -> Vec<Refusal> {
        let Resources {
            pool: _,
            queue,
            priority: _,
            priority_class,
            memory,
            cpu,
            node_selector,
            deadline,
        } = resources;
        let mut refusals = Vec::new();
        let mut refuse = |path, value: Option<String>| {
            refusals.extend(value.map(|value| {
                let why = format!(
                    "the pool `{NAME}` runs processes on this machine, and has no such thing"
                );
                Refusal { path, value, why }
            }));
        };
        refuse("resources.queue", queue.clone());
        refuse("resources.priority_class", priority_class.clone());
        refuse("resources.memory", memory.map(|memory| memory.to_string()));
        refuse("resources.cpu", cpu.map(|cpu| cpu.to_string()));
        refuse("resources.node_selector", node_selector.keys().next().cloned());
        refuse("resources.deadline", deadline.map(|deadline| deadline.to_string()));
        refusals
    }

    fn cannot_read(&self, _path: &str) -> Option<String> {
        None
    }

    fn cannot_compute(&self, engine: Engine) -> Option<String> {
        let lacks = match engine {
            Engine::CudaBf16 => (!has_gpu()).then_some("an NVIDIA driver"),
            Engine::CpuBf16 => (!has_bf16()).then_some("the instructions of AVX512-BF16"),
            Engine::CpuF32 | Engine::Reference => None,
        };
        lacks.map(|what| {
            format!("this machine lacks {what}, which the engine needs: write `auto` or `cpu-f32`")
        })
    }

    fn observe<'a>(
        &'a self,
        claimed: &'a Claims,
    ) -> BoxFuture<'a, anyhow::Result<BTreeMap<AttemptKey, Seen>>> {
        Box::pin(async move {
            let seen = tokio::task::block_in_place(|| self.look(claimed));
            let trouble = seen.as_ref().err().map(|error| format!("{error:#}"));
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            seen
        })
    }

    fn ensure(&self, order: Order) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(
            async move { tokio::task::block_in_place(|| self.begin(order.key, &order.secret)) },
        )
    }

    fn stop(&self, key: AttemptKey, stop: Stop) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.end(key, stop)) })
    }

    fn delete(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.forget(key)) })
    }

    fn last_words(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        let folder = self.folder(key);
        Box::pin(async move { tokio::task::block_in_place(|| last_words(&folder)) })
    }

    fn storage_elsewhere(&self) -> Option<String> {
        None
    }

    fn set_aside(&self, left: Left, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.move_aside(&left, name)) })
    }

    fn clear_aside(&self, name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { tokio::task::block_in_place(|| self.remove_aside(name)) })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where the driver shows itself, also within a container.
fn has_gpu() -> bool {
    ["/proc/driver/nvidia", "/dev/nvidiactl"].iter().any(|path| Path::new(path).exists())
}

#[cfg(target_arch = "x86_64")]
fn has_bf16() -> bool {
    std::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_bf16() -> bool {
    false
}
