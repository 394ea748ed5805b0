//! Tokens: their hashes, never their secrets.

use assay_api::view::{Role, TokenRequest, TokenState, TokenView};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::project::Project;
use crate::access::roles::Roles;

#[derive(Debug)]
struct Row {
    token_id: Uuid,
    name: String,
    role: String,
    project: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    previous_until: Option<DateTime<Utc>>,
    is_revoked: bool,
    is_expired: bool,
}

impl From<Row> for TokenView {
    fn from(row: Row) -> Self {
        Self {
            token_id: row.token_id,
            name: row.name,
            role: role(&row.role),
            project: row.project,
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            previous_until: row.previous_until,
            state: state(row.is_revoked, row.is_expired),
        }
    }
}

const fn state(is_revoked: bool, is_expired: bool) -> TokenState {
    match (is_revoked, is_expired) {
        (true, _) => TokenState::Revoked,
        (false, true) => TokenState::Expired,
        (false, false) => TokenState::Valid,
    }
}

fn id(project: Option<&Project>) -> Option<Uuid> {
    project.map(|project| project.project_id.0)
}

pub(super) fn role(word: &str) -> Role {
    word.parse().expect("the table's CHECK knows no other role")
}

/// None: a token of that name is not revoked.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    project: Option<&Project>,
    asked: &TokenRequest,
    (hash, by): (&[u8], &str),
) -> Result<Option<TokenView>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"insert into token (token_id, name, role, hash, created_by, expires_at, project_id)
         values ($1, $2, $3, $4, $5, now() + $6 * interval '1 second', $7)
         on conflict (name) where revoked_at is null do nothing
         returning token_id, name, role, (select p.name from project p where p.project_id = token.project_id) as project, created_at, created_by, expires_at, last_used_at,
            previous_until, false as "is_revoked!", false as "is_expired!""#,
        Uuid::now_v7(),
        asked.name,
        asked.role.word(),
        hash,
        by,
        asked.expires_in_s.map(|seconds| seconds as f64),
        id(project),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(TokenView::from))
}

/// Of a project, or all: those that are valid first, then the others, each by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    db: impl PgExecutor<'_>,
    project: Option<&Project>,
) -> Result<Vec<TokenView>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select token_id, token.name, role, p.name as "project?", token.created_at, token.created_by, expires_at,
            last_used_at, case when now() < previous_until then previous_until end as previous_until,
            revoked_at is not null as "is_revoked!", coalesce(expires_at <= now(), false) as "is_expired!"
         from token left join project p using (project_id)
         where $1::uuid is null or project_id = $1
         order by revoked_at is not null, coalesce(expires_at <= now(), false), token.name, token.created_at desc"#,
        id(project),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(TokenView::from).collect())
}

/// One of a project's, or any. False: no token of that name is left to revoke.
///
/// # Errors
/// The database does not answer.
pub async fn revoke(
    db: impl PgExecutor<'_>,
    project: Option<&Project>,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "with gone as (
            update token set revoked_at = now() where name = $1 and revoked_at is null
               and ($2::uuid is null or project_id = $2)
            returning token_id
         )
         , closed as (delete from session using gone where session.token_id = gone.token_id)
         select token_id from gone",
        name,
        id(project),
    )
    .fetch_optional(db)
    .await?;
    Ok(done.is_some())
}

/// Gives one of a project's tokens, or any, another secret; the last one is taken for so many seconds more. None: there is no
/// such token that is valid.
///
/// # Errors
/// The database does not answer.
pub async fn rotate(
    db: impl PgExecutor<'_>,
    (project, name): (Option<&Project>, &str),
    (hash, grace_s): (&[u8], u64),
) -> Result<Option<TokenView>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"update token set hash = $2, previous_hash = hash,
            previous_until = now() + $3 * interval '1 second'
         where name = $1 and revoked_at is null and (expires_at is null or now() < expires_at)
           and ($4::uuid is null or project_id = $4)
         returning token_id, name, role, (select p.name from project p where p.project_id = token.project_id) as project, created_at, created_by, expires_at, last_used_at,
            previous_until, false as "is_revoked!", false as "is_expired!""#,
        name,
        hash,
        grace_s as f64,
        id(project),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(TokenView::from))
}

/// Who shows a secret, and whether it still counts.
#[derive(Clone, Debug)]
pub struct Shown {
    pub token_id: Uuid,
    pub name: String,
    pub roles: Roles,
    pub state: TokenState,
    /// It was rotated, and this is the secret from before, whose time is over.
    pub is_replaced: bool,
}

/// # Errors
/// The database does not answer.
pub async fn of_hash(db: impl PgExecutor<'_>, hash: &[u8]) -> Result<Option<Shown>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select token_id, token.name, role, p.name as "project?", revoked_at is not null as "is_revoked!",
            coalesce(expires_at <= now(), false) as "is_expired!",
            coalesce(previous_hash = $1 and previous_until <= now(), false) as "is_replaced!"
         from token left join project p using (project_id) where hash = $1 or previous_hash = $1"#,
        hash,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Shown {
        token_id: row.token_id,
        name: row.name,
        roles: Roles::only(row.project.as_deref(), role(&row.role)),
        state: state(row.is_revoked, row.is_expired),
        is_replaced: row.is_replaced,
    }))
}

/// Remembers that it was used, once a minute.
///
/// # Errors
/// The database does not answer.
pub async fn used(db: impl PgExecutor<'_>, token: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update token set last_used_at = now()
         where token_id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')",
        token,
    )
    .execute(db)
    .await?;
    Ok(())
}
