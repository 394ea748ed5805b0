//! Transactions that are over once nobody holds them.
//!
//! A client that goes away ends its handler wherever that waits. sqlx 0.9 does not roll back a `begin` that
//! was sent and not awaited to its end: the connection goes back to the pool with the transaction open, and
//! whatever others write there is never committed. So each is begun by a task of its own, which nobody
//! cancels; where nobody waits for it any more, what it began is dropped, and thereby rolled back.

use sqlx::{PgPool, Postgres, Transaction};

use super::Store;

const SNAPSHOT: &str = "begin isolation level repeatable read, read only";

impl Store {
    /// # Errors
    /// The database does not answer.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        begun(&self.db, "begin").await
    }
}

/// A transaction in which every read sees the same database.
///
/// # Errors
/// The database does not answer.
pub async fn snapshot(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begun(db, SNAPSHOT).await
}

async fn begun(
    db: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let db = db.clone();
    #[expect(clippy::disallowed_methods, reason = "here nobody cancels it")]
    let task = tokio::spawn(async move { db.begin_with(statement).await });
    match task.await {
        Ok(begun) => begun,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime ends, and with it whoever asked
            Err(_) => Err(sqlx::Error::PoolClosed),
        },
    }
}
