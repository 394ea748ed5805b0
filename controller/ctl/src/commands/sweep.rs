//! `ctl sweep`: the verbs, and those that are short.

use std::process::ExitCode;

use assay_api::sweep::SCHEMA;
use assay_api::view::SweepSummary;
use chrono::Utc;
use clap::{Args, Subcommand};

use super::apply::{ApplyOptions, FileOptions};
use super::remark::{self, Tagging};
use super::{Session, answer, apply, deletion, fork, watch};
use crate::print::{self, Table};
use crate::words;

const PAUSE_HELP: &str = "\
Examples:
  ctl sweep pause lr-and-mix          what runs goes on to its end
  ctl sweep pause lr-and-mix --now    frees the slots; what was trained is kept
  ctl sweep resume lr-and-mix";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what apply would do: points, tokens, hours, epochs. Changes nothing.
    Plan(FileOptions),
    Apply(ApplyOptions),
    /// Print the JSON Schema of the sweep file, for editors.
    Schema,
    Fork(fork::Options),
    /// List all sweeps, newest first.
    Ls {
        /// Only those with this tag.
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
    },
    Get(answer::Options),
    /// Look on until every run has ended; the exit code says whether all succeeded.
    Watch(Name),
    /// Place no new attempts; what runs goes on, unless --now.
    #[command(after_help = PAUSE_HELP)]
    Pause {
        #[command(flatten)]
        name: Name,
        /// What runs saves a checkpoint and is queued again: no work is lost, and no retry is used up.
        #[arg(long)]
        now: bool,
    },
    /// Go on after a pause.
    Resume(Name),
    /// Cancel every run that has not ended. Its checkpoints stay, and `run retry` queues a run again.
    Cancel(Name),
    Delete(deletion::Options),
    /// Tag a sweep: `ctl sweep ls --tag` finds it by that.
    Tag(remark::SweepTag),
    /// Take tags from a sweep.
    Untag(remark::SweepTag),
    /// Put the runs of a sweep before or behind those of others in the queue.
    Priority(remark::SweepPriority),
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
        Command::Ls { tag } => {
            let mut sweeps = client.sweeps().await?;
            if sweeps.is_empty() {
                print::note("No sweep yet: `ctl sweep apply FILE` makes one.");
            }
            sweeps.retain(|sweep| tag.as_ref().is_none_or(|tag| sweep.tags.contains(tag)));
            print::view(session.format, &sweeps, |sweeps| list(sweeps))?;
        }
        Command::Get(options) => return answer::get(session, &options).await,
        Command::Watch(Name { name }) => return watch::watch(session, &name).await,
        Command::Pause { name: Name { name }, now: false } => {
            client.pause(&name).await?;
            print::note(&format!(
                "{name} is paused; what runs goes on. `ctl sweep resume {name}` ends the pause."
            ));
        }
        Command::Pause { name: Name { name }, now: true } => {
            client.pause_now(&name).await?;
            print::note(&format!(
                "{name} is paused, and its runs save a checkpoint; `ctl sweep resume {name}` goes on from there."
            ));
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
        Command::Fork(options) => fork::fork(session, &options).await?,
        Command::Delete(options) => deletion::delete(session, &options).await?,
        Command::Tag(options) => remark::tag_sweep(session, &options, Tagging::Put).await?,
        Command::Untag(options) => remark::tag_sweep(session, &options, Tagging::Take).await?,
        Command::Priority(options) => remark::prioritize_sweep(session, &options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(sweeps: &[SweepSummary]) -> String {
    let mut table = Table::new(&["sweep", "state", ">ended", "changed", "runs", "tags"]);
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
            sweep.tags.join(", "),
        ]);
    }
    table.text()
}
