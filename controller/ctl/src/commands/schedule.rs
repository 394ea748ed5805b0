//! `ctl schedule`: files that are applied again and again, and how that went.

use std::process::ExitCode;

use assay_api::sweep::{Overlap, Timetable};
use assay_api::view::{FiringOutcome, FiringView, ScheduleDetails, ScheduleView};
use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::Session;
use crate::print::{self, Table};
use crate::words;

const HELP: &str = "\
A sweep file with `schedule: \"0 2 * * *\"` makes one: `ctl sweep apply nightly.yaml`. Each
time it is applied as a sweep of its own, nightly@2026-11-22. docs/schedules.md says
what becomes of times that overlap or are missed.

Examples:
  ctl schedule ls                when each is due, and how the last time went
  ctl schedule get nightly       its last times
  ctl schedule run nightly       apply it now
  ctl schedule pause nightly     none of its times comes until `ctl schedule resume nightly`";

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
pub(crate) enum Command {
    /// List all schedules: when each is due, and how the last time went.
    Ls,
    /// Show a schedule and what became of its times, the newest first.
    Get { name: String },
    /// Apply the file of a schedule now, whatever its times are.
    Run { name: String },
    /// Let none of its times come until it is resumed.
    Pause { name: String },
    /// Go on with the next time from now on.
    Resume { name: String },
    /// Remove a schedule. Its sweeps stay.
    Remove { name: String },
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    match command {
        Command::Ls => {
            let schedules = client.schedules().await?;
            if schedules.is_empty() {
                print::note("No schedule yet: apply a sweep file with `schedule: \"0 2 * * *\"`.");
            }
            print::view(session.format, &schedules, |schedules| table(schedules, Utc::now()))?;
        }
        Command::Get { name } => {
            let details = client.schedule(&name).await?;
            print::view(session.format, &details, |details| show(details, Utc::now()))?;
        }
        Command::Run { name } => {
            let sweep = client.run_schedule(&name).await?;
            print::view(session.format, &sweep, String::clone)?;
            print::note(&format!("Applied. `ctl sweep watch {sweep}` looks on."));
        }
        Command::Pause { name } => {
            client.pause_schedule(&name).await?;
            print::note(&format!("{name} is paused; `ctl schedule resume {name}` goes on."));
        }
        Command::Resume { name } => {
            client.resume_schedule(&name).await?;
            print::note(&format!("{name} goes on with its next time."));
        }
        Command::Remove { name } => {
            client.remove_schedule(&name).await?;
            print::note(&format!("{name} is removed. Its sweeps stay."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(schedules: &[ScheduleView], now: DateTime<Utc>) -> String {
    let mut table = Table::new(&["schedule", "times", "zone", "next", "last"]);
    for schedule in schedules {
        table.row([
            schedule.name.clone(),
            schedule.timetable.cron.clone(),
            schedule.timetable.zone.clone(),
            next(schedule, now),
            schedule.last.as_ref().map_or_else(|| "none yet".to_owned(), last),
        ]);
    }
    table.text()
}

fn show(details: &ScheduleDetails, now: DateTime<Utc>) -> String {
    let ScheduleDetails { schedule, firings, .. } = details;
    let ScheduleView { name, timetable, created_by, .. } = schedule;
    let Timetable { cron, zone, overlap, keep } = timetable;
    let keep = keep.map_or_else(|| "all".to_owned(), |keep| format!("the last {keep}"));
    let mut text = format!(
        "{name}: {cron} ({zone})\n\nnext     {}\noverlap  {}\nkeeps    {keep}\nby       {created_by}\n",
        next(schedule, now),
        overlapping(*overlap),
    );
    if !firings.is_empty() {
        let mut table = Table::new(&["due", "outcome", ">missed", "sweep or reason"]);
        for firing in firings {
            let FiringView { due_at, outcome, sweep, reason, missed, .. } = firing;
            let what = sweep.as_deref().or(reason.as_deref()).unwrap_or_default();
            table.row([
                time(*due_at),
                word(*outcome).to_owned(),
                if *missed == 0 { String::new() } else { missed.to_string() },
                what.to_owned(),
            ]);
        }
        text += &format!("\n{}", table.text());
    }
    text
}

pub(super) fn overlapping(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip: a time is passed over while the last sweep has not ended",
        Overlap::Wait => "wait: a time waits until the last sweep has ended",
        Overlap::Replace => "replace: the last sweep is cancelled first",
    }
}

fn next(schedule: &ScheduleView, now: DateTime<Utc>) -> String {
    match schedule.due_at {
        _ if schedule.is_paused => "paused".to_owned(),
        None => "never again".to_owned(),
        Some(due_at) if due_at <= now => "now".to_owned(),
        Some(due_at) => format!("{}, in {}", time(due_at), words::duration(due_at - now)),
    }
}

fn last(firing: &FiringView) -> String {
    let what = firing.sweep.as_deref().or(firing.reason.as_deref()).unwrap_or_default();
    format!("{}: {what}", word(firing.outcome))
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

const fn word(outcome: FiringOutcome) -> &'static str {
    match outcome {
        FiringOutcome::Applied => "applied",
        FiringOutcome::Skipped => "passed over",
        FiringOutcome::Refused => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_says_when_it_is_due_and_what_became_of_its_times() {
        let now = DateTime::from_timestamp(1_795_312_800, 0).unwrap();
        let firing = |outcome, sweep: Option<&str>, reason: Option<&str>| FiringView {
            due_at: now,
            outcome,
            sweep: sweep.map(str::to_owned),
            reason: reason.map(str::to_owned),
            missed: u32::from(sweep.is_some()),
            at: now,
        };
        let schedule = ScheduleView {
            name: "nightly".to_owned(),
            timetable: Timetable {
                cron: "0 2 * * *".to_owned(),
                zone: "Europe/Berlin".to_owned(),
                overlap: Overlap::Skip,
                keep: Some(7),
            },
            is_paused: false,
            due_at: Some(now + chrono::TimeDelta::minutes(5)),
            last: Some(firing(FiringOutcome::Refused, None, Some("no file"))),
            created_at: now,
            created_by: "ann".to_owned(),
        };
        let text = table(std::slice::from_ref(&schedule), now);
        assert!(text.contains("in 5m 00s"), "{text}");
        assert!(text.ends_with("refused: no file\n"), "{text}");
        let firings = vec![
            firing(FiringOutcome::Applied, Some("nightly@2026-11-22"), None),
            firing(FiringOutcome::Skipped, None, Some("nightly@2026-11-21 has not ended")),
        ];
        let paused = ScheduleView { is_paused: true, due_at: None, ..schedule };
        let (file, folder) = (String::new(), String::new());
        let text = show(&ScheduleDetails { schedule: paused, file, folder, firings }, now);
        assert!(text.contains("next     paused\n"), "{text}");
        assert!(text.contains("applied           1  nightly@2026-11-22"), "{text}");
        assert!(text.contains("passed over          nightly@2026-11-21 has not ended"), "{text}");
    }
}
