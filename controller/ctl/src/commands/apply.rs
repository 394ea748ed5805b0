//! `ctl sweep plan` and `ctl sweep apply`: a file goes to the controller, what it would do comes back.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use assay_api::sweep::Timetable;
use assay_api::view::{ApplyRequest, Outcome, PlanView, TimesView};
use clap::{Args, ValueEnum};

use super::{Session, schedule};
use crate::print::{self, Format, Table};
use crate::words;

/// More points than this are counted, not listed, unless asked for as JSON or YAML.
const POINTS_SHOWN_MAX: usize = 60;

/// How a plan calls data that is prepared again.
const RENEWED: &str = "renewed";

#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// The sweep file; `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Cancel runs whose point is no longer in the file. Without it they are left alone.
    #[arg(long)]
    prune: bool,

    /// Queue again what failed (or diverged), or what was cancelled.
    #[arg(long, value_enum, value_name = "WHICH", value_delimiter = ',')]
    retry: Vec<Retry>,

    /// Prepare the data again, and train what has not been trained yet on what its files hold now.
    /// Refused while a run reads the old data; what was trained stays as it is.
    #[arg(long)]
    repin: bool,
}

/// Store the runs of a sweep file; the controller then runs them.
///
/// Applying a file twice does nothing the second time. A changed file extends its sweep: new points
/// are queued, finished ones kept, points that are no longer in it left alone (or cancelled, with
/// --prune). A file with errors stores nothing, and every error is shown with its place.
#[derive(Debug, Args)]
pub(crate) struct ApplyOptions {
    #[command(flatten)]
    file: FileOptions,

    /// Do not ask before runs are cancelled or data is given up.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Retry {
    Failed,
    Cancelled,
}

impl FileOptions {
    fn request(&self) -> anyhow::Result<ApplyRequest> {
        let (file, folder) = read(&self.file)?;
        let retry = self.retry.iter().flat_map(|which| match which {
            Retry::Failed => &[Outcome::Failed, Outcome::Diverged][..],
            Retry::Cancelled => &[Outcome::Cancelled],
        });
        let retry = retry.copied().collect();
        let (prune, repin) = (self.prune, self.repin);
        Ok(ApplyRequest { file, folder: Some(folder), prune, retry, repin })
    }
}

/// A sweep file, and the folder that its relative paths start from.
pub(super) fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let (text, folder) = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        (text, std::env::current_dir()?)
    } else {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {name}: name a sweep file"))?;
        let path = std::path::absolute(file)?;
        (text, path.parent().context("a file has a folder")?.to_owned())
    };
    let folder = folder.into_os_string().into_string();
    let folder = folder.map_err(|folder| {
        anyhow::anyhow!("{} is not UTF-8: move the sweep file", folder.display())
    })?;
    Ok((text, folder))
}

