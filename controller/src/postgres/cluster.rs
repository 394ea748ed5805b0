//! A cluster on disk: where it lies, how it is made, how it is reached.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use assay_api::{KillPoint, kill_point};
use rustix::process::Pid;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

use super::owner::Owner;
use super::programs::Programs;
use super::{Error, file};
use crate::predecessor;

/// Longest path of a unix socket: 108 bytes with the closing NUL on Linux, 104 on other systems.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// The server names its socket for a port, though it listens on none.
const PORT: u16 = 5432;

/// Role and database.
const NAME: &str = "assay";

/// Where clusters go that must lie outside their folder.
const ELSEWHERE: &str = "/var/lib/assay";

/// Clusters that are being made, in their folder.
const UNFINISHED: &str = "data.new-";

/// How much of the log an error shows.
const LOG_LINES_SHOWN: usize = 12;

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) owner: Owner,
    pub(super) programs: Programs,
    /// What the server calls its data directory.
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) socket: PathBuf,
    _lock: File,
}

impl Cluster {
    /// The cluster of `folder`, made if there is none yet.
    pub(super) async fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(file("make", folder))?;
        let folder = &fs::canonicalize(folder).map_err(file("find", folder))?;
        let lock = lock(folder).await?;
        let link = folder.join("data");
        let owner = Owner::of(&link)?;
        if owner != Owner::Myself {
            let passable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder, passable).map_err(file("open", folder))?;
        }
        let programs = Programs::find(&link, version(&link)?)?;
        if !link.exists() {
            make(folder, &link, owner, &programs).await?;
        }
        let data = fs::canonicalize(&link).map_err(file("find", &link))?;
        let socket = socket(folder, owner)?;
        Ok(Self { owner, programs, log: folder.join("log"), data, socket, _lock: lock })
    }

    pub(super) fn url(&self) -> String {
        url(&self.socket, NAME)
    }

    /// A session in the database that every cluster has.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&url(&self.socket, "postgres")).await
    }

    pub(super) async fn make_database(&self) -> Result<(), Error> {
        let make = async {
            let mut session = self.connect().await?;
            let made = sqlx::query("select from pg_database where datname = $1")
                .bind(NAME)
                .fetch_optional(&mut session)
                .await?;
            if made.is_none() {
                sqlx::query("create database assay").execute(&mut session).await?;
            }
            session.close().await
        };
        make.await.map_err(Error::Database)
    }

    /// The server that runs on this cluster, whoever started it. A lock file that names no such
    /// process is what a killed server left behind; its number may be another process's by now.
    pub(super) fn postmaster(&self) -> Result<Option<Pid>, Error> {
        let path = self.data.join("postmaster.pid");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(file("read", &path))?,
        };
        let pid = text.lines().next().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        match pid.filter(|pid| serves(*pid, &self.data)) {
            None => fs::remove_file(&path).map_err(file("remove", &path)).map(|()| None),
            running => Ok(running),
        }
    }

    pub(super) fn end_of_log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&bytes))
    }
}

/// Whether a process is the server of `data`: its command line names it, which everybody may read,
/// and which is empty once it has ended.
pub(super) fn serves(pid: Pid, data: &Path) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == data.as_os_str().as_bytes())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

async fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(file("make", &path))?;
    let is_held = |error: &TryLockError| matches!(error, TryLockError::WouldBlock);
    match predecessor::inherit(async || lock.try_lock(), is_held).await {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(file("lock", &path)(error)),
    }
}

/// The version of the cluster in `data`, if there is one.
fn version(data: &Path) -> Result<Option<u32>, Error> {
    let path = data.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file("read", &path)(error)),
    }
}

