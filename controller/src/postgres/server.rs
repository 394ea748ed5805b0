//! The server's process: started or adopted, asked until it answers, watched, shut down.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use assay_api::{KillPoint, kill_point};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tracing::info;

use super::cluster::{Cluster, serves};
use super::{Error, file};

/// Replaying the log after a crash is part of a start; a laptop's worth takes seconds.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
const ASK_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A killed server's children hold its shared memory until they notice, and refuse a new one.
const STARTS_MAX: u32 = 6;
const START_PAUSE: Duration = Duration::from_millis(500);

/// A fast shutdown writes a checkpoint. After this, the server is told to quit and to replay its log
/// at the next start.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// For one machine whose memory belongs to the training: 64 MB of buffers, no TCP, no replication.
/// What is committed is on the disk: `fsync` and `synchronous_commit` stay on.
const SETTINGS: [&str; 12] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "shared_buffers=64MB",
    "max_connections=100",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=512MB",
    "jit=off",
    "log_checkpoints=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// Dropped, it is told to shut down.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    process: Process,
}

#[derive(Debug)]
enum Process {
    /// Ours to reap.
    Child(Child),
    /// An earlier controller's: only looking tells when it ends.
    Adopted {
        data: PathBuf,
    },
    Ended,
}

impl Server {
    /// Adopts or starts the cluster's server, and returns when it answers.
    pub(super) async fn start(cluster: &Cluster) -> Result<Self, Error> {
        for _ in 0..STARTS_MAX {
            let mut server = match cluster.postmaster()? {
                Some(pid) => Self::adopt(cluster, pid),
                None => Self::spawn(cluster)?,
            };
            kill_point(KillPoint::ServerSpawnedAnswers);
            let answer = tokio::select! {
                answer = timeout(ANSWER_LIMIT, answer(cluster)) => answer.is_ok(),
                _how = server.ended() => {
                    sleep(START_PAUSE).await;
                    continue;
                }
            };
            if answer {
                return Ok(server);
            }
            return Err(Error::DoesNotAnswer {
                folder: cluster.data.clone(),
                seconds: ANSWER_LIMIT.as_secs(),
            });
        }
        Err(Error::DoesNotStart { folder: cluster.data.clone(), log: cluster.end_of_log() })
    }

