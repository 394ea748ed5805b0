//! The private server of `ctl up`: a `PostgreSQL` cluster in a folder, served on a unix socket only.
//!
//! The folder holds `data` (the cluster; a link where the server's user may not enter the folder),
//! `log` (what the server says), `lock` (held while somebody runs the server) and, where its path is
//! short enough, `socket`. Everything that can fail halfway is made beside and renamed.
//!
//! The server is its own process group: Ctrl-C in a terminal does not reach it, so that workers can
//! flush first. It outlives a killed controller, and the next start adopts it; dropping a
//! [`Postgres`] or calling [`Postgres::stop`] shuts it down. If it dies, it is started again.
//!
//! **Invariant:** two processes never run one folder's server: the lock is taken before anything is
//! looked at, and the kernel gives it back when its holder dies.

mod cluster;
mod owner;
mod programs;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info, warn};

use cluster::Cluster;
pub use cluster::running;
use server::Server;

/// The oldest version that the queries were written for.
const MAJOR_MIN: u32 = 14;

/// Between two tries to start a server that died; doubles from the first to the second.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(100);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL server on this machine: install it with `apt-get install postgresql`, put \
         its `bin` folder on PATH, or name another server with --database-url"
    )]
    NotInstalled,
    #[error(
        "PostgreSQL {found} is too old, {MAJOR_MIN} or newer is needed: install it with \
         `apt-get install postgresql`, or name another server with --database-url"
    )]
    TooOld { found: u32 },
    #[error(
        "the data in {folder} was written by PostgreSQL {wanted}, which is no longer installed: \
         install it with `apt-get install postgresql-{wanted}`, or start in another data folder"
    )]
    OtherVersion { folder: PathBuf, wanted: u32 },
    #[error(
        "another controller runs on {0}: stop it first, or start this one in another data folder"
    )]
    Busy(PathBuf),
    #[error(
        "the data in {folder} belongs to user {owner}, who is somebody else: start as that user or \
         as root, or in another data folder"
    )]
    Foreign { folder: PathBuf, owner: u32 },
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`: add one"
    )]
    NoUser,
    #[error("no cluster could be made in {folder}: initdb said\n{said}")]
    Initdb { folder: PathBuf, said: String },
    #[error("the PostgreSQL server in {folder} does not start: the end of its log is\n{log}")]
    DoesNotStart { folder: PathBuf, log: String },
    #[error("the PostgreSQL server in {folder} runs but did not answer for {seconds} s")]
    DoesNotAnswer { folder: PathBuf, seconds: u64 },
    #[error("the PostgreSQL server in {folder} did not stop within {seconds} s")]
    DoesNotStop { folder: PathBuf, seconds: u64 },
    #[error(
        "no private PostgreSQL server can be seen in {folder}: start its controller (`ctl up`), or \
         name another server with --database-url"
    )]
    NotRunning {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not make the database in the private PostgreSQL server")]
    Database(#[source] sqlx::Error),
    #[error("could not {action} {path}")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Gives an I/O error its place.
fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { action, path: path.to_owned(), source }
}

/// A running private server, watched.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    watch: JoinHandle<Result<(), Error>>,
    stopping: DropGuard,
}

impl Postgres {
    /// Starts the server of `folder`, or adopts the one that still runs there, and returns when it
    /// answers. The first time, the folder and the cluster in it are made.
    pub async fn start(folder: &Path) -> Result<Self, Error> {
        let cluster = Cluster::open(folder).await?;
        let server = Server::start(&cluster).await?;
        cluster.make_database().await?;
        let url = cluster.url();
        let stopping = CancellationToken::new();
        let watch = tokio::spawn(watch(cluster, server, stopping.clone()));
        Ok(Self { url, watch, stopping: stopping.drop_guard() })
    }

    /// For sqlx and psql alike.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all sessions, writes everything to disk and returns when the server has ended.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stopping);
        match self.watch.await {
            Ok(stopped) => stopped,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// Starts the server again whenever it dies, until it is to stop.
async fn watch(
    cluster: Cluster,
    mut server: Server,
    stopping: CancellationToken,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return server.stop(&cluster).await,
            how = server.ended() => warn!("the private PostgreSQL server died ({how}); it is started again"),
        }
        let again = async {
            let mut pause = RESTART_PAUSE_MIN;
            loop {
                match Server::start(&cluster).await {
                    Ok(server) => return server,
                    Err(error) => error!("{:#}; next try in {pause:?}", anyhow::Error::new(error)),
                }
                tokio::time::sleep(pause).await;
                pause = RESTART_PAUSE_MAX.min(pause * 2);
            }
        };
        server = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            server = again => server,
        };
        info!("the private PostgreSQL server answers again");
    }
}
