//! Browsers that have logged in: the hashes of what their cookies hold.

use assay_api::view::Role;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::token::role;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Token(Uuid),
    Person { name: String, role: Role },
}

/// Opens a session for so many seconds, and forgets those whose time is over.
///
/// # Errors
/// The database does not answer.
pub async fn open(
    db: impl PgExecutor<'_>,
    hash: &[u8],
    owner: &Owner,
    seconds: i32,
) -> Result<(), sqlx::Error> {
    let (token, person, role) = match owner {
        Owner::Token(token) => (Some(*token), None, None),
        Owner::Person { name, role } => (None, Some(name.as_str()), Some(role.word())),
    };
    sqlx::query!(
        "with over as (delete from session where expires_at <= now())
         insert into session (hash, token_id, person, role, expires_at)
         values ($1, $2, $3, $4, now() + make_interval(secs => $5))",
        hash,
        token,
        person,
        role,
        f64::from(seconds),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn close(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from session where hash = $1", hash).execute(db).await?;
    Ok(())
}

/// Who a cookie is of, by name and role; none: nobody, any more.
///
/// # Errors
/// The database does not answer.
pub async fn of_hash(
    db: impl PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<(String, Role)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select coalesce(s.person, t.name) as "name!", coalesce(s.role, t.role) as "role!"
         from session s left join token t using (token_id)
         where s.hash = $1 and now() < s.expires_at and t.revoked_at is null
           and (t.expires_at is null or now() < t.expires_at)"#,
        hash,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.name, role(&row.role))))
}
