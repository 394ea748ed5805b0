//! The small parent of a local worker: starts it, writes down who it is, waits, writes down how it
//! ended. Outlives the controller; if it dies itself, the worker goes on.
//!
//! **Invariant:** no worker works that is not written down. What is started is a shell, which becomes
//! the worker (with the same process id and start time) once it is told to. Does its parent die before
//! that, it ends.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use assay_api::process::{EXIT_FILE, ExitFile, OUTPUT_FILE, PROCESS_FILE, ProcessFile, ProcessId};
use assay_api::{KillPoint, kill_point};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, setsid};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::Supervise;

/// Held by the parent for as long as it lives: a second one of the same attempt leaves at once.
const LOCK: &str = "lock";
/// Its standard input ends where its parent dies.
const GATE: &str = r#"read -r told && exec "$0" "$@" </dev/null"#;

/// Runs the program to its end; returns its exit status, or 128 and its signal, as a shell does.
///
/// # Errors
/// The program cannot be started, or the files cannot be written.
pub fn run(options: &Supervise) -> anyhow::Result<i32> {
    let Supervise { scratch, program } = options;
    let lock = File::create(scratch.join(LOCK)).context("cannot make the lock")?;
    let is_free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_free || scratch.join(PROCESS_FILE).exists() || scratch.join(EXIT_FILE).exists() {
        return Ok(0); // this attempt was started before
    }
    // out of the controller's group: Ctrl-C in its terminal is not for workers. It fails where the
    // parent leads its own session already, which is as good.
    let _session = setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(supervise(scratch, program))?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

async fn supervise(scratch: &Path, program: &[OsString]) -> anyhow::Result<ExitStatus> {
    let kills = out_of_memory_kills();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut child = match begin(scratch, program).await {
        Ok(child) => child,
        Err(error) => {
            // so that the pool need not guess why nothing runs
            let exit = ExitFile {
                code: Some(127),
                signal: None,
                is_out_of_memory: false,
                ended_at: clock::now_ms(),
            };
            write_whole(scratch, EXIT_FILE, &exit)?;
            return Err(error);
        }
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = terminated.recv() => pass_on(&child),
        }
    };
    kill_point(KillPoint::WorkerEndedNoted);
    let signal = status.signal();
    let is_killed = signal == Some(Signal::KILL.as_raw());
    let exit = ExitFile {
        code: status.code(),
        signal,
        is_out_of_memory: is_killed && kills < out_of_memory_kills(),
        ended_at: clock::now_ms(),
    };
    write_whole(scratch, EXIT_FILE, &exit)?;
    Ok(status)
}

async fn begin(scratch: &Path, program: &[OsString]) -> anyhow::Result<Child> {
    let (name, arguments) = program.split_first().context("no program was named")?;
    let output = OpenOptions::new().create(true).append(true).open(scratch.join(OUTPUT_FILE))?;
    kill_point(KillPoint::LockedSpawned);
    let mut child = Command::new("/bin/sh")
        .args(["-c", GATE])
        .arg(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start /bin/sh")?;
    kill_point(KillPoint::WorkerSpawnedNamed);
    let pid = child.id().context("the program ended before it was looked at")?;
    let file = ProcessFile {
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        supervisor: identity(std::process::id())?,
        worker: identity(pid)?,
        started_at: clock::now_ms(),
    };
    write_whole(scratch, PROCESS_FILE, &file)?;
    kill_point(KillPoint::WorkerNamedTold);
    if let Some(mut gate) = child.stdin.take() {
        // if it was killed meanwhile, the next wait tells
        let _told = gate.write_all(b"\n").await;
    }
    Ok(child)
}

fn pass_on(child: &Child) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // it may have ended at this moment, which the next wait tells
        let _sent = kill_process(pid, Signal::TERM);
    }
}

/// A process that has ended and was not waited for keeps its start time, so this cannot be too late.
fn identity(pid: u32) -> anyhow::Result<ProcessId> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // the program's name, in parentheses, may hold anything: fields count from the last one
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
    let ticks = fields.and_then(|mut fields| fields.nth(19)?.parse().ok());
    let start_ticks = ticks.with_context(|| format!("{path} names no start time"))?;
    Ok(ProcessId { pid: i32::try_from(pid)?, start_ticks })
}

/// Processes that the kernel has killed for want of memory, on the whole machine. One more of them
/// while a worker was killed is taken for it.
fn out_of_memory_kills() -> u64 {
    let stat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Written beside, synced, renamed.
fn write_whole(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let beside = folder.join(format!("{name}.partial"));
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    kill_point(KillPoint::BesideRenamed);
    fs::rename(&beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}
