//! Deliveries: what was written down for webhooks, and how telling it went.

use std::time::Duration;

use assay_api::ProjectId;
use assay_api::view::{DeliveryState, DeliveryView, WebhookData, WebhookEvent};
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use super::webhook::event;

/// One try at a delivery.
#[derive(Clone, Debug)]
pub struct Try {
    pub delivery_id: i64,
    /// Its number, from 1: the fence.
    pub number: i32,
    /// The same, since somebody last asked to repeat it.
    pub since_asked: u32,
    pub webhook_id: Uuid,
    pub url: String,
    pub secret_id: Uuid,
    pub message_id: Uuid,
    pub event: WebhookEvent,
    pub happened_at: DateTime<Utc>,
    pub data: WebhookData,
    /// By this server's clock.
    pub now: DateTime<Utc>,
}

/// Takes what is due, at most so many of each webhook, for as long as a try may take: whoever dies with
/// it leaves it to be due again. Of some webhooks nothing.
///
/// # Errors
/// The database does not answer.
pub async fn claim(
    db: impl PgExecutor<'_>,
    busy: &[Uuid],
    (each, held): (i64, Duration),
) -> Result<Vec<Try>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with due as (
            select d.delivery_id from webhook w cross join lateral (
                select delivery_id from delivery
                where webhook_id = w.webhook_id and state = 'waiting' and next_at <= now()
                order by next_at, delivery_id limit $2
                for update skip locked
            ) d
            where w.is_enabled and w.webhook_id <> all($1)
        )
        update delivery d set tries = tries + 1, tried_at = now(), next_at = now() + make_interval(secs => $3)
        from due, webhook w
        where d.delivery_id = due.delivery_id and w.webhook_id = d.webhook_id
        returning d.delivery_id, d.tries, d.tries_before, d.webhook_id, w.url, w.secret_id, d.message_id,
            d.event, d.created_at, d.data as "data: Json<WebhookData>", now() as "now!""#,
        busy,
        each,
        held.as_secs_f64(),
    )
    .fetch_all(db)
    .await?;
    let each = rows.into_iter().map(|row| Try {
        delivery_id: row.delivery_id,
        number: row.tries,
        since_asked: (row.tries - row.tries_before).unsigned_abs(),
        webhook_id: row.webhook_id,
        url: row.url,
        secret_id: row.secret_id,
        message_id: row.message_id,
        event: event(&row.event),
        happened_at: row.created_at,
        data: row.data.0,
        now: row.now,
    });
    Ok(each.collect())
}

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub state: DeliveryState,
    /// Until the next try, if it waits for one.
    pub wait: Option<Duration>,
    pub status: Option<u16>,
    pub error: Option<String>,
}

/// Unless another try has begun meanwhile.
///
/// # Errors
/// The database does not answer.
pub async fn note(
    db: impl PgExecutor<'_>,
    (delivery, number): (i64, i32),
    ended: &Ended,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update delivery set state = $3, next_at = now() + make_interval(secs => $4), status = $5, error = $6
         where delivery_id = $1 and tries = $2",
        delivery,
        number,
        ended.state.word(),
        ended.wait.map(|wait| wait.as_secs_f64()) as Option<f64>,
        ended.status.map(u16::cast_signed),
        ended.error.as_deref(),
    )
    .execute(db)
    .await?;
    Ok(())
}

struct Row {
    delivery_id: i64,
    message_id: Uuid,
    event: String,
    about: String,
    state: String,
    tries: i32,
    status: Option<i16>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    tried_at: Option<DateTime<Utc>>,
    next_at: Option<DateTime<Utc>>,
}

impl From<Row> for DeliveryView {
    fn from(row: Row) -> Self {
        Self {
            delivery_id: row.delivery_id,
            message_id: row.message_id,
            event: event(&row.event),
            about: row.about,
            state: state(&row.state),
            tries: row.tries.unsigned_abs(),
            status: row.status.map(i16::cast_unsigned),
            error: row.error,
            created_at: row.created_at,
            tried_at: row.tried_at,
            next_at: row.next_at,
        }
    }
}

fn state(word: &str) -> DeliveryState {
    let named = DeliveryState::ALL.into_iter().find(|state| state.word() == word);
    named.expect("the table's CHECK knows no other state")
}

/// Of a webhook, the newest first, from before one on.
///
/// # Errors
/// The database does not answer.
pub async fn page(
    db: impl PgExecutor<'_>,
    (project, webhook): (ProjectId, &str),
    (before, limit): (Option<i64>, i64),
) -> Result<Vec<DeliveryView>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select delivery_id, message_id, event, about, state, tries, status, error, d.created_at, tried_at, next_at
         from delivery d join webhook w using (webhook_id)
         where project_id = $1 and w.name = $2 and ($3::bigint is null or delivery_id < $3)
         order by delivery_id desc limit $4",
        project.0,
        webhook,
        before,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(DeliveryView::from).collect())
}

/// It is due at once, and has all its tries again. None: the project has no such delivery.
///
/// # Errors
/// The database does not answer.
pub async fn repeat(
    db: impl PgExecutor<'_>,
    project: ProjectId,
    delivery: i64,
) -> Result<Option<DeliveryView>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "update delivery d set state = 'waiting', next_at = now(), tries_before = tries
         from webhook w where w.webhook_id = d.webhook_id and w.project_id = $1 and delivery_id = $2
         returning delivery_id, message_id, event, about, state, tries, status, error, d.created_at, tried_at, next_at",
        project.0,
        delivery,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(DeliveryView::from))
}

/// Throws away what was written down so long ago. What waits for longer than any wait was written before
/// the clock was set back, and is due.
///
/// # Errors
/// The database does not answer.
pub async fn forget(
    db: impl PgExecutor<'_>,
    (kept, wait_max): (Duration, Duration),
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "with due as (
            update delivery set next_at = now()
            where state = 'waiting' and now() + make_interval(secs => $2) < next_at
         )
         delete from delivery where created_at < now() - make_interval(secs => $1)",
        kept.as_secs_f64(),
        wait_max.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
