//! Webhooks: whom to tell of what.

use assay_api::ProjectId;
use assay_api::view::{WebhookEvent, WebhookView};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A webhook, with what its secret is made of.
#[derive(Clone, Debug)]
pub struct Stored {
    pub secret_id: Uuid,
    pub view: WebhookView,
}

struct Row {
    secret_id: Uuid,
    name: String,
    url: String,
    events: Vec<String>,
    is_enabled: bool,
    waiting: i64,
    created_at: DateTime<Utc>,
    created_by: String,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Self {
        let view = WebhookView {
            name: row.name,
            url: row.url,
            events: row.events.iter().map(|word| event(word)).collect(),
            is_enabled: row.is_enabled,
            waiting: u32::try_from(row.waiting).unwrap_or(u32::MAX),
            created_at: row.created_at,
            created_by: row.created_by,
        };
        Self { secret_id: row.secret_id, view }
    }
}

pub(super) fn event(word: &str) -> WebhookEvent {
    word.parse().expect("the table's CHECK knows no other event")
}

/// What an admin asks for.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    pub name: &'a str,
    pub url: &'a str,
    pub events: &'a [WebhookEvent],
    pub by: &'a str,
}

/// None: there is one of that name.
///
/// # Errors
/// The database does not answer.
pub async fn insert(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    new: New<'_>,
    secret_id: Uuid,
) -> Result<Option<Stored>, sqlx::Error> {
    let events: Vec<String> = new.events.iter().map(|event| event.word().to_owned()).collect();
    let row = sqlx::query_as!(
        Row,
        r#"insert into webhook (webhook_id, project_id, name, url, events, secret_id, created_by)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (project_id, name) do nothing
         returning secret_id, name, url, events, is_enabled, 0::bigint as "waiting!", created_at, created_by"#,
        Uuid::now_v7(),
        project.0,
        new.name,
        new.url,
        &events,
        secret_id,
        new.by,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Stored::from))
}

/// Of a project.
///
/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>, project: ProjectId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "n!" from webhook where project_id = $1"#, project.0,)
        .fetch_one(db)
        .await
}

/// All of a project, or the one of a name; by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: Option<&str>,
) -> Result<Vec<Stored>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select secret_id, w.name, url, events, is_enabled, w.created_at, created_by,
            (select count(*) from delivery d where d.webhook_id = w.webhook_id and d.state = 'waiting') as "waiting!"
         from webhook w where project_id = $1 and ($2::text is null or w.name = $2)
         order by w.name"#,
        project.0,
        name,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Stored::from).collect())
}

/// With its deliveries. False: there is none of that name.
///
/// # Errors
/// The database does not answer.
pub async fn delete(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query!("delete from webhook where project_id = $1 and name = $2", project.0, name,)
            .execute(db)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// From now on its secret is another one. False: there is none of that name.
///
/// # Errors
/// The database does not answer.
pub async fn rotate(
    db: impl PgExecutor<'_>,
    (project, name): (ProjectId, &str),
    secret_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update webhook set secret_id = $3 where project_id = $1 and name = $2",
        project.0,
        name,
        secret_id,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// False: there is none of that name.
///
/// # Errors
/// The database does not answer.
pub async fn enable(
    db: impl PgExecutor<'_>,
    (project, name): (ProjectId, &str),
    is_enabled: bool,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update webhook set is_enabled = $3 where project_id = $1 and name = $2",
        project.0,
        name,
        is_enabled,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
