//! The command line of Assay: words, tables and exit codes around `assay_api::client`.
//!
//! `commands` has one file per noun and verb that a user types; `print` alone prints; `words` turns
//! views into text; `failure` turns errors into exit codes and says what to do next.
//!
//! **Invariant:** knows no SQL, no Kubernetes and no candle: what serves, trains or makes data is
//! another program, started beside this one.
#![forbid(unsafe_code)]

mod commands;
mod failure;
mod print;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use assay_api::client::Client;
use clap::{Parser, Subcommand};

use commands::{Session, data, pool, project, run, schedule, sweep, token, up, webhook};
use print::Format;

const EXAMPLES: &str = "\
Examples:
  ctl up                                     start everything on this machine
  ctl data synth --help                      make a corpus to try things with
  ctl sweep plan examples/quickstart.yaml    what would be run, and what it costs
  ctl sweep apply examples/quickstart.yaml   store the runs; the controller runs them
  ctl sweep watch quickstart                 look on until all have ended
  ctl sweep get quickstart                   the answer: the runs, ranked
  ctl run logs quickstart/3 --follow         what run 3 says

Runs are named by their sweep and number: quickstart/3.

Results go to standard output, everything else to standard error, so that
  ctl sweep get quickstart -o json | jq '.runs[].latest'
sees results only.

Exit codes:
  0  done
  1  refused or failed; for `sweep watch`: some run ended without success
  2  the command line is wrong
  3  there is no sweep or run of that name
  4  the controller cannot be reached
  5  the sweep file has errors; each was printed with its place
  6  the controller asks for a token, or for one of another role";

/// Runs ablation sweeps for continued pretraining, and reads off their answer.
///
/// A sweep is a YAML file: one base run and the axes to vary it along. `ctl sweep apply` stores its
/// runs in the controller, which trains and evaluates every one of them, here (`ctl up`) or wherever
/// it places them. `ctl sweep get` shows which one was best, and by how much.
#[derive(Debug, Parser)]
#[command(name = "ctl", version, after_long_help = EXAMPLES, after_help = "`ctl --help` has examples and the exit codes.", propagate_version = true)]
struct Cli {
    /// Where the controller listens.
    #[arg(
        long,
        global = true,
        env = "ASSAY_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8717"
    )]
    url: String,

    /// A file that holds the token to ask with, where the controller asks for one; or the token itself
    /// in `ASSAY_TOKEN`.
    #[arg(long, global = true, env = "ASSAY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// What is asked for is of this project. Without it: of `default`, or of the only one that your token
    /// is for.
    #[arg(long, global = true, env = "ASSAY_PROJECT", value_name = "NAME")]
    project: Option<String>,

    /// For the environment: on the command line it would stand in every list of processes.
    #[arg(long, global = true, env = "ASSAY_TOKEN", value_name = "TOKEN", hide = true)]
    token: Option<String>,

    /// Tables for people, JSON or YAML (the API's own views, whole) for programs.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t = Format::Table
    )]
    output: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    /// Plan, apply, watch and answer sweeps.
    #[command(subcommand)]
    Sweep(sweep::Command),
    /// Look at single runs, cancel them, queue them again.
    #[command(subcommand)]
    Run(run::Command),
    /// Look at where attempts run.
    #[command(subcommand)]
    Pool(pool::Command),
    /// Separate teams: names, tokens and what each may use.
    #[command(subcommand)]
    Project(project::Command),
    /// Make and revoke the tokens that people and programs ask with.
    #[command(subcommand)]
    Token(token::Command),
    Audit(token::Audit),
    /// Apply sweep files again and again: at night, say.
    #[command(subcommand)]
    Schedule(schedule::Command),
    /// Tell other programs what happens.
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Make data.
    #[command(subcommand)]
    Data(data::Command),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { url, token_file, token, project, output, command } = Cli::parse();
    let done = match connect(&url, token_file.as_deref(), token) {
        Ok(client) => {
            let project = project.filter(|name| !name.is_empty());
            let client = client.in_project(project.clone());
            let session = Session { client, url: url.clone(), project, format: output };
            match command {
                Command::Up(options) => up::up(&options).await,
                Command::Sweep(command) => sweep::run(&session, command).await,
                Command::Run(command) => run::run(&session, command).await,
                Command::Pool(command) => pool::run(&session, &command).await,
                Command::Project(command) => project::run(&session, command).await,
                Command::Token(command) => token::run(&session, command).await,
                Command::Audit(options) => token::audit(&session, &options).await,
                Command::Schedule(command) => schedule::run(&session, command).await,
                Command::Webhook(command) => webhook::run(&session, command).await,
                Command::Data(command) => data::run(&command),
            }
        }
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| failure::report(&error, &url))
}

fn connect(url: &str, file: Option<&Path>, token: Option<String>) -> anyhow::Result<Client> {
    let unreadable = |path: &Path| format!("cannot read the token in {}", path.display());
    let token = match file {
        Some(path) => Some(fs::read_to_string(path).with_context(|| unreadable(path))?),
        None => token,
    };
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    Ok(Client::new(url, token.as_deref())?)
}
