//! `assay-controller serve`: build the app, run the server and the loop, drain.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_api::{KillPoint, kill_point};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::app::{self, App};
use crate::config::Serve;
use crate::http;
use crate::metrics;
use crate::news::News;
use crate::pool::kubernetes::KubernetesPool;
use crate::pool::local::LocalPool;
use crate::pool::{Pool, Pools, file as pools_file};
use crate::postgres::Postgres;
use crate::predecessor;
use crate::schedule;
use crate::secret::InstallationKey;
use crate::store::{self, Store};
use crate::webhook;

/// How long open requests and the loop get to end after the first signal.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Runs until a signal says to stop.
///
/// # Errors
/// Something that the controller stands on is missing or refuses it; each says what to do.
pub async fn serve(options: Serve) -> anyhow::Result<()> {
    let (access, reach) = (Arc::new(options.access()), options.reach());
    let Serve {
        data,
        listen,
        listen_workers,
        database_url,
        slots,
        pools,
        worker,
        lease,
        folder,
        provider,
        retention,
        ..
    } = options;
    let provider = provider.provider(access.url.as_deref())?.map(Arc::new);
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let data = data.canonicalize()?;
    let key = InstallationKey::read_or_make(&data.join("installation.key"))?;

    // listening first: a second controller on the same port fails before it touches anything
    let listener = listen_on(listen).await.with_context(|| {
        format!("cannot listen on {listen}: is another controller running? `--listen` takes another address")
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let workers = match listen_workers {
        Some(address) => Some(for_workers(address).await?),
        None => None,
    };

    let (postgres, store) = open_database(&data, database_url).await?;
    let installation = claim(&store, &key).await?;

    let wake = Arc::new(Notify::new());
    let slots = slots.unwrap_or_else(|| if pools.is_some() { 0 } else { processors() });
    let local = match slots {
        0 => None,
        slots => Some(LocalPool::new(&data, worker.map_or_else(beside, Ok)?, url.clone(), slots)?),
    };
    let pools = all_pools(local, pools.as_deref(), installation, &wake).await?;
    let folder = folder.map_or_else(std::env::current_dir, Ok)?.canonicalize()?;
    let app = App {
        store,
        pools,
        key,
        name: format!("{}:{}", listen, std::process::id()),
        access,
        provider,
        reach,
        lease_ms: u64::try_from(lease.as_millis())?,
        retention,
        folder: path_text(&folder)?,
        shutdown: CancellationToken::new(),
        wake,
        activation: Arc::default(),
        draining: Arc::default(),
        streams: app::stream_permits(),
        news: News::default(),
    };
    for (_, pool) in app.pools.each() {
        info!("pool {} has {} slots", pool.name(), pool.capacity());
    }
    if let Some(workers) = &workers {
        info!("listening for workers on http://{}", workers.local_addr()?);
    }
    info!(%url, "listening on {url}");
    run(app.clone(), listener, workers).await?;

    leave(&app, postgres).await
}

/// Gives the lead up, and stops the private server.
async fn leave(app: &App, postgres: Option<Postgres>) -> anyhow::Result<()> {
    if let Err(error) = store::leader::resign(&app.store.db, &app.name).await {
        warn!(%error, "could not give the lead up: {error}");
    }
    app.store.db.close().await;
    kill_point(KillPoint::GoneStopped);
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    Ok(())
}

/// The database that was named, or the private one, which is brought to this version's schema.
async fn open_database(
    data: &Path,
    named: Option<String>,
) -> anyhow::Result<(Option<Postgres>, Store)> {
    let no_connection = "cannot connect to the database";
    if let Some(url) = named {
        return Ok((None, Store::connect(&url).await.context(no_connection)?));
    }
    let postgres = Postgres::start(&data.join("postgres")).await?;
    let store = Store::connect(postgres.url()).await.context(no_connection)?;
    kill_point(KillPoint::DatabaseMadeMigrated);
    store.migrate().await.context("cannot migrate the private database")?;
    // the server's lock is ours, so whoever led here is dead
    store::leader::vacate(&store.db).await.context("cannot end the last controller's lead")?;
    Ok((Some(postgres), store))
}

async fn for_workers(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let what = || {
        format!("cannot listen on {address} for workers: `--listen-workers` takes another address")
    };
    listen_on(address).await.with_context(what)
}

async fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let is_held = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    predecessor::inherit(async || TcpListener::bind(address).await, is_held).await
}

/// The local pool, and those of the pools file.
async fn all_pools(
    local: Option<LocalPool>,
    file: Option<&Path>,
    installation: Uuid,
    wake: &Arc<Notify>,
) -> anyhow::Result<Pools> {
    let mut pools: Vec<Arc<dyn Pool>> = Vec::new();
    if let Some(local) = local {
        pools.push(Arc::new(local));
    }
    if let Some(path) = file {
        for (name, settings) in pools_file::read(path)? {
            let pool =
                KubernetesPool::new(name.clone(), settings, installation, wake.clone()).await;
            let pool = pool.with_context(|| format!("{}: {name}", path.display()))?;
            pools.push(Arc::new(pool));
        }
    }
    Pools::new(pools)
}

/// The server and the loop, side by side, until a signal.
async fn run(app: App, listener: TcpListener, workers: Option<TcpListener>) -> anyhow::Result<()> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = app.shutdown.clone();
    let scheduling = tokio::spawn(schedule::run(app.clone()));
    tokio::spawn(metrics::run(app.clone()));
    tokio::spawn(webhook::run(app.clone()));
    let server = axum::serve(listener, http::router(app.clone()))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let serving = tokio::spawn(server.into_future());
    if let Some(workers) = workers {
        let server = axum::serve(workers, http::workers_router(app.clone()))
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        tokio::spawn(server.into_future());
    }

    tokio::select! { _ = terminated.recv() => (), _ = interrupted.recv() => () }
    info!("stopping; a second signal leaves at once");
    tokio::select! {
        () = schedule::drain(&app) => (),
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    }
    shutdown.cancel();
    let ended = async { tokio::join!(serving, scheduling) };
    tokio::select! {
        _ = tokio::time::timeout(SHUTDOWN_GRACE, ended) => (),
        _ = terminated.recv() => (),
        _ = interrupted.recv() => (),
    }
    Ok(())
}

/// A database belongs to one key: with another, every worker alive would be refused.
async fn claim(store: &Store, key: &InstallationKey) -> anyhow::Result<Uuid> {
    let fingerprint = key.fingerprint();
    let (installation, recorded) = store::installation::claim(&store.db, &fingerprint)
        .await
        .context("cannot read the installation (`assay-controller migrate` makes the tables)")?;
    anyhow::ensure!(
        recorded == fingerprint,
        "this database belongs to another installation key ({}…, not {}…): use the data folder it \
         was made with, or another database",
        &recorded[..8],
        &fingerprint[..8],
    );
    store::project::make_default(&store.db).await?;
    Ok(installation)
}

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// `assay-worker` beside this program.
fn beside() -> anyhow::Result<PathBuf> {
    let worker = std::env::current_exe()?.with_file_name("assay-worker");
    anyhow::ensure!(
        worker.is_file(),
        "no worker at {}: build it (`cargo build`), or name it with --worker",
        worker.display()
    );
    Ok(worker)
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}
