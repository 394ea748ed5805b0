//! The command line and the environment, read once.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use assay_api::kill_point::{self, Trap};
use assay_api::worker::env;
use assay_api::{RunId, quantity};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::data::Data;

/// Runs attempts of Assay: trains, evaluates, reports. Most of it is started by a controller; `train`,
/// `plan` and `data` are for people.
#[derive(Debug, Parser)]
#[command(name = "assay-worker", version)]
pub struct Config {
    #[command(subcommand)]
    pub command: Command,
    /// Where a test wants this process to die.
    #[arg(long, env = kill_point::ENV, hide = true)]
    pub trap: Option<Trap>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the attempt that the environment names.
    Run(Attempt),
    /// Start a program, write down who it is and how it ended.
    Supervise(Supervise),
    /// Train one run from a JSON spec, without a controller.
    Train(Train),
    /// Print what an engine would keep in memory, line by line, without owning the machine.
    Plan(Plan),
    /// Work on data.
    #[command(subcommand)]
    Data(Data),
}

/// What a pool tells a worker.
#[derive(Clone, Args)]
pub struct Attempt {
    /// URL of the controller.
    #[arg(long, env = env::CONTROLLER, value_name = "URL")]
    pub controller: String,
    /// The run's id.
    #[arg(long, env = env::RUN, value_name = "ID")]
    pub run: RunId,
    /// The attempt's number.
    #[arg(long, env = env::ATTEMPT, value_name = "N")]
    pub attempt: u32,
    /// The attempt's secret.
    #[arg(long, env = env::SECRET, value_name = "HEX", hide_env_values = true)]
    pub secret: String,
    /// Folder of datasets and checkpoints that all attempts of the pool share.
    #[arg(long, env = env::STORAGE, value_name = "FOLDER")]
    pub storage: PathBuf,
    /// Folder of this attempt alone.
    #[arg(long, env = env::SCRATCH, value_name = "FOLDER")]
    pub scratch: PathBuf,
    /// Where this is, for people. Default: the host's name.
    #[arg(long, env = env::HOST, value_name = "TEXT")]
    pub host: Option<String>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attempt(run {}, attempt {}, secret …)", self.run, self.attempt)
    }
}

#[derive(Debug, Args)]
pub struct Supervise {
    /// Folder for the files that say who runs and how it ended.
    #[arg(long, env = env::SCRATCH, value_name = "FOLDER")]
    pub scratch: PathBuf,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// A preset, such as llama-8b, or a folder with a config.json.
    #[arg(long, value_name = "PRESET|FOLDER")]
    pub model: String,
    /// Tokens of a sequence, as a sweep file has them: 4096, 4k.
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    pub context: u64,
    /// What there is: 24GB, 80GiB.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub memory: Option<u64>,
    /// Sequences of a micro-batch.
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    pub rows: NonZeroU32,
    /// How numbers are kept: f32 as the CPU's engine does, or bf16 as on GPUs: with exact f32 masters if
    /// these fit, else without, and updates are rounded stochastically.
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// Threads, which need some scratch each.
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    pub threads: NonZeroU32,
}

fn tokens(text: &str) -> Result<u64, String> {
    quantity::tokens(text)
        .ok_or_else(|| "expected a number of tokens such as 4096 or 4k".to_owned())
}

/// `24GB` or `80GiB`, as people say it; a sweep file's way, `80Gi`, as well.
fn bytes(text: &str) -> Result<u64, String> {
    let plain = text.strip_suffix('B').unwrap_or(text);
    let bytes = quantity::Bytes::parse(plain);
    bytes
        .map(|bytes| bytes.0)
        .map_err(|_| "expected an amount of memory such as 24GB or 80GiB".to_owned())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    #[default]
    F32,
    Bf16,
}

#[derive(Debug, Args)]
pub struct Train {
    /// A train run's spec as JSON: the `spec` of `ctl run get SWEEP/NUMBER -o json`.
    #[arg(value_name = "SPEC.json")]
    pub spec: PathBuf,
    /// Folder for prepared data and checkpoints. An interrupted run goes on from there.
    #[arg(long, value_name = "FOLDER", default_value = "assay-run")]
    pub storage: PathBuf,
    /// For a model that is no preset: the folder to begin from.
    #[arg(long, value_name = "FOLDER")]
    pub base: Option<PathBuf>,
}
