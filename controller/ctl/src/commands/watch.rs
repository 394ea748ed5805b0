//! `ctl sweep watch`: looks on until every run has ended.
//!
//! On a terminal, a table drawn again in place; in a pipe, one line for each change of a run. A
//! controller that goes away is waited for: the runs go on without it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use assay_api::client;
use assay_api::view::{Outcome, RunRow, RunState, StreamEvent, SweepState, SweepView};
use chrono::Utc;

use super::Session;
use crate::print::{self, Screen, Table};
use crate::words;

/// Between two tries to reach a controller that went away.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Lines around the table of runs: head, bar, blanks, what is left out.
const LINES_AROUND: usize = 8;

const BAR_WIDTH: usize = 40;

const BEHIND: &str = "behind others";

pub(crate) async fn watch(session: &Session, name: &str) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    let mut watcher = Watcher::new();
    let mut view = client.sweep(name).await?;
    loop {
        watcher.show(&view)?;
        if has_ended(&view) {
            break;
        }
        match follow(client, &mut view, &mut watcher).await {
            Ok(()) => {}
            Err(error) if is_away(&error) => watcher.lost(&error),
            Err(error) => return Err(error),
        }
        if has_ended(&view) {
            break;
        }
        view = again(client, name, &mut watcher).await?;
    }
    let is_success = view.summary.state == SweepState::Succeeded;
    let end = if is_success { "succeeded" } else { "ended, not every run with success" };
    print::note(&format!("{name} {end}; `ctl sweep get {name}` shows its answer."));
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Applies the stream's events until it ends, the history was rewritten, or the sweep has ended.
async fn follow(
    client: &client::Client,
    view: &mut SweepView,
    watcher: &mut Watcher,
) -> anyhow::Result<()> {
    let mut stream = client.stream(&view.summary.name, &view.cursor).await?;
    while let Some((_cursor, event)) = stream.next().await? {
        match event {
            StreamEvent::Reset => return Ok(()),
            StreamEvent::Points { .. } => continue,
            StreamEvent::Runs { sweep, runs } => {
                view.summary = *sweep;
                for run in runs {
                    match view.runs.binary_search_by_key(&run.number, |run| run.number) {
                        Ok(place) => view.runs[place] = run,
                        Err(place) => view.runs.insert(place, run),
                    }
                }
            }
        }
        watcher.show(view)?;
        if has_ended(view) {
            return Ok(());
        }
    }
    Ok(())
}

/// The whole view anew, however long the controller is away.
async fn again(
    client: &client::Client,
    name: &str,
    watcher: &mut Watcher,
) -> anyhow::Result<SweepView> {
    loop {
        tokio::time::sleep(RECONNECT_PAUSE).await;
        match client.sweep(name).await.map_err(anyhow::Error::from) {
            Err(error) if is_away(&error) => watcher.lost(&error),
            answered => return answered,
        }
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(client::Error::is_passing)
}

fn has_ended(view: &SweepView) -> bool {
    matches!(view.summary.state, SweepState::Succeeded | SweepState::Ended)
}

#[derive(Debug)]
struct Watcher {
    screen: Option<Screen>,
    /// What was news last of each run, where lines are printed.
    printed: BTreeMap<u32, String>,
    is_lost: bool,
}

impl Watcher {
    fn new() -> Self {
        Self { screen: Screen::new(), printed: BTreeMap::new(), is_lost: false }
    }

    fn show(&mut self, view: &SweepView) -> anyhow::Result<()> {
        self.is_lost = false;
        if let Some(screen) = &mut self.screen {
            let (_, height) = Screen::size();
            return Ok(screen.draw(&picture(view, height.saturating_sub(LINES_AROUND).max(1)))?);
        }
        for run in &view.runs {
            let news = news(run);
            if self.printed.get(&run.number) != Some(&news) {
                let (at, line) = (Utc::now().format("%H:%M:%S"), line(run));
                print::result(&format!("{at} {}/{} {line}", view.summary.name, run.number))?;
                self.printed.insert(run.number, news);
            }
        }
        Ok(())
    }

    fn lost(&mut self, error: &anyhow::Error) {
        if !self.is_lost {
            self.is_lost = true;
            print::note(&format!(
                "{error:#}; waiting for the controller (Ctrl-C ends this watch only)"
            ));
        }
    }
}

/// Changes when a run moves, not with every step.
fn line(run: &RunRow) -> String {
    let standing = match (run.state, run.outcome) {
        (RunState::Done, Some(outcome)) => words::outcome(outcome).to_owned(),
        (RunState::Leased, _) => format!("leased: attempt {}", run.attempt),
        (state, _) => words::run_state(state).to_owned(),
    };
    let why = words::why(run);
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{}: {standing}{colon}{why}", run.label)
}

/// A line is printed when this changes. Which run is the next in the queue changes with every one that is placed: who
/// waits behind it is no news each time.
fn news(run: &RunRow) -> String {
    let is_behind = run.waiting.as_ref().is_some_and(|why| why.contains("behind "));
    if run.state == RunState::Queued && is_behind { BEHIND.to_owned() } else { line(run) }
}

/// The sweep with at most so many runs: those that run, then failures, then what ended last, then
/// what waits.
fn picture(view: &SweepView, runs_max: usize) -> String {
    let summary = &view.summary;
    let (done, of) = done(&view.runs);
    let percent = (done * 100).checked_div(of).unwrap_or(0);
    let filled = usize::try_from(percent).map_or(0, |percent| percent * BAR_WIDTH / 100);
    let mut text = format!(
        "{}: {}, {}\n{}[{}{}] {}%\n\n",
        summary.name,
        words::sweep_state(summary.state),
        words::counts(&summary.counts),
        words::limits(summary),
        "#".repeat(filled),
        "-".repeat(BAR_WIDTH - filled),
        percent,
    );
    let mut runs: Vec<_> = view.runs.iter().collect();
    runs.sort_by_key(|run| (urgency(run), run.number));
    let left_out = runs.len().saturating_sub(runs_max);
    runs.truncate(runs_max);

    let mut table = Table::new(&[">run", "point", "state", ">step", ">loss", ">took", "why"]);
    let now = Utc::now();
    for run in runs {
        table.row([
            run.number.to_string(),
            run.label.clone(),
            words::standing(run),
            words::progress(run),
            run.latest.get("train/loss").map_or_else(String::new, |loss| words::number(*loss)),
            words::took(run, now),
            words::why(run).to_owned(),
        ]);
    }
    text.push_str(&table.text());
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more: ctl run ls {}\n", summary.name));
    }
    text
}

