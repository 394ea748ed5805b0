//! One file per noun, and one per verb that is long.

pub(crate) mod answer;
pub(crate) mod apply;
pub(crate) mod data;
pub(crate) mod deletion;
pub(crate) mod extension;
#[cfg(test)]
mod fixture;
pub(crate) mod fork;
pub(crate) mod pool;
pub(crate) mod project;
pub(crate) mod remark;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod sweep;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod watch;
pub(crate) mod webhook;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use assay_api::RunId;
use assay_api::client::Client;

use crate::print::Format;
use crate::words::RunName;

/// What every command that asks the controller has.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) url: String,
    /// The project that was named.
    pub(crate) project: Option<String>,
    pub(crate) format: Format,
}

impl Session {
    /// The id of a run that a person named.
    async fn id_of(&self, run: &RunName) -> anyhow::Result<RunId> {
        Ok(self.client.run_of(&run.sweep, run.number).await?.row.run_id)
    }
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
