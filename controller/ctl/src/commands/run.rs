//! `ctl run`: single runs, named `sweep/number`.

use std::process::ExitCode;
use std::time::Duration;

use assay_api::RunId;
use assay_api::view::{AttemptView, RunRow, RunState, RunView};
use chrono::Utc;
use clap::{Args, Subcommand};

use super::Session;
use super::extension;
use super::remark::{self, Tagging};
use crate::print::{self, Format, Table};
use crate::words::{self, RunName};

/// How soon a followed log shows what was said.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the runs of a sweep, with where they stand and why they wait or ended.
    Ls {
        /// Name of the sweep; `ctl sweep ls` lists them.
        #[arg(value_name = "SWEEP")]
        sweep: String,
    },
    /// Show one run: spec, attempts, checkpoints, evaluations, events.
    Get(Name),
    /// Print what the workers of a run said.
    Logs {
        #[command(flatten)]
        name: Name,
        /// Go on printing until the run has ended.
        #[arg(short, long)]
        follow: bool,
    },
    /// Cancel runs that have not ended.
    Cancel(Names),
    /// Queue runs again that ended without success, with new budgets for failures.
    Retry(Names),
    Extend(extension::Extend),
    Exclude(remark::Exclude),
    /// Compare runs again that were excluded.
    Include(Names),
    Note(remark::Note),
    /// Tag a run: `ctl sweep get --tag` and the browser's filter (`tag=keep`) find it by that.
    Tag(remark::RunTag),
    /// Take tags from a run.
    Untag(remark::RunTag),
    /// Put a run before or behind others in the queue.
    Priority(remark::RunPriority),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The run, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER")]
    run: RunName,
}

