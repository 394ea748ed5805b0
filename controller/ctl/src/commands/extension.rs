//! `ctl run extend`: a finished run goes on.

use assay_api::view::ExtendRequest;
use clap::Args;

use super::Session;
use crate::print::{self, Format};
use crate::words::RunName;

const HELP: &str = "\
The new run begins from the state that was kept before the decay, and takes only the steps
that are new. It gives, bit for bit, a run that was asked for so many tokens from the
beginning with the same warmup and decay: warmup, batch, seed and data order stay, the stable
phase is longer. The run that it extends stays as it is.

Examples:
  ctl run extend lr-and-mix/17 --tokens 2x
  ctl run extend lr-and-mix/17 --tokens 400k
  ctl run extend lr-and-mix/17 --tokens 2x --decay 20%    its decay grows with it";

/// Train a finished run longer, from before its decay: a new run of its sweep.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Extend {
    /// The run, like lr-and-mix/17: one that succeeded, with a schedule that decays at the end (wsd).
    #[arg(value_name = "SWEEP/NUMBER")]
    run: RunName,

    /// Tokens in all: a multiple of what it trained on (2x), or an amount (400k).
    #[arg(long, value_name = "TOKENS")]
    tokens: String,

    /// The decay of the longer run, like 20% or `80 steps`. Default: as many steps as before.
    #[arg(long, value_name = "STEPS")]
    decay: Option<String>,
}

pub(crate) async fn extend(session: &Session, options: &Extend) -> anyhow::Result<()> {
    let Extend { run, tokens, decay } = options;
    let asked = ExtendRequest { tokens: tokens.clone(), decay: decay.clone() };
    let answer = session.client.extend_run(session.id_of(run).await?, &asked).await?;
    if session.format != Format::Table {
        print::view(session.format, &answer, |_| String::new())?;
    }
    let name = RunName { sweep: run.sweep.clone(), number: answer.number };
    print::note(&format!(
        "{name} ({}) is queued: it goes on from step {} of {run}; `ctl run logs {name} --follow` looks on.",
        answer.label, answer.step
    ));
    Ok(())
}