pub(crate) async fn plan(session: &Session, options: &FileOptions) -> anyhow::Result<ExitCode> {
    let request = options.request()?;
    let plan = session.client.plan(&request).await.map_err(|e| at_file(e.into(), options))?;
    print::view(session.format, &plan, show)?;
    print::note("Nothing was changed; `ctl sweep apply` does it.");
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn apply(session: &Session, options: &ApplyOptions) -> anyhow::Result<ExitCode> {
    let request = options.file.request()?;
    let place = |error: assay_api::client::Error| at_file(error.into(), &options.file);
    if (request.prune || request.repin) && !options.yes {
        let plan = session.client.plan(&request).await.map_err(place)?;
        ask(&request, &plan)?;
    }
    let answer = session.client.apply(&request).await.map_err(place)?;
    print::view(session.format, &answer, |answer| show(&answer.plan))?;
    if session.format == Format::Table {
        let name = &answer.plan.sweep;
        if answer.plan.schedule.is_some() {
            print::note(&format!(
                "Kept. `ctl schedule get {name}` shows how its times went, `ctl schedule run {name}` applies it now."
            ));
            return Ok(ExitCode::SUCCESS);
        }
        print::note(&format!(
            "Applied. `ctl sweep watch {name}` looks on, as does {}{}/sweeps/{name}",
            session.url.trim_end_matches('/'),
            session.project.as_ref().map_or_else(String::new, |name| format!("/projects/{name}"))
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing is asked where nothing would be given up.
fn ask(request: &ApplyRequest, plan: &PlanView) -> anyhow::Result<()> {
    let (dropped, renewed) = (plan.dropped, renewed(plan));
    let mut questions = Vec::new();
    if request.prune && 0 < dropped {
        questions.push((
            format!("Cancel {dropped} run(s) that are no longer in the file?"),
            format!("--prune cancels {dropped} run(s) unless they have ended"),
            "leave --prune out to keep them",
        ));
    }
    if request.repin && 0 < renewed {
        questions.push((
            format!("Prepare {renewed} dataset(s) again, and train on what their files hold now?"),
            format!("--repin gives up the data that {renewed} prepare run(s) made"),
            "leave --repin out to keep the data",
        ));
    }
    if !questions.is_empty() {
        print::note(&show(plan));
    }
    for (question, what, instead) in questions {
        match print::confirm(&question)? {
            Some(true) => {}
            Some(false) => anyhow::bail!("nothing was changed; {instead}"),
            None => anyhow::bail!("{what}, and nobody can be asked: add --yes if you mean it"),
        }
    }
    Ok(())
}

fn renewed(plan: &PlanView) -> usize {
    plan.points.iter().filter(|point| point.change == RENEWED).count()
}

/// Errors in the file are shown at their places in it, which only this side knows by name.
fn at_file(error: anyhow::Error, options: &FileOptions) -> anyhow::Error {
    error.context(crate::failure::InFile(options.file.clone()))
}

pub(super) fn show(plan: &PlanView) -> String {
    let mut text = String::new();
    let what = if plan.schedule.is_some() { "schedule" } else { "sweep" };
    let is_new = if plan.is_new { format!("new {what}") } else { what.to_owned() };
    let parts = [
        (plan.added, "added"),
        (plan.kept, "kept"),
        (plan.dropped, "no longer in the file"),
        (plan.retried, "queued again"),
    ];
    let parts: Vec<_> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let changes = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    text.push_str(&format!("{is_new} {}: {changes}\n\n", plan.sweep));
    text.push_str(&plan.schedule.as_ref().map(times).unwrap_or_default());

    text.push_str(&points(plan));
    if plan.added > 0 {
        let hours = plan.hours.map_or_else(
            || "no time is known before runs of this size were seen".to_owned(),
            |hours| format!("about {}", words::hours(hours)),
        );
        text.push_str(&format!(
            "\nto train: {} tokens, {} FLOPs; {hours}\n",
            words::count(plan.tokens),
            words::amount(plan.flops)
        ));
    }
    if plan.reused > 0 {
        text.push_str(&format!(
            "to reuse: {} of them have been trained already, and are not trained again if their data is as it was\n",
            plan.reused
        ));
    }
    if !plan.sources.is_empty() {
        let mut table = Table::new(&["source", ">bytes", ">tokens", ">epochs"]);
        for source in &plan.sources {
            table.row([
                source.source.clone(),
                words::count(source.bytes),
                format!("~{}", words::count(source.tokens)),
                epochs(source.epochs_min, source.epochs_max),
            ]);
        }
        text.push_str(&format!("\n{}", table.text()));
    }
    for warning in &plan.warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    text
}

/// When all of it is done, and again.
fn times(times: &TimesView) -> String {
    let next: Vec<String> = times.next.iter().map(|at| schedule::time(*at)).collect();
    let next = if next.is_empty() { "never again".to_owned() } else { next.join(", ") };
    let Timetable { cron, zone, overlap, keep } = &times.timetable;
    let keep = keep.map_or_else(String::new, |keep| format!("keeps    the last {keep}\n"));
    let overlap = schedule::overlapping(*overlap);
    format!(
        "each time, as a sweep of its own:\ntimes    {cron} ({zone})\nnext     {next}\noverlap  {overlap}\n{keep}\n"
    )
}

fn points(plan: &PlanView) -> String {
    if plan.points.len() > POINTS_SHOWN_MAX {
        return format!("{} points; -o json lists them\n", plan.points.len());
    }
    let mut table = Table::new(&["", ">run", "kind", "point", ""]);
    for point in &plan.points {
        let mark = match point.change.as_str() {
            "added" => "+",
            "cancelled" => "-",
            "retried" | RENEWED => "~",
            _ => "",
        };
        table.row([
            mark.to_owned(),
            point.number.map_or_else(String::new, |number| number.to_string()),
            words::kind(point.kind).to_owned(),
            point.label.clone() + if point.is_baseline { " (baseline)" } else { "" },
            point.change.clone(),
        ]);
    }
    table.text()
}

fn epochs(least: f64, most: f64) -> String {
    if (most - least).abs() < 0.005 {
        format!("{most:.2}")
    } else {
        format!("{least:.2} to {most:.2}")
    }
}