    fn spawn(cluster: &Cluster) -> Result<Self, Error> {
        let log = File::options()
            .append(true)
            .create(true)
            .open(&cluster.log)
            .map_err(file("open", &cluster.log))?;
        let log_too = log.try_clone().map_err(file("open", &cluster.log))?;
        // A list of quoted names, where a quote is written twice.
        let socket = cluster.socket.to_string_lossy().replace('"', "\"\"");
        let program = cluster.programs.postgres();
        let mut command = cluster.owner.command(&program);
        command.arg("-D").arg(&cluster.data);
        command.arg("-c").arg(format!("unix_socket_directories=\"{socket}\""));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::from(log)).stderr(Stdio::from(log_too));
        let child = Command::from(command).spawn().map_err(file("run", &program))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = pid.expect("a process that was not waited for has a positive number");
        Ok(Self { pid, process: Process::Child(child) })
    }

    fn adopt(cluster: &Cluster, pid: Pid) -> Self {
        info!("the private PostgreSQL server still runs as process {}", pid.as_raw_nonzero());
        Self { pid, process: Process::Adopted { data: cluster.data.clone() } }
    }

    /// Returns when the process has ended, and says how.
    pub(super) async fn ended(&mut self) -> String {
        let how = match &mut self.process {
            Process::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Process::Adopted { data } => {
                while serves(self.pid, data) {
                    sleep(LOOK_EVERY).await;
                }
                "it was adopted, so its exit status is not known".to_owned()
            }
            Process::Ended => "it ended before".to_owned(),
        };
        self.process = Process::Ended;
        how
    }

    /// A fast shutdown: sessions are cut, everything is written.
    pub(super) async fn stop(mut self, cluster: &Cluster) -> Result<(), Error> {
        for signal in [Signal::INT, Signal::QUIT] {
            self.signal(signal);
            if timeout(STOP_LIMIT, self.ended()).await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::DoesNotStop { folder: cluster.data.clone(), seconds: 2 * STOP_LIMIT.as_secs() })
    }

    fn signal(&self, signal: Signal) {
        if !matches!(self.process, Process::Ended) {
            // It may have ended this moment, which is what the signal asks for.
            let _may_be_gone = kill_process(self.pid, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// Returns when the server answers a query: it accepts connections before it serves them.
async fn answer(cluster: &Cluster) {
    loop {
        if let Ok(mut session) = cluster.connect().await
            && session.ping().await.is_ok()
        {
            let _closed = session.close().await;
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Postgres;
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("assay-test-{}", uuid::Uuid::new_v4())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _may_be_gone = fs::remove_dir_all(&self.0);
        }
    }

    async fn remember(cluster: &Cluster) -> sqlx::Result<()> {
        let mut session = cluster.connect().await?;
        sqlx::query("create table kept as select 7 as n").execute(&mut session).await?;
        session.close().await
    }

    async fn recall(cluster: &Cluster) -> sqlx::Result<i32> {
        let mut session = cluster.connect().await?;
        let n = sqlx::query_scalar("select n from kept").fetch_one(&mut session).await?;
        session.close().await?;
        Ok(n)
    }

    #[tokio::test]
    async fn a_server_whose_controller_was_killed_is_adopted_and_can_be_stopped() {
        let folder = Folder::new();
        let cluster = Cluster::open(&folder.0).await.unwrap();
        let server = Server::start(&cluster).await.unwrap();
        let pid = server.pid;
        remember(&cluster).await.unwrap();
        // What kill -9 does: no destructor runs, and the kernel takes the lock back.
        let Process::Child(child) = &server.process else { panic!("it was started here") };
        assert_eq!(child.id(), Some(pid.as_raw_nonzero().get().unsigned_abs()));
        std::mem::forget(server);
        drop(cluster);

        let cluster = Cluster::open(&folder.0).await.unwrap();
        let server = Server::start(&cluster).await.unwrap();
        assert_eq!(server.pid, pid);
        assert!(matches!(server.process, Process::Adopted { .. }));
        assert_eq!(recall(&cluster).await.unwrap(), 7);
        server.stop(&cluster).await.unwrap();
        assert_eq!(cluster.postmaster().unwrap(), None);
    }

    #[tokio::test]
    async fn a_killed_server_starts_again_over_its_stale_lock_with_what_was_committed() {
        let folder = Folder::new();
        let cluster = Cluster::open(&folder.0).await.unwrap();
        let mut server = Server::start(&cluster).await.unwrap();
        remember(&cluster).await.unwrap();
        kill_process(server.pid, Signal::KILL).unwrap();
        assert!(server.ended().await.contains("signal: 9"));
        // Its number now belongs to somebody else: this process.
        let lock_file = cluster.data.join("postmaster.pid");
        let text = fs::read_to_string(&lock_file).unwrap();
        let old = server.pid.as_raw_nonzero().to_string();
        fs::write(&lock_file, text.replacen(&old, &std::process::id().to_string(), 1)).unwrap();

        let server = Server::start(&cluster).await.unwrap();
        assert_eq!(recall(&cluster).await.unwrap(), 7);
        server.stop(&cluster).await.unwrap();
    }

    #[tokio::test]
    async fn one_folder_has_one_controller_and_keeps_its_database() {
        let folder = Folder::new();
        // Quotes, blanks and length: the socket lies elsewhere and the arguments hold.
        let folder = folder.0.join(format!("it's a \"folder\", {}", "long".repeat(20)));
        let postgres = Postgres::start(&folder).await.unwrap();
        let error = Postgres::start(&folder).await.unwrap_err();
        assert!(matches!(error, Error::Busy(_)), "{error}");
        let mut session = sqlx::PgConnection::connect(postgres.url()).await.unwrap();
        sqlx::query("create table kept as select 7 as n").execute(&mut session).await.unwrap();
        session.close().await.unwrap();
        postgres.stop().await.unwrap();

        let postgres = Postgres::start(&folder).await.unwrap();
        let mut session = sqlx::PgConnection::connect(postgres.url()).await.unwrap();
        let n: i32 =
            sqlx::query_scalar("select n from kept").fetch_one(&mut session).await.unwrap();
        assert_eq!(n, 7);
        let tcp: String =
            sqlx::query_scalar("show listen_addresses").fetch_one(&mut session).await.unwrap();
        assert_eq!(tcp, "");
        session.close().await.unwrap();
        postgres.stop().await.unwrap();
        fs::remove_dir_all(Cluster::open(&folder).await.unwrap().socket).unwrap();
    }

    #[tokio::test]
    async fn the_watch_starts_a_server_that_dies() {
        let folder = Folder::new();
        let postgres = Postgres::start(&folder.0).await.unwrap();
        let text = fs::read_to_string(folder.0.join("data/postmaster.pid")).unwrap();
        let pid = Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap();
        let mut session = sqlx::PgConnection::connect(postgres.url()).await.unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        assert!(sqlx::query("select pg_sleep(60)").execute(&mut session).await.is_err());
        let again = async {
            loop {
                if let Ok(session) = sqlx::PgConnection::connect(postgres.url()).await {
                    return session;
                }
                tokio::task::yield_now().await;
            }
        };
        again.await.close().await.unwrap();
        postgres.stop().await.unwrap();
    }
}
