//! What the small parent of a local worker writes down, and the local pool reads: files in the
//! attempt's folder that appear whole or not at all.

use serde::{Deserialize, Serialize};

/// Holds a [`ProcessFile`]; written once the worker runs.
pub const PROCESS_FILE: &str = "worker.json";
/// Holds an [`ExitFile`]; written once it has ended.
pub const EXIT_FILE: &str = "exit.json";
/// What the worker printed, to either of its streams.
pub const OUTPUT_FILE: &str = "output.log";

/// Who runs an attempt on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFile {
    /// `/proc/sys/kernel/random/boot_id`: start times count from a boot.
    pub boot_id: String,
    pub supervisor: ProcessId,
    pub worker: ProcessId,
    /// Milliseconds since the epoch.
    pub started_at: i64,
}

/// A process id alone comes again; with its start time it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks since the boot.
    pub start_ticks: u64,
}

/// How a worker ended: by itself with a code, or killed by a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFile {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Killed by the kernel for want of memory.
    pub is_out_of_memory: bool,
    /// Milliseconds since the epoch.
    pub ended_at: i64,
}
