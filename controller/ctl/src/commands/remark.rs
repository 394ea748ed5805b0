//! What people say about runs and sweeps: exclude, note, tag, put before others.

use assay_api::sweep::PRIORITIES;
use assay_api::view::{ExcludeRequest, NoteRequest};
use clap::builder::RangedI64ValueParser;
use clap::{Args, value_parser};

use super::Session;
use crate::print::{self, Format};
use crate::words::RunName;

const EXCLUDE_HELP: &str = "\
The run stays: its curves are drawn in gray, its row is greyed, and a footnote under every
ranking that lacks it says why, and who said so. `ctl run include` takes that back.

Examples:
  ctl run exclude lr-and-mix/17 --because \"trained while the disk was failing\"
  ctl run include lr-and-mix/17";

/// Keep runs, but leave them out of the ranking and the answer.
#[derive(Debug, Args)]
#[command(after_help = EXCLUDE_HELP)]
pub(crate) struct Exclude {
    /// The runs, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER", required = true)]
    runs: Vec<RunName>,

    /// Why, in a sentence: it stands under every table that lacks the run.
    #[arg(long, value_name = "SENTENCE")]
    because: String,

    #[command(flatten)]
    author: Author,
}

#[derive(Debug, Args)]
struct Author {
    /// Who says so.
    #[arg(long = "by", env = "USER", value_name = "NAME")]
    name: Option<String>,
}

impl Author {
    /// An empty variable names nobody.
    fn name(&self) -> Option<String> {
        self.name.clone().filter(|name| !name.trim().is_empty())
    }
}

const NOTE_HELP: &str = "\
Examples:
  ctl run note lr-and-mix/17 --step 400 \"loss jumps: the shard with the broken encoding\"
  ctl run note lr-and-mix/17 \"the one that went into the report\"
  ctl run note lr-and-mix/17 --remove 3       the note that `ctl run get` lists as 3";

/// Write a note to a run, pinned to a step: its page lists it, its charts have a mark there.
#[derive(Debug, Args)]
#[command(after_help = NOTE_HELP)]
pub(crate) struct Note {
    /// The run, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER")]
    run: RunName,

    /// The note.
    #[arg(value_name = "TEXT", required_unless_present = "remove")]
    text: Option<String>,

    /// The step that it speaks of; without one, the run as a whole.
    #[arg(long, value_name = "STEP")]
    step: Option<u64>,

    /// Take a note back, by its number.
    #[arg(long, value_name = "NOTE", conflicts_with_all = ["text", "step"])]
    remove: Option<i64>,

    #[command(flatten)]
    author: Author,
}

#[derive(Debug, Args)]
pub(crate) struct RunTag {
    /// The run, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER")]
    run: RunName,

    /// One word, like keep.
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SweepTag {
    /// Name of the sweep; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    sweep: String,

    /// One word, like keep.
    #[arg(value_name = "TAG", required = true)]
    tags: Vec<String>,
}

/// A priority, within the bounds that the API has as well.
fn priority() -> RangedI64ValueParser<i16> {
    value_parser!(i16).range(i64::from(*PRIORITIES.start())..=i64::from(*PRIORITIES.end()))
}

#[derive(Debug, Args)]
pub(crate) struct RunPriority {
    /// The run, like lr-and-mix/17.
    #[arg(value_name = "SWEEP/NUMBER")]
    run: RunName,

    /// Higher goes first; runs begin with 0.
    #[arg(value_name = "PRIORITY", allow_negative_numbers = true, value_parser = priority())]
    priority: i16,
}

#[derive(Debug, Args)]
pub(crate) struct SweepPriority {
    /// Name of the sweep; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    sweep: String,

    /// Higher goes first; runs begin with 0.
    #[arg(value_name = "PRIORITY", allow_negative_numbers = true, value_parser = priority())]
    priority: i16,
}

pub(crate) async fn exclude(session: &Session, options: &Exclude) -> anyhow::Result<()> {
    let because = options.because.clone();
    let why = ExcludeRequest { because, author: options.author.name() };
    for run in &options.runs {
        let id = session.id_of(run).await?;
        session.client.exclude_run(id, &why).await?;
        print::note(&format!(
            "{run} is kept and no longer compared; `ctl run include {run}` takes that back."
        ));
    }
    Ok(())
}

pub(crate) async fn include(session: &Session, runs: &[RunName]) -> anyhow::Result<()> {
    for run in runs {
        session.client.include_run(session.id_of(run).await?).await?;
        print::note(&format!("{run} is compared again; `ctl sweep get {}` ranks it.", run.sweep));
    }
    Ok(())
}

pub(crate) async fn note(session: &Session, options: &Note) -> anyhow::Result<()> {
    let Note { run, text, step, remove, author } = options;
    let id = session.id_of(run).await?;
    if let Some(note) = remove {
        session.client.remove_note(id, *note).await?;
        print::note(&format!("note {note} of {run} is gone."));
        return Ok(());
    }
    let text = text.clone().unwrap_or_default();
    let asked = NoteRequest { step: *step, text, author: author.name() };
    let written = session.client.note_run(id, &asked).await?;
    if session.format != Format::Table {
        print::view(session.format, &written, |_| String::new())?;
    }
    let number = written.note_id;
    print::note(&format!("note {number}; `ctl run note {run} --remove {number}` takes it back."));
    Ok(())
}

/// Whether a tag is put on something or taken from it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tagging {
    Put,
    Take,
}

pub(crate) async fn tag_run(
    session: &Session,
    RunTag { run, tags }: &RunTag,
    tagging: Tagging,
) -> anyhow::Result<()> {
    let id = session.id_of(run).await?;
    for tag in tags {
        match tagging {
            Tagging::Put => session.client.tag_run(id, tag).await?,
            Tagging::Take => session.client.untag_run(id, tag).await?,
        }
    }
    print::note(&tagged(&run.to_string(), tags, tagging));
    Ok(())
}

pub(crate) async fn tag_sweep(
    session: &Session,
    SweepTag { sweep, tags }: &SweepTag,
    tagging: Tagging,
) -> anyhow::Result<()> {
    for tag in tags {
        match tagging {
            Tagging::Put => session.client.tag_sweep(sweep, tag).await?,
            Tagging::Take => session.client.untag_sweep(sweep, tag).await?,
        }
    }
    print::note(&tagged(sweep, tags, tagging));
    Ok(())
}

fn tagged(what: &str, tags: &[String], tagging: Tagging) -> String {
    let tags = tags.join(", ");
    match tagging {
        Tagging::Put => format!("{what} is tagged {tags}."),
        Tagging::Take => format!("{what} is no longer tagged {tags}."),
    }
}

pub(crate) async fn prioritize_run(
    session: &Session,
    RunPriority { run, priority }: &RunPriority,
) -> anyhow::Result<()> {
    session.client.prioritize_run(session.id_of(run).await?, *priority).await?;
    print::note(&format!(
        "{run} has priority {priority}: higher goes first, and what runs goes on."
    ));
    Ok(())
}

pub(crate) async fn prioritize_sweep(
    session: &Session,
    SweepPriority { sweep, priority }: &SweepPriority,
) -> anyhow::Result<()> {
    session.client.prioritize_sweep(sweep, *priority).await?;
    print::note(&format!(
        "every run of {sweep} has priority {priority}: higher goes first, and what runs goes on."
    ));
    Ok(())
}
