//! `ctl data`: work on data, done by `assay-worker`.

use std::ffi::OsString;
use std::process::{Command as Process, ExitCode};

use clap::Subcommand;

use super::{become_program, beside};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a corpus to try sweeps with: `ctl data synth --help`.
    #[command(disable_help_flag = true)]
    Synth {
        /// See `ctl data synth --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        options: Vec<OsString>,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Synth { options } = command;
    let mut worker = Process::new(beside("assay-worker")?);
    Err(become_program(worker.args(["data", "synth"]).args(options)))
}
