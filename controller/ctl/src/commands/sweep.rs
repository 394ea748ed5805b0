//! `ctl sweep`: the verbs, and those that are short.

use std::process::ExitCode;

use assay_api::sweep::SCHEMA;
use assay_api::view::SweepSummary;
use chrono::Utc;
use clap::{Args, Subcommand};

use super::apply::{ApplyOptions, FileOptions};
use super::{Session, answer, apply, watch};
use crate::print::{self, Table};
use crate::words;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what apply would do: points, tokens, hours, epochs. Changes nothing.
    Plan(FileOptions),
    Apply(ApplyOptions),
    /// Print the JSON Schema of the sweep file, for editors.
    Schema,
    /// List all sweeps, newest first.
    Ls,
    Get(answer::Options),
    /// Look on until every run has ended; the exit code says whether all succeeded.
    Watch(Name),
    /// Place no new attempts; what runs goes on.
    Pause(Name),
    /// Go on after a pause.
    Resume(Name),
    /// Cancel every run that has not ended. Its checkpoints stay, and `run retry` queues a run again.
    Cancel(Name),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// Name of the sweep; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    name: String,
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    match command {
        Command::Plan(options) => return apply::plan(session, &options).await,
        Command::Apply(options) => return apply::apply(session, &options).await,
        Command::Schema => print::result(SCHEMA.trim_end())?,
        Command::Ls => {
            let sweeps = client.sweeps().await?;
            print::view(session.format, &sweeps, |sweeps| list(sweeps))?;
            if sweeps.is_empty() {
                print::note("No sweep yet: `ctl sweep apply FILE` makes one.");
            }
        }
        Command::Get(options) => return answer::get(session, &options).await,
        Command::Watch(Name { name }) => return watch::watch(session, &name).await,
        Command::Pause(Name { name }) => {
            client.pause(&name).await?;
            print::note(&format!("{name} is paused; `ctl sweep resume {name}` goes on."));
        }
        Command::Resume(Name { name }) => {
            client.resume(&name).await?;
            print::note(&format!("{name} goes on; `ctl sweep watch {name}` looks on."));
        }
        Command::Cancel(Name { name }) => {
            client.cancel(&name).await?;
            print::note(&format!(
                "{name} is being cancelled; `ctl sweep apply FILE --retry cancelled` queues its runs again."
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(sweeps: &[SweepSummary]) -> String {
    let mut table = Table::new(&["sweep", "state", ">ended", "changed", "runs"]);
    let now = Utc::now();
    for sweep in sweeps {
        let counts = &sweep.counts;
        table.row([
            sweep.name.clone(),
            words::sweep_state(sweep.state).to_owned(),
            format!("{}/{}", words::ended(counts), words::total(counts)),
            format!("{} ago", words::duration(now - sweep.updated_at)),
            match &sweep.paused_because {
                Some(why) => format!("{}; paused: {why}", words::counts(counts)),
                None => words::counts(counts),
            },
        ]);
    }
    table.text()
}