/// Steps done and steps to do, in shares of a thousand per run, since runs that have not started do
/// not know their steps.
fn done(runs: &[RunRow]) -> (u64, u64) {
    let share = |run: &RunRow| match run.state {
        RunState::Done => 1000,
        RunState::Queued | RunState::Leased | RunState::Stopping => {
            (run.step * 1000).checked_div(run.steps).unwrap_or(0)
        }
    };
    (runs.iter().map(share).sum(), 1000 * runs.len() as u64)
}

fn urgency(run: &RunRow) -> (u8, i64) {
    let last_first = run.ended_at.map_or(0, |at| -at.timestamp_millis());
    match (run.state, run.outcome) {
        (RunState::Leased | RunState::Stopping, _) => (0, 0),
        (RunState::Done, Some(Outcome::Succeeded | Outcome::StoppedEarly)) => (2, last_first),
        (RunState::Done, _) => (1, last_first),
        (RunState::Queued, _) => (3, 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture;
    use super::*;

    fn runs() -> Vec<RunRow> {
        let done = |outcome: &str, minute: u32, reason: Value| {
            json!({"state": "done", "outcome": outcome, "reason": reason, "step": 200, "steps": 200,
                "ended_at": format!("2026-01-01T00:{minute:02}:00Z")})
        };
        vec![
            fixture::run(1, done("succeeded", 5, Value::Null)),
            fixture::run(2, done("succeeded", 9, Value::Null)),
            fixture::run(3, done("failed", 7, json!("the data has no field `text`"))),
            fixture::run(4, json!({"waiting": "no free slot"})),
            fixture::run(
                5,
                json!({"state": "leased", "attempt": 2, "phase": "training", "step": 50,
                    "steps": 200, "latest": {"train/loss": 2.5}}),
            ),
        ]
    }

    fn sweep() -> SweepView {
        let counts = json!({"queued": 1, "leased": 1, "stopping": 0, "succeeded": 2, "diverged": 0,
            "failed": 1, "cancelled": 0, "stopped_early": 0});
        serde_json::from_value(json!({
            "sweep_id": "00000000-0000-0000-0000-000000000000", "project": "default",
            "name": "grid", "state": "running", "counts": counts, "tags": [],
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "file": "", "folder": "", "axes": [], "runs": runs(), "series": [], "cursor": "0",
        }))
        .expect("the view of a sweep")
    }

    #[test]
    fn the_picture_shows_what_runs_then_failures_then_what_ended_last_then_what_waits() {
        let picture = picture(&sweep(), 4);
        let lines: Vec<_> = picture.lines().collect();
        assert_eq!(lines[0], "grid: running, 5 runs: 1 queued, 1 leased, 2 succeeded, 1 failed");
        // Three of five have ended, one has done a quarter: 3.25 of 5.
        assert_eq!(lines[1], format!("[{}{}] 65%", "#".repeat(26), "-".repeat(14)));
        let numbers: Vec<_> =
            lines[4..8].iter().map(|line| line.trim_start()[..1].to_owned()).collect();
        assert_eq!(numbers, ["5", "3", "2", "1"]);
        assert!(lines[4].contains("leased: training") && lines[4].contains("50/200  2.5000"));
        assert!(lines[5].ends_with("the data has no field `text`"));
        assert_eq!(lines[8..], ["and 1 more: ctl run ls grid"]);
    }

    #[test]
    fn a_line_changes_when_its_run_moves_and_not_with_its_steps() {
        let runs = runs();
        assert_eq!(line(&runs[3]), "point 4: queued: no free slot");
        assert_eq!(line(&runs[4]), "point 5: leased: attempt 2");
        let later = RunRow { step: 51, phase: Some("saving".to_owned()), ..runs[4].clone() };
        assert_eq!(line(&later), line(&runs[4]));
    }

    #[test]
    fn who_is_next_in_the_queue_is_no_news_for_those_behind() {
        let queued = |why: &str| fixture::run(4, json!({"waiting": why}));
        let behind = news(&queued("behind grid/2 in the queue"));
        assert_eq!(news(&queued("behind grid/3 in the queue")), behind);
        assert_eq!(news(&queued("waits behind earlier runs")), behind);
        assert_ne!(news(&queued("its sweep is paused")), behind);
        let next = news(&queued("pool local has 0 of 2 slots free, and it takes 1"));
        assert_ne!(next, behind);
    }
}
