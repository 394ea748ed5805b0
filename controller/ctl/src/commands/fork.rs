//! `ctl sweep fork`: a new sweep from a stored one.

use std::path::{Path, PathBuf};

use assay_api::view::ForkRequest;
use clap::Args;

use super::{Session, apply};
use crate::failure::InFile;
use crate::print;

const HELP: &str = "\
The new sweep is pinned to the data of the one that it is made from: if a source has changed
since, its runs say so and stop. Prepared data is shared, and not tokenized again.

Examples:
  ctl sweep fork lr-and-mix lr-and-mix-2
  ctl sweep get lr-and-mix -o json | jq -r .file > changed.yaml    and edit it
  ctl sweep fork lr-and-mix longer --file changed.yaml";

/// Make a new sweep from the file of a stored one, or from a changed file, about the same data.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// The sweep to begin from; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    sweep: String,

    /// Name of the new sweep.
    #[arg(value_name = "NEW")]
    name: String,

    /// A changed file, `-` for standard input; whatever name it has, NEW counts. Default: the file as
    /// SWEEP was last applied.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn fork(session: &Session, options: &Options) -> anyhow::Result<()> {
    let Options { sweep, name, file } = options;
    let (text, folder) = match file.as_deref().map(apply::read).transpose()? {
        Some((text, folder)) => (Some(text), Some(folder)),
        None => (None, None),
    };
    let asked = ForkRequest { name: name.clone(), file: text, folder };
    let place = file.as_deref().unwrap_or(Path::new("the stored file")).to_owned();
    let answer = session.client.fork(sweep, &asked).await;
    let answer = answer.map_err(|error| anyhow::Error::from(error).context(InFile(place)))?;
    print::view(session.format, &answer, |answer| apply::show(&answer.plan))?;
    print::note(&format!("{name} is made from {sweep}; `ctl sweep watch {name}` looks on."));
    Ok(())
}
