//! Browsers that have logged in: the hashes of what their cookies hold.

use std::collections::BTreeMap;

use assay_api::view::Role;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use super::token::role;
use crate::access::roles::Roles;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Token(Uuid),
    Person { name: String, roles: Roles },
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
    let none = Roles::default();
    let (token, person, roles) = match owner {
        Owner::Token(token) => (Some(*token), None, &none),
        Owner::Person { name, roles } => (None, Some(name.as_str()), roles),
    };
    sqlx::query!(
        "with over as (delete from session where expires_at <= now())
         insert into session (hash, token_id, person, role, project_roles, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        hash,
        token,
        person,
        roles.everywhere.map(Role::word),
        serde_json::to_value(&roles.projects).expect("roles are plain data"),
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

/// Who a cookie is of, by name, and what they may do; none: nobody, any more.
///
/// # Errors
/// The database does not answer.
pub async fn of_hash(
    db: impl PgExecutor<'_>,
    hash: &[u8],
) -> Result<Option<(String, Roles)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select coalesce(s.person, t.name) as "name!", s.role,
            s.project_roles as "project_roles: Json<BTreeMap<String, Role>>",
            t.role as "token_role?", p.name as "project?"
         from session s left join token t using (token_id) left join project p using (project_id)
         where s.hash = $1 and now() < s.expires_at and t.revoked_at is null
           and (t.expires_at is null or now() < t.expires_at)"#,
        hash,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let roles = match row.token_role {
            Some(word) => Roles::only(row.project.as_deref(), role(&word)),
            None => {
                Roles { everywhere: row.role.as_deref().map(role), projects: row.project_roles.0 }
            }
        };
        (row.name, roles)
    }))
}
