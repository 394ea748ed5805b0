//! Who may schedule: a row with name, term and expiry by Postgres's clock.

use std::time::Duration;

use sqlx::{PgExecutor, PgPool};

/// Proof that this controller leads, as of its term. `commit` and `perform` ask for it; every write
/// of the loop checks the term, so that a frozen leader that wakes up writes nothing.
#[derive(Clone, Copy, Debug)]
pub struct LeaderProof {
    term: i64,
}

/// Takes or keeps the lead; none while another holds it.
///
/// # Errors
/// The database does not answer.
pub async fn lead(
    db: &PgPool,
    name: &str,
    ttl: Duration,
) -> Result<Option<LeaderProof>, sqlx::Error> {
    let term = sqlx::query_scalar!(
        "insert into leader as l (name, term, expires_at)
         values ($1, 1, now() + make_interval(secs => $2))
         on conflict (is_only) do update set
            name = excluded.name,
            term = case when l.name = excluded.name then l.term else l.term + 1 end,
            expires_at = excluded.expires_at
         where l.name = excluded.name or l.expires_at < now()
            -- nobody is given so much: the clock was set back
            or now() + 2 * make_interval(secs => $2) < l.expires_at
         returning term",
        name,
        ttl.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(term.map(|term| LeaderProof { term }))
}

/// Gives the lead up, so that the next controller need not wait.
///
/// # Errors
/// The database does not answer.
pub async fn resign(db: &PgPool, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update leader set expires_at = now() - interval '1 second' where name = $1",
        name
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends the lead of a controller that is known to be dead. Were it alive after all, its term is over.
///
/// # Errors
/// The database does not answer.
pub async fn vacate(db: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!("update leader set expires_at = now() - interval '1 second'").execute(db).await?;
    Ok(())
}

/// Holds the leader's row for the rest of the transaction: nobody else can take the lead before it
/// commits. False: the lead was lost.
///
/// # Errors
/// The database does not answer.
pub async fn hold(tx: impl PgExecutor<'_>, proof: LeaderProof) -> Result<bool, sqlx::Error> {
    let held = sqlx::query_scalar!(
        "select term from leader where term = $1 and expires_at > now() for share",
        proof.term,
    )
    .fetch_optional(tx)
    .await?;
    Ok(held.is_some())
}
