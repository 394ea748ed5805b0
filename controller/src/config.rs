//! The command line and the environment, read once and parsed into what they mean.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use assay_api::kill_point::{self, Trap};
use clap::{Args, Parser, Subcommand};

/// The control plane of Assay: HTTP, Postgres, the scheduling loop and its pools.
#[derive(Debug, Parser)]
#[command(name = "assay-controller", version)]
pub struct Config {
    #[command(subcommand)]
    pub command: Command,

    /// Where a test wants this process to die.
    #[arg(long, env = kill_point::ENV, hide = true)]
    pub trap: Option<Trap>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and the web view, and schedule runs.
    Serve(Serve),
    /// Bring the database to this version's schema.
    Migrate {
        /// The database, for example `postgres://user@host/assay`.
        #[arg(long, env = "ASSAY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
        database_url: String,
    },
    /// Print the API as `OpenAPI` JSON.
    Openapi,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Folder of everything kept on this machine: the private Postgres, the installation's key,
    /// datasets, checkpoints and the output of workers.
    #[arg(long, env = "ASSAY_DATA", value_name = "FOLDER", default_value = ".assay")]
    pub data: PathBuf,

    /// Address to listen on. Only loopback is served without login, so only loopback is allowed.
    #[arg(long, env = "ASSAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8717",
        value_parser = loopback)]
    pub listen: SocketAddr,

    /// The database. Without it, a private Postgres is run in the data folder, from the `PostgreSQL`
    /// binaries of this machine, and migrated.
    #[arg(long, env = "ASSAY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Slots of the local pool: each run takes as many as it has `devices`. 0: there is no local pool.
    /// Default: the number of processors, or 0 with --pools.
    #[arg(long, env = "ASSAY_SLOTS", value_name = "N")]
    pub slots: Option<u32>,

    /// Pools on Kubernetes clusters: a YAML file, see docs/kubernetes.md.
    #[arg(long, env = "ASSAY_POOLS", value_name = "FILE")]
    pub pools: Option<PathBuf>,

    /// A second address, for workers alone: it answers whoever holds an attempt's secret, and nobody
    /// else. Pods need one, as they do not reach loopback.
    #[arg(long, env = "ASSAY_LISTEN_WORKERS", value_name = "ADDRESS")]
    pub listen_workers: Option<SocketAddr>,

    /// The worker's program. Default: `assay-worker` beside this one.
    #[arg(long, env = "ASSAY_WORKER", value_name = "FILE")]
    pub worker: Option<PathBuf>,

    /// Seconds that a worker may be silent before its attempt is given up.
    #[arg(long, env = "ASSAY_LEASE", value_name = "SECONDS", default_value = "60", value_parser = lease)]
    pub lease: Duration,

    /// Folder that relative paths of a sweep file start from, where a request names none. Default:
    /// where this program was started.
    #[arg(long, env = "ASSAY_FOLDER", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "expected an address and a port, like 127.0.0.1:8717")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback addresses (127.0.0.1, [::1]) are served: there is no login yet".into())
    }
}

/// Shorter than this, a busy machine would lose leases for nothing; longer, a dead worker's slot
/// would lie idle for an hour.
fn lease(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected whole seconds, 1 to 3600".into()),
    }
}
