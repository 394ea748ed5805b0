//! Who asked for what, and how it was answered.

use assay_api::view::{AuditRow, Via};
use sqlx::PgExecutor;

/// Written before the request is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub actor: &'a str,
    pub via: Via,
    pub action: &'a str,
    pub path: &'a str,
}

/// # Errors
/// The database does not answer.
pub async fn insert(db: impl PgExecutor<'_>, asked: Asked<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into audit (actor, via, action, path) values ($1, $2, $3, $4) returning audit_id",
        asked.actor,
        word(asked.via),
        asked.action,
        asked.path,
    )
    .fetch_one(db)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn answered(
    db: impl PgExecutor<'_>,
    audit: i64,
    (status, detail): (u16, Option<&str>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update audit set status = $2, detail = $3 where audit_id = $1",
        audit,
        status.cast_signed(),
        detail,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest first, from before a row on.
///
/// # Errors
/// The database does not answer.
pub async fn page(
    db: impl PgExecutor<'_>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "select audit_id, at, actor, via, action, path, status, detail from audit
         where $1::bigint is null or audit_id < $1 order by audit_id desc limit $2",
        before,
        limit,
    )
    .fetch_all(db)
    .await?;
    let row = rows.into_iter().map(|row| AuditRow {
        audit_id: row.audit_id,
        at: row.at,
        actor: row.actor,
        via: via(&row.via),
        action: row.action,
        path: row.path,
        status: row.status.map(i16::cast_unsigned),
        detail: row.detail,
    });
    Ok(row.collect())
}

const fn word(via: Via) -> &'static str {
    match via {
        Via::Loopback => "loopback",
        Via::Token => "token",
        Via::Session => "session",
    }
}

fn via(word: &str) -> Via {
    match word {
        "loopback" => Via::Loopback,
        "token" => Via::Token,
        "session" => Via::Session,
        other => unreachable!("the table's CHECK knows no `{other}`"),
    }
}
