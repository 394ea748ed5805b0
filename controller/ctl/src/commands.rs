//! One file per noun, and one per verb that is long.

pub(crate) mod answer;
pub(crate) mod apply;
pub(crate) mod data;
#[cfg(test)]
mod fixture;
pub(crate) mod pool;
pub(crate) mod run;
pub(crate) mod sweep;
pub(crate) mod up;
pub(crate) mod watch;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use assay_api::client::Client;

use crate::print::Format;

/// What every command that asks the controller has.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) format: Format,
}

/// A program of this installation: it lies beside `ctl`.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    anyhow::ensure!(
        program.is_file(),
        "there is no {}: build it with `cargo build --bins`, which puts it beside ctl",
        program.display()
    );
    Ok(program)
}

/// Becomes another program: its signals, its terminal and its exit code are this one's from then on.
fn become_program(command: &mut Command) -> anyhow::Error {
    let program = PathBuf::from(command.get_program());
    let error = anyhow::Error::new(command.exec());
    error.context(format!("cannot start {}", program.display()))
}
