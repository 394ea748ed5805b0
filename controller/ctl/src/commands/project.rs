//! `ctl project`: who works beside whom, and what each may use.

use std::process::ExitCode;

use assay_api::view::ProjectView;
use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::Session;
use crate::print::{self, Table};
use crate::words;

const HELP: &str = "\
A project is the scope of names, tokens and quotas. What names no project is of `default`.

Examples:
  ctl project create nlp                                  an admin of all projects may
  ctl project quota nlp --pool h100 --slots 8             its active runs take at most 8 of them
  ctl --project nlp token create ci --role editor         a token for it alone
  ctl --project nlp sweep ls                              or ASSAY_PROJECT=nlp";

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
pub(crate) enum Command {
    /// List the projects that you may look at: your role, sweeps, what each may use.
    Ls,
    /// Make a project.
    Create {
        /// 1 to 63 letters, digits, `-` and `_`.
        name: String,
    },
    /// Delete a project that holds no sweep, schedule or webhook, with its tokens.
    Delete { name: String },
    /// Say how many slots of a pool its active runs may take. What is active goes on.
    Quota {
        name: String,
        /// Whose slots.
        #[arg(long, value_name = "POOL")]
        pool: String,
        /// 0: nothing of it is placed there.
        #[arg(long, value_name = "N", required_unless_present = "none")]
        slots: Option<u32>,
        /// All of the pool again.
        #[arg(long, conflicts_with = "slots")]
        none: bool,
    },
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    match command {
        Command::Ls => {
            let projects = client.projects().await?;
            print::view(session.format, &projects, |projects| table(projects, Utc::now()))?;
        }
        Command::Create { name } => {
            client.create_project(&name).await?;
            print::note(&format!("{name} is there: `ctl --project {name} sweep apply FILE`."));
        }
        Command::Delete { name } => {
            client.delete_project(&name).await?;
            print::note(&format!("{name} is deleted, with its tokens."));
        }
        Command::Quota { name, pool, slots, none: _ } => {
            client.set_quota(&name, &pool, slots).await?;
            let may = slots.map_or_else(|| "all".to_owned(), |slots| format!("at most {slots}"));
            print::note(&format!("{name} may take {may} of the slots of {pool}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(projects: &[ProjectView], now: DateTime<Utc>) -> String {
    let mut table = Table::new(&["project", "you", ">sweeps", ">open runs", "quotas", "made"]);
    for project in projects {
        let quota = |quota: &assay_api::view::QuotaView| {
            format!("{}: {} of {}", quota.pool, quota.used, quota.slots)
        };
        let quotas: Vec<String> = project.quotas.iter().map(quota).collect();
        table.row([
            project.name.clone(),
            project.role.to_string(),
            project.sweeps.to_string(),
            project.open.to_string(),
            if quotas.is_empty() { "none".to_owned() } else { quotas.join(", ") },
            format!("{} ago by {}", words::duration(now - project.created_at), project.created_by),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use assay_api::view::{QuotaView, Role};

    use super::*;

    #[test]
    fn a_project_says_what_it_takes_of_what_it_may() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let project = |name: &str, quotas| ProjectView {
            name: name.to_owned(),
            role: Role::Editor,
            sweeps: 3,
            open: 40,
            quotas,
            created_at: now - chrono::TimeDelta::hours(49),
            created_by: "anna".to_owned(),
        };
        let quota = QuotaView { pool: "h100".to_owned(), slots: 8, used: 6 };
        let text = table(&[project("default", Vec::new()), project("nlp", vec![quota])], now);
        assert_eq!(
            text,
            "project  you     sweeps  open runs  quotas        made\n\
             default  editor       3         40  none          2d 1h ago by anna\n\
             nlp      editor       3         40  h100: 6 of 8  2d 1h ago by anna\n"
        );
    }
}
