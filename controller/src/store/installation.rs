//! Which installation a database belongs to.

use sqlx::PgPool;
use uuid::Uuid;

/// Records the key's fingerprint on first use; returns whose database it is and the fingerprint
/// recorded.
///
/// # Errors
/// The database does not answer.
pub async fn claim(db: &PgPool, fingerprint: &str) -> Result<(Uuid, String), sqlx::Error> {
    sqlx::query!(
        "insert into installation (installation_id, key_fingerprint) values ($1, $2)
         on conflict (is_only) do nothing",
        Uuid::now_v7(),
        fingerprint,
    )
    .execute(db)
    .await?;
    let row = sqlx::query!("select installation_id, key_fingerprint from installation")
        .fetch_one(db)
        .await?;
    Ok((row.installation_id, row.key_fingerprint))
}
