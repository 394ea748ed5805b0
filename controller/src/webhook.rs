//! Webhooks: other programs are told of what happened, in a request that is signed.
//!
//! What happened is written down in the transaction that makes it so (`store::outbox`). A loop of its own
//! sends it (`tell`), so that no receiver keeps a run waiting, to where a webhook may lead (`address`),
//! signed with a secret that is stored nowhere (`signature`).

pub mod address;
mod send;
pub mod signature;
mod tell;

pub use send::Sender;
pub use tell::{forget, run, tell};

use assay_api::view::{
    DeliveryPage, DeliveryView, Role, WebhookEvent, WebhookRequest, WebhookSecret, WebhookView,
};
use reqwest::Url;
use uuid::Uuid;

use crate::access::{NAME_MAX, is_name};
use crate::app::App;
use crate::http::Error;
use crate::http::limits::WEBHOOKS_MAX;
use crate::store::project::Project;
use crate::store::webhook::{New, Stored};
use crate::store::{delivery, outbox, webhook};

use address::BadUrl;

/// Adds a webhook.
///
/// # Errors
/// 409: one has that name. 422: no webhook is called so, waits for that, or may lead there; or there are
/// as many as may be.
pub async fn add(
    app: &App,
    project: &Project,
    asked: &WebhookRequest,
    by: &str,
) -> Result<WebhookSecret, Error> {
    let name = &asked.name;
    if !is_name(name) {
        return Err(Error::Invalid(format!(
            "`{}` is no name of a webhook: it has 1 to {NAME_MAX} letters, digits and `-_.@`",
            name.escape_debug()
        )));
    }
    let events = events(&asked.events)?;
    let url = address::parse(&asked.url, app.reach)?;
    if WEBHOOKS_MAX <= webhook::count(&app.store.db, project.project_id).await? {
        return Err(Error::Limit(format!(
            "the project has {WEBHOOKS_MAX} webhooks, which is the limit: remove one"
        )));
    }
    let new = New { name, url: url.as_str(), events: &events, by };
    let taken =
        || Error::Conflict(format!("there is a webhook `{name}`: remove it, or give another name"));
    let added = webhook::insert(&app.store.db, project.project_id, new, Uuid::new_v4())
        .await?
        .ok_or_else(taken)?;
    Ok(secret_of(app, added))
}

/// Each once, in one order.
fn events(asked: &[WebhookEvent]) -> Result<Vec<WebhookEvent>, Error> {
    if asked.contains(&WebhookEvent::Ping) {
        let text = "`ping` comes when somebody tests the webhook: leave it out of `events`";
        return Err(Error::Invalid(text.to_owned()));
    }
    if asked.is_empty() {
        let text = "`events` is empty: name at least one, for example sweep.finished";
        return Err(Error::Invalid(text.to_owned()));
    }
    let mut events = asked.to_vec();
    events.sort_unstable();
    events.dedup();
    Ok(events)
}

impl From<BadUrl> for Error {
    fn from(bad: BadUrl) -> Self {
        let text = bad.to_string();
        match bad {
            BadUrl::Long(_) => Self::Limit(text),
            BadUrl::NoUrl | BadUrl::Scheme(_) | BadUrl::Credentials | BadUrl::Private(_) => {
                Self::Invalid(text)
            }
        }
    }
}

fn secret_of(app: &App, Stored { secret_id, view }: Stored) -> WebhookSecret {
    WebhookSecret { secret: app.key.webhook_secret(secret_id).text(), webhook: view }
}

/// Where a URL leads, without what may be a secret.
#[must_use]
pub fn origin(url: &str) -> String {
    Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// As somebody in a role may see them.
///
/// # Errors
/// The database does not answer.
pub async fn list(app: &App, project: &Project, role: Role) -> Result<Vec<WebhookView>, Error> {
    let shown = |Stored { view, .. }| match role {
        Role::Admin => view,
        Role::Viewer | Role::Editor => WebhookView { url: origin(&view.url), ..view },
    };
    Ok(webhook::list(&app.store.db, project.project_id, None)
        .await?
        .into_iter()
        .map(shown)
        .collect())
}

/// # Errors
/// 404: there is none of that name.
pub async fn secret(app: &App, project: &Project, name: &str) -> Result<WebhookSecret, Error> {
    Ok(secret_of(app, find(app, project, name).await?))
}

/// Another secret, from now on.
///
/// # Errors
/// 404: there is none of that name.
pub async fn rotate(app: &App, project: &Project, name: &str) -> Result<WebhookSecret, Error> {
    let is_known = is_name(name)
        && webhook::rotate(&app.store.db, (project.project_id, name), Uuid::new_v4()).await?;
    known(project, name, is_known)?;
    secret(app, project, name).await
}

/// With what was written down for it.
///
/// # Errors
/// 404: there is none of that name.
pub async fn remove(app: &App, project: &Project, name: &str) -> Result<(), Error> {
    known(
        project,
        name,
        is_name(name) && webhook::delete(&app.store.db, project.project_id, name).await?,
    )
}

/// # Errors
/// 404: there is none of that name.
pub async fn enable(
    app: &App,
    project: &Project,
    name: &str,
    is_enabled: bool,
) -> Result<(), Error> {
    known(
        project,
        name,
        is_name(name)
            && webhook::enable(&app.store.db, (project.project_id, name), is_enabled).await?,
    )
}

/// Sends a ping.
///
/// # Errors
/// 404: there is none of that name. 409: it is not enabled.
pub async fn test(app: &App, project: &Project, name: &str) -> Result<DeliveryView, Error> {
    find(app, project, name).await?;
    let asleep = || {
        Error::Conflict(format!(
            "webhook `{name}` is not enabled: `ctl webhook enable {name}` lets it be sent to"
        ))
    };
    let ping = outbox::ping(&app.store.db, project.project_id, name).await?.ok_or_else(asleep)?;
    repeat(app, project, ping).await
}

/// Sends a delivery again: the same message, with all its tries.
///
/// # Errors
/// 404: there is none of that number.
pub async fn repeat(app: &App, project: &Project, number: i64) -> Result<DeliveryView, Error> {
    let missing = || {
        Error::NotFound(format!("no delivery {number}: `ctl webhook deliveries NAME` lists them"))
    };
    delivery::repeat(&app.store.db, project.project_id, number).await?.ok_or_else(missing)
}

/// # Errors
/// 404: there is none of that name.
pub async fn deliveries(
    app: &App,
    project: &Project,
    name: &str,
    (before, limit): (Option<i64>, u32),
) -> Result<DeliveryPage, Error> {
    find(app, project, name).await?;
    let rows =
        delivery::page(&app.store.db, (project.project_id, name), (before, limit.into())).await?;
    let is_whole = rows.len() == usize::try_from(limit).expect("32 bits fit");
    let before = rows.last().filter(|_| is_whole).map(|row| row.delivery_id);
    Ok(DeliveryPage { rows, before })
}

async fn find(app: &App, project: &Project, name: &str) -> Result<Stored, Error> {
    let found = match is_name(name) {
        true => webhook::list(&app.store.db, project.project_id, Some(name)).await?.pop(),
        false => None,
    };
    found.ok_or_else(|| missing(project, name))
}

fn known(project: &Project, name: &str, is_known: bool) -> Result<(), Error> {
    is_known.then_some(()).ok_or_else(|| missing(project, name))
}

fn missing(project: &Project, name: &str) -> Error {
    let place = project.place();
    Error::NotFound(format!("no webhook `{name}`{place}: `ctl webhook ls` lists them"))
}
