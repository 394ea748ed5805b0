//! `ctl up`: everything on this machine, in one terminal.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use assay_api::client::Client;
use clap::Args;

use super::{become_program, beside};
use crate::print;

const HELP: &str = "\
The first Ctrl-C lets the running attempts save a checkpoint, then stops everything; the
next `ctl up` on the same folder goes on from there. A second Ctrl-C leaves at once. If the
controller is killed, the next `ctl up` adopts the workers and the database that still run.

PostgreSQL 14 or newer must be installed (`apt-get install postgresql`); it need not run.

Examples:
  ctl up                              data in ./.assay, http://127.0.0.1:8717
  ctl up --data ~/ablations --slots 4
  ctl up --port 9000                  then: export ASSAY_URL=http://127.0.0.1:9000";

/// Start everything on this machine: database, controller, local workers, web view.
///
/// The database is a private Postgres in the data folder, reachable on no network. Workers
/// run as processes here, at most as many at a time as there are slots.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Up {
    /// Folder of everything that is kept: database, datasets, checkpoints, output of workers.
    #[arg(long, value_name = "FOLDER", default_value = ".assay")]
    data: PathBuf,

    /// Port on the loopback interface, for the web view and the API.
    #[arg(long, value_name = "PORT", default_value_t = 8717)]
    port: u16,

    /// How many slots the runs share; each takes as many as it has `devices`. Default: the number of
    /// processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,

    /// Pools on Kubernetes clusters, beside the local one: a YAML file, see docs/kubernetes.md.
    #[arg(long, value_name = "FILE", requires = "listen_workers")]
    pools: Option<PathBuf>,

    /// A second address, for the workers of those pools alone; pods must reach it.
    #[arg(long, value_name = "ADDRESS")]
    listen_workers: Option<std::net::SocketAddr>,

    /// Use this Postgres server instead of a private one; its schema is made with
    /// `assay-controller migrate`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

pub(crate) async fn up(options: &Up) -> anyhow::Result<ExitCode> {
    let Up { data, port, slots, pools, listen_workers, database_url } = options;
    let url = format!("http://127.0.0.1:{port}");
    anyhow::ensure!(
        Client::new(&url, None)?.pools().await.is_err(),
        "a controller is already running at {url}: use that one, or start another with --port and \
         its own --data"
    );
    let mut command = Command::new(beside("assay-controller")?);
    command.arg("serve").arg("--data").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
    // here there is always a local pool
    let slots = slots.map_or_else(processors, |slots| slots.to_string());
    command.args(["--slots", &slots]);
    if let Some(pools) = pools {
        command.arg("--pools").arg(pools);
    }
    if let Some(address) = listen_workers {
        command.args(["--listen-workers", &address.to_string()]);
    }
    if let Some(database_url) = database_url {
        // Not an argument: it may hold a password, and everybody can read arguments.
        command.env("ASSAY_DATABASE_URL", database_url);
    }
    print::note(&format!(
        "Starting Assay at {url}, with its data in {}. Ctrl-C stops it.",
        data.display()
    ));
    Err(become_program(&mut command))
}

fn processors() -> String {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string()
}
