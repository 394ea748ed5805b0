//! Which installation a database belongs to.

use sqlx::PgPool;
use uuid::Uuid;

/// Records the key's fingerprint on first use, and returns the one recorded.
///
/// # Errors
/// The database does not answer.
pub async fn claim(db: &PgPool, fingerprint: &str) -> Result<String, sqlx::Error> {
    sqlx::query!(
        "insert into installation (installation_id, key_fingerprint) values ($1, $2)
         on conflict (is_only) do nothing",
        Uuid::now_v7(),
        fingerprint,
    )
    .execute(db)
    .await?;
    sqlx::query_scalar!("select key_fingerprint from installation").fetch_one(db).await
}
