//! Processes by identity: a process id with its start time and boot.

use std::fs;
use std::io;

use anyhow::Context;
use assay_api::process::{ExitFile, ProcessFile, ProcessId};
use assay_scheduler::{Exit, Time};
use rustix::process::{Pid, Signal, kill_process};

use crate::pool::Stop;

/// Whether the worker runs, or its parent is still about to write down how it ended.
pub(super) fn is_alive(file: &ProcessFile) -> anyhow::Result<bool> {
    Ok(same_boot(file)? && (runs(file.worker)? || runs(file.supervisor)?))
}

pub(super) fn began(file: &ProcessFile) -> Time {
    Time(file.started_at)
}

pub(super) fn exit(file: &ExitFile) -> Exit {
    match (file.is_out_of_memory, file.signal, file.code) {
        (true, ..) => Exit::OutOfMemory,
        (false, Some(signal), _) => Exit::Signal(signal),
        (false, None, Some(code)) => Exit::Code(code),
        (false, None, None) => Exit::Unknown,
    }
}

/// Signals the worker alone: its parent stays to write down how it ended.
pub(super) fn signal(file: &ProcessFile, stop: Stop) -> anyhow::Result<()> {
    if !same_boot(file)? || !runs(file.worker)? {
        return Ok(());
    }
    let signal = match stop {
        Stop::Gracefully => Signal::TERM,
        Stop::AtOnce => Signal::KILL,
    };
    let Some(pid) = Pid::from_raw(file.worker.pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        // it ended between the look and the signal
        Err(error) if error == rustix::io::Errno::SRCH => Ok(()),
        done => done.with_context(|| format!("cannot signal process {}", file.worker.pid)),
    }
}

fn same_boot(file: &ProcessFile) -> anyhow::Result<bool> {
    let path = "/proc/sys/kernel/random/boot_id";
    let boot_id = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(boot_id.trim() == file.boot_id)
}

/// A zombie has ended.
fn runs(id: ProcessId) -> anyhow::Result<bool> {
    let path = format!("/proc/{}/stat", id.pid);
    let stat = match fs::read_to_string(&path) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        // the process ended while its file was open
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Ok(false);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
    };
    // the program's name, in parentheses, may hold anything: fields count from the last one
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} is no stat file"))?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next().unwrap_or_default();
    let start_ticks: Option<u64> = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    Ok(state != "Z" && state != "X" && start_ticks == Some(id.start_ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_with_another_start_time_is_another_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let ticks = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap();
        let start_ticks = ticks.parse().unwrap();
        assert!(runs(ProcessId { pid, start_ticks }).unwrap());
        assert!(!runs(ProcessId { pid, start_ticks: start_ticks + 1 }).unwrap());
        assert!(!runs(ProcessId { pid: i32::MAX, start_ticks }).unwrap());
    }
}
