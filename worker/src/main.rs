//! Parse, run, exit with a status that means something.

use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use assay_trainer::memory::keep_freed_memory;
use assay_worker::config::{Command, Config};
use assay_worker::{agent, by_hand, data, plan, supervise};
use clap::Parser;

/// The libraries below the trainer bring threads of their own; the trainer splits the work itself,
/// so that the same number of threads gives the same bits.
const THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> ExitCode {
    let Config { command, trap } = Config::parse();
    trap.into_iter().for_each(|trap| trap.set(|wait| wait()));
    let done = match command {
        Command::Run(attempt) => prepared().and_then(|()| agent::run(&attempt)),
        Command::Train(options) => prepared().and_then(|()| by_hand::run(&options)).map(|()| 0),
        Command::Supervise(options) => supervise::run(&options),
        Command::Data(command) => data::run(&command).map(|()| 0),
        Command::Plan(options) => plan::run(&options).map(|()| 0),
    };
    match done {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => fail(&error),
    }
}

/// Before any thread exists: how memory is kept, and how many threads libraries start.
fn prepared() -> anyhow::Result<()> {
    keep_freed_memory();
    if std::env::var_os(THREADS).is_some() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let again = Process::new(program).args(std::env::args_os().skip(1)).env(THREADS, "1").exec();
    Err(again.into())
}

#[expect(clippy::print_stderr, reason = "the last word of a program that failed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
