//! Postgres: one file per table. Statements are free functions over `impl PgExecutor`, so that they
//! work on the pool and inside a transaction.
//!
//! **Invariant:** never decides. A step is one guarded statement that names the version it was
//! planned from, and writes its event; no row means that somebody else moved it first.

pub mod attempt;
pub mod audit;
pub mod canary;
pub mod chunk;
pub mod deletion;
pub mod delivery;
pub mod evaluation;
pub mod exclusion;
pub mod extension;
pub mod installation;
pub mod leader;
pub mod log_line;
pub mod login;
pub mod note;
pub mod outbox;
pub mod project;
pub mod report;
pub mod reuse;
pub mod rollup;
pub mod run;
pub mod schedule;
pub mod series;
pub mod session;
pub mod sweep;
pub mod sweep_use;
pub mod tag;
pub mod token;
mod transaction;
pub mod view;
pub mod webhook;
pub mod world;

pub use transaction::snapshot;

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// Every migration, built into the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Enough for the loop, a stream read per client and the reports of some hundred workers; Postgres
/// allows 100 by default.
const CONNECTIONS_MAX: u32 = 20;
/// A request that cannot get a connection in this time fails, and its sender tries again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A controller that is frozen in the middle of a transaction holds rows that others wait for; after
/// this, the server gives them back. Far over what a transaction here waits for its own program, and as
/// long as a lead lasts: a leader frozen elsewhere has lost it by then.
const IDLE_IN_TRANSACTION_MAX: &str = "15s";

/// The channel that wakes the loops of all controllers. It carries no data.
pub const CHANNEL: &str = "assay_wake";

#[derive(Clone, Debug)]
pub struct Store {
    pub db: PgPool,
}

impl Store {
    /// # Errors
    /// The server cannot be reached or refuses the login.
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let server: PgConnectOptions = url.parse()?;
        let limit = ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MAX);
        let options = PgPoolOptions::new();
        let options = options.max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
        // every statement is short, and compiling one takes longer than running it
        let server = server.options([limit, ("jit", "off")]);
        Ok(Self { db: options.connect_with(server).await? })
    }

    /// # Errors
    /// A migration fails, or the database has been migrated by a newer controller.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATOR.run(&self.db).await
    }

    /// Wakes the loop of every controller.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn notify(&self) -> Result<(), sqlx::Error> {
        sqlx::query!("select pg_notify($1, '')", CHANNEL).execute(&self.db).await?;
        Ok(())
    }
}
