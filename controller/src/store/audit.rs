//! Who asked for what, and how it was answered.

use std::time::Duration;

use assay_api::view::{AuditRow, Via};
use sqlx::PgExecutor;

use super::project::Project;

/// Written before the request is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub actor: &'a str,
    pub via: Via,
    pub project: Option<&'a str>,
    pub action: &'a str,
    pub path: &'a str,
}

/// # Errors
/// The database does not answer.
pub async fn insert(db: impl PgExecutor<'_>, asked: Asked<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into audit (actor, via, action, path, project) values ($1, $2, $3, $4, $5) returning audit_id",
        asked.actor,
        word(asked.via),
        asked.action,
        asked.path,
        asked.project,
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

/// Of a project, or all; the newest first, from before a row on.
///
/// # Errors
/// The database does not answer.
pub async fn page(
    db: impl PgExecutor<'_>,
    project: Option<&Project>,
    (before, limit): (Option<i64>, i64),
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "select audit_id, at, actor, via, project, action, path, status, detail from audit
         where ($1::bigint is null or audit_id < $1) and ($3::text is null or project = $3)
         order by audit_id desc limit $2",
        before,
        limit,
        project.map(|project| project.name.as_str()),
    )
    .fetch_all(db)
    .await?;
    let row = rows.into_iter().map(|row| AuditRow {
        audit_id: row.audit_id,
        at: row.at,
        actor: row.actor,
        via: via(&row.via),
        project: row.project,
        action: row.action,
        path: row.path,
        status: row.status.map(i16::cast_unsigned),
        detail: row.detail,
    });
    Ok(row.collect())
}

/// Drops old rows, the oldest first; returns how many.
///
/// # Errors
/// The database does not answer.
pub async fn drop_old(
    db: impl PgExecutor<'_>,
    kept: Duration,
    rows_max: i64,
) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query!(
        "delete from audit where audit_id in (
            select audit_id from audit where at < now() - make_interval(secs => $1)
            order by at limit $2
         )",
        kept.as_secs_f64(),
        rows_max,
    )
    .execute(db)
    .await?;
    Ok(dropped.rows_affected())
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