/// Makes the cluster beside and renames (or links) it into place, so that `data` is whole or absent.
async fn make(folder: &Path, link: &Path, owner: Owner, programs: &Programs) -> Result<(), Error> {
    let is_here = owner.can_enter(folder);
    let name = uuid::Uuid::new_v4();
    let data = if is_here {
        clear_unfinished(folder);
        folder.join(format!("{UNFINISHED}{name}"))
    } else {
        Path::new(ELSEWHERE).join(name.to_string())
    };
    if !is_here {
        fs::create_dir_all(ELSEWHERE).map_err(file("make", Path::new(ELSEWHERE)))?;
    }
    fs::DirBuilder::new().mode(0o700).create(&data).map_err(file("make", &data))?;
    owner.give(&data)?;
    let mut initdb = owner.command(&programs.initdb());
    initdb.arg("--pgdata").arg(&data).arg(format!("--username={NAME}")).args([
        "--auth-local=trust",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]);
    let output = tokio::process::Command::from(initdb)
        .output()
        .await
        .map_err(file("run", &programs.initdb()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = last_lines(&String::from_utf8_lossy(&said));
        fs::remove_dir_all(&data).map_err(file("remove the unfinished", &data))?;
        return Err(Error::Initdb { folder: folder.to_owned(), said });
    }
    kill_point(KillPoint::ClusterMadeNamed);
    if is_here {
        fs::rename(&data, link).map_err(file("rename", &data))
    } else {
        tracing::info!(
            "the server's user may not enter {}: the database lies in {}",
            folder.display(),
            data.display()
        );
        // What an old link pointed at is gone: `make` is only called then.
        if link.is_symlink() {
            fs::remove_file(link).map_err(file("remove the broken link", link))?;
        }
        symlink(&data, link).map_err(file("link", link))
    }
}

/// Removes what killed controllers left. The `initdb` of one may still write there, or clear its own
/// folder away at this moment: hence a name of its own for each, and no error.
fn clear_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// All that the environment could change for a client is written out.
fn url(socket: &Path, database: &str) -> String {
    let mut url = format!("postgres://{NAME}@localhost:{PORT}/{database}?sslmode=disable&host=");
    for byte in socket.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            url.push(char::from(*byte));
        } else {
            write!(url, "%{byte:02X}").expect("a string takes every write");
        }
    }
    url
}

/// Where the server that runs in a folder is found, by what it wrote down itself.
///
/// # Errors
/// None runs there, or it may not be seen.
pub fn running(folder: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(folder.join("data/postmaster.pid"));
    let text = text.map_err(|source| Error::NotRunning { folder: folder.to_owned(), source })?;
    // its fifth line, see the server's own pidfile.h
    let socket = Path::new(text.lines().nth(4).unwrap_or_default());
    Ok(url(socket, NAME))
}

/// The private folder of the socket: in `folder` if the owner may go there and the path is short
/// enough, else a short one in the folder for temporary files that is the same at every start.
fn socket(folder: &Path, owner: Owner) -> Result<PathBuf, Error> {
    let mut socket = folder.join("socket");
    let file_name = format!(".s.PGSQL.{PORT}.lock");
    if socket.join(file_name).as_os_str().len() > SOCKET_PATH_BYTES_MAX || !owner.can_enter(folder)
    {
        socket = short_socket(folder, owner);
    }
    match fs::DirBuilder::new().mode(0o700).create(&socket) {
        Ok(()) => owner.give(&socket)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file("make", &socket)(error)),
    }
    // Everybody may write in /tmp: a folder that somebody else put there first is not ours.
    let found = fs::symlink_metadata(&socket).map_err(file("look at", &socket))?;
    if !found.is_dir() || found.uid() != owner.uid() || found.mode() & 0o077 != 0 {
        return Err(Error::Foreign { folder: socket, owner: found.uid() });
    }
    Ok(socket)
}

fn short_socket(folder: &Path, owner: Owner) -> PathBuf {
    let hash = Sha256::digest(folder.as_os_str().as_bytes());
    let number = hash.iter().take(8).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    PathBuf::from(format!("/tmp/assay-{}-{number:016x}", owner.uid()))
}
