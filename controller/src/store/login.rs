//! Browsers on their way to the identity provider and back.

use sqlx::PgExecutor;

/// How long a person may take to say who they are.
pub const SECONDS: i32 = 600;

/// What one of them must come back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub nonce: String,
    pub verifier: String,
    /// The page that it came from.
    pub return_to: String,
}

/// Remembers one, and forgets those that never came back.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    hash: &[u8],
    login: &Login,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with over as (delete from login where expires_at <= now())
         insert into login (hash, nonce, verifier, return_to, expires_at)
         values ($1, $2, $3, $4, now() + make_interval(secs => $5))",
        hash,
        login.nonce,
        login.verifier,
        login.return_to,
        f64::from(SECONDS),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes one that came back; it comes once.
///
/// # Errors
/// The database does not answer.
pub async fn take(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<Login>, sqlx::Error> {
    sqlx::query_as!(
        Login,
        "with gone as (delete from login where hash = $1 returning nonce, verifier, return_to, expires_at)
         select nonce, verifier, return_to from gone where now() < expires_at",
        hash,
    )
    .fetch_optional(db)
    .await
}
