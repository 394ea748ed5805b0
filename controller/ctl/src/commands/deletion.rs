//! `ctl sweep delete`: says what goes, asks, and deletes.

use assay_api::view::DeletionView;
use clap::Args;

use super::Session;
use crate::print::{self, Table};
use crate::words;

const HELP: &str = "\
What runs of other sweeps still need stays: data is shared by what was prepared, and a sweep
whose runs others stand on is refused. Where the controller does not reach a pool's storage
(on Kubernetes), the files stay, and it says which and where; -o json lists their folders.

Examples:
  ctl sweep delete lr-and-mix
  ctl sweep delete lr-and-mix --cancel     also if something of it still runs
  ctl sweep delete lr-and-mix --yes        without being asked, for scripts";

/// Delete a sweep with its data: runs, points, notes, checkpoints. Nothing brings them back.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Name of the sweep; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    name: String,

    /// Cancel what has not ended first; without this, such a sweep is refused.
    #[arg(long)]
    cancel: bool,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn delete(session: &Session, options: &Options) -> anyhow::Result<()> {
    let Options { name, cancel, yes } = options;
    if !yes {
        let what = session.client.deletion(name).await?;
        anyhow::ensure!(
            what.open == 0 || *cancel,
            "{} of {} runs of {name} have not ended: wait for them, or add --cancel",
            what.open,
            what.runs
        );
        print::note(&show(&what));
        match print::confirm(&format!("Delete {name}?"))? {
            Some(true) => {}
            Some(false) => anyhow::bail!("nothing was deleted"),
            None => anyhow::bail!(
                "this deletes {name} for good, and nobody can be asked: add --yes if you mean it"
            ),
        }
    }
    let gone = session.client.delete_sweep(name, *cancel).await?;
    print::view(session.format, &gone, show)?;
    print::note(&if gone.is_deleted {
        format!("{name} is deleted.")
    } else {
        format!(
            "{name} is being cancelled, and deleted once all of it has ended; `ctl sweep ls` shows it until then."
        )
    });
    Ok(())
}

fn show(what: &DeletionView) -> String {
    let mut table = Table::new(&["what", ">how much"]);
    table.row(["runs".to_owned(), what.runs.to_string()]);
    table.row(["  not ended".to_owned(), what.open.to_string()]);
    table.row(["points".to_owned(), words::count(what.points)]);
    table.row(["runs with checkpoints".to_owned(), what.checkpoints.to_string()]);
    table.row(["  about".to_owned(), format!("{}B", words::count(what.checkpoint_bytes))]);
    table.row(["prepared datasets of its own".to_owned(), what.datasets.to_string()]);
    let mut text = table.text();
    if let Some(place) = &what.files_stay {
        text.push_str(&format!(
            "\nThe files stay: {place}. Folders there: {}; delete them where they lie.\n",
            what.folders.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_nobody_here_reaches_are_named_with_their_place() {
        let what = DeletionView {
            sweep: "grid".to_owned(),
            runs: 12,
            open: 0,
            needed_by: Vec::new(),
            points: 123_456,
            checkpoints: 9,
            checkpoint_bytes: 2_500_000_000,
            datasets: 1,
            pool: "h100".to_owned(),
            files_stay: Some("in the volume data".to_owned()),
            folders: vec!["runs/a".to_owned(), "datasets/b".to_owned()],
            is_deleted: false,
        };
        assert_eq!(
            show(&what),
            "what                          how much\n\
             runs                                12\n\
             \x20 not ended                          0\n\
             points                            123k\n\
             runs with checkpoints                9\n\
             \x20 about                         2.50GB\n\
             prepared datasets of its own         1\n\
             \n\
             The files stay: in the volume data. Folders there: runs/a, datasets/b; delete them where they lie.\n"
        );
        let here = DeletionView { files_stay: None, ..what };
        assert!(!show(&here).contains("stay"));
    }
}