#[derive(Debug, Args)]
pub(crate) struct Names {
    /// The runs, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER", required = true)]
    runs: Vec<RunName>,
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    match command {
        Command::Ls { sweep } => {
            let runs = client.sweep(&sweep).await?.runs;
            print::view(session.format, &runs, |runs| list(runs))?;
        }
        Command::Get(Name { run }) => {
            let view = client.run_of(&run.sweep, run.number).await?;
            print::view(session.format, &view, show)?;
        }
        Command::Logs { name: Name { run }, follow } => {
            let id = client.run_of(&run.sweep, run.number).await?.row.run_id;
            logs(session, id, follow.then_some(&run)).await?;
        }
        Command::Cancel(Names { runs }) => {
            for run in &runs {
                let id = client.run_of(&run.sweep, run.number).await?.row.run_id;
                client.cancel_run(id).await?;
                print::note(&format!(
                    "{run} is being cancelled; `ctl run retry {run}` queues it again."
                ));
            }
        }
        Command::Retry(Names { runs }) => {
            for run in &runs {
                let id = client.run_of(&run.sweep, run.number).await?.row.run_id;
                client.retry_run(id).await?;
                print::note(&format!("{run} is queued; `ctl run logs {run} --follow` looks on."));
            }
        }
        Command::Extend(options) => extension::extend(session, &options).await?,
        Command::Exclude(options) => remark::exclude(session, &options).await?,
        Command::Include(Names { runs }) => remark::include(session, &runs).await?,
        Command::Note(options) => remark::note(session, &options).await?,
        Command::Tag(options) => remark::tag_run(session, &options, Tagging::Put).await?,
        Command::Untag(options) => remark::tag_run(session, &options, Tagging::Take).await?,
        Command::Priority(options) => remark::prioritize_run(session, &options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the stored lines and, of a run that is followed, those that come until it has ended.
async fn logs(session: &Session, id: RunId, follow: Option<&RunName>) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        // Asked first: what was said before the end is then on the pages that follow.
        let has_ended = match follow {
            Some(run) => {
                session.client.run_of(&run.sweep, run.number).await?.row.state == RunState::Done
            }
            None => true,
        };
        loop {
            let page = session.client.logs(id, after).await?;
            if page.rows.is_empty() {
                break;
            }
            after = page.next;
            let lines: Vec<_> = page
                .rows
                .iter()
                .map(|row| match session.format {
                    Format::Table => Ok(words::log_line(row)),
                    Format::Json => serde_json::to_string(row).map_err(anyhow::Error::from),
                    Format::Yaml => Ok(format!("---\n{}", serde_yaml::to_string(row)?)),
                })
                .collect::<anyhow::Result<_>>()?;
            print::result(&lines.join("\n"))?;
        }
        if has_ended {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

fn list(runs: &[RunRow]) -> String {
    let mut table =
        Table::new(&[">run", "kind", "point", "state", ">attempt", ">step", ">took", "why"]);
    let now = Utc::now();
    for run in runs {
        table.row([
            run.number.to_string(),
            words::kind(run.kind).to_owned(),
            words::label(run),
            words::standing(run),
            run.attempt.to_string(),
            words::progress(run),
            words::took(run, now),
            words::why(run).to_owned(),
        ]);
    }
    table.text()
}

fn show(run: &RunView) -> String {
    let row = &run.row;
    let mut text = format!("{}/{}  {}\n\n", run.sweep, row.number, row.label);
    let mut head = Table::new(&["kind", words::kind(row.kind)]);
    head.row(["state".to_owned(), words::standing(row)]);
    for (name, value) in [("reason", &row.reason), ("waiting", &row.waiting)] {
        if let Some(value) = value {
            head.row([name, value]);
        }
    }
    head.row(["step".to_owned(), words::progress(row)]);
    head.row(["tokens".to_owned(), words::count(row.tokens)]);
    head.row(["took".to_owned(), words::took(row, Utc::now())]);
    if row.priority != 0 {
        head.row(["priority".to_owned(), row.priority.to_string()]);
    }
    if let Some(excluded) = &row.excluded {
        head.row(["excluded".to_owned(), words::exclusion(excluded)]);
    }
    if !row.tags.is_empty() {
        head.row(["tags".to_owned(), row.tags.join(", ")]);
    }
    head.row(["point", &run.point]);
    if let Some(extends) = &run.extends {
        let step = extends.step;
        let from = format!("{}/{}, from its state at step {step}", run.sweep, extends.number);
        head.row(["extends".to_owned(), from]);
    }
    for need in &run.needs {
        let ended = need.outcome.map_or_else(|| words::run_state(need.state), words::outcome);
        head.row([
            "needs".to_owned(),
            format!("{}/{} {}: {ended}", run.sweep, need.number, need.label),
        ]);
    }
    text.push_str(&head.text());
    let sections = [notes(run), attempts(run), checkpoints(run), evaluations(run), events(run)];
    for table in sections.into_iter().flatten() {
        text.push_str(&format!("\n{}", table.text()));
    }
    text.push_str(&output(run));
    let spec = serde_yaml::to_string(&run.spec).expect("a spec is plain data");
    text.push_str(&format!("\nspec:\n{spec}"));
    text
}

fn notes(run: &RunView) -> Option<Table> {
    let mut table = Table::new(&[">note", ">step", "text", "by", "at"]);
    for note in &run.row.notes {
        table.row([
            note.note_id.to_string(),
            note.step.map_or_else(String::new, |step| step.to_string()),
            note.text.clone(),
            note.author.clone().unwrap_or_default(),
            time(note.at),
        ]);
    }
    (!run.row.notes.is_empty()).then_some(table)
}

fn attempts(run: &RunView) -> Option<Table> {
    let mut table =
        Table::new(&[">attempt", "pool", "placed", "place", ">resumed from", "ended", "reason"]);
    for attempt in &run.attempts {
        table.row([
            attempt.attempt.to_string(),
            attempt.pool.clone(),
            time(attempt.placed_at),
            attempt.place.clone().unwrap_or_default(),
            attempt.resumed_from.map_or_else(String::new, |step| step.to_string()),
            attempt.cause.clone().unwrap_or_default(),
            attempt.reason.clone().unwrap_or_default(),
        ]);
    }
    (!run.attempts.is_empty()).then_some(table)
}

/// What the processes printed last that ended without a record of their own.
fn output(run: &RunView) -> String {
    let of_attempt = |attempt: &AttemptView| {
        let lines: String = attempt.output.iter().map(|line| format!("  {line}\n")).collect();
        format!("\nlast output of attempt {}:\n{lines}", attempt.attempt)
    };
    run.attempts.iter().filter(|attempt| !attempt.output.is_empty()).map(of_attempt).collect()
}

fn checkpoints(run: &RunView) -> Option<Table> {
    let mut table = Table::new(&["checkpoint", ">step", ">attempt", ">bytes", "saved", ""]);
    for checkpoint in &run.checkpoints {
        table.row([
            checkpoint.path.clone(),
            checkpoint.step.to_string(),
            checkpoint.attempt.to_string(),
            words::count(checkpoint.bytes),
            time(checkpoint.saved_at),
            if checkpoint.is_accepted { "accepted".to_owned() } else { String::new() },
        ]);
    }
    (!run.checkpoints.is_empty()).then_some(table)
}

fn evaluations(run: &RunView) -> Option<Table> {
    let mut table = Table::new(&["evaluation", "metric", ">step", ">value", ">stderr", ">n"]);
    for evaluation in &run.evaluations {
        table.row([
            evaluation.task.clone(),
            evaluation.metric.clone(),
            evaluation.step.to_string(),
            words::number(evaluation.value),
            evaluation.stderr.map_or_else(String::new, words::number),
            evaluation.n.to_string(),
        ]);
    }
    (!run.evaluations.is_empty()).then_some(table)
}

fn events(run: &RunView) -> Option<Table> {
    let mut table = Table::new(&["at", "event", ">attempt", "state", "text"]);
    for event in &run.events {
        table.row([
            time(event.at),
            event.event.clone(),
            event.attempt.map_or_else(String::new, |attempt| attempt.to_string()),
            words::run_state(event.state).to_owned(),
            event.text.clone(),
        ]);
    }
    (!run.events.is_empty()).then_some(table)
}

fn time(at: chrono::DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}
