//! Webhooks and their deliveries. Who may look sees no secret; admins change them.

use assay_api::view::{
    DeliveryPage, DeliveryView, Problem, WebhookRequest, WebhookSecret, WebhookView,
};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{InProject, Json, Path, Query};
use super::guard::{Caller, Detail};
use super::limits::DELIVERIES_MAX;
use crate::app::App;
use crate::webhook;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(secret))
        .routes(routes!(rotate))
        .routes(routes!(enable))
        .routes(routes!(disable))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(repeat))
}

/// Every webhook of the project, by name, without its secret.
#[utoipa::path(get, operation_id = "list_webhooks", path = "/webhooks", tag = "webhooks",
    responses((status = 200, body = [WebhookView])))]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<WebhookView>>, Error> {
    Ok(Json(webhook::list(&app, caller.project(), caller.role).await?))
}

/// Adds a webhook: what happens from now on is told to it.
#[utoipa::path(post, operation_id = "add_webhook", path = "/webhooks", tag = "webhooks", request_body = WebhookRequest,
    responses((status = 201, body = WebhookSecret), (status = 409, body = Problem)))]
async fn add(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<WebhookRequest>,
) -> Result<(StatusCode, Extension<Detail>, Json<WebhookSecret>), Error> {
    let added = webhook::add(&app, caller.project(), &asked, &caller.actor.name).await?;
    let WebhookView { name, url, .. } = &added.webhook;
    let detail = Detail(format!("webhook {name} to {}", webhook::origin(url)));
    Ok((StatusCode::CREATED, Extension(detail), Json(added)))
}

/// Removes a webhook with its deliveries, also those that wait.
#[utoipa::path(delete, operation_id = "remove_webhook", path = "/webhooks/{name}", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 204)))]
async fn remove(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    webhook::remove(&app, &project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What its deliveries are signed with.
#[utoipa::path(get, operation_id = "show_webhook_secret", path = "/webhooks/{name}/secret", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 200, body = WebhookSecret)))]
async fn secret(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<Json<WebhookSecret>, Error> {
    Ok(Json(webhook::secret(&app, &project, &name).await?))
}

/// Signs with another secret from now on.
#[utoipa::path(post, operation_id = "rotate_webhook", path = "/webhooks/{name}/rotate", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 200, body = WebhookSecret)))]
async fn rotate(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<Json<WebhookSecret>, Error> {
    Ok(Json(webhook::rotate(&app, &project, &name).await?))
}

/// Tells it of what happens from now on, and of what waited.
#[utoipa::path(post, operation_id = "enable_webhook", path = "/webhooks/{name}/enable", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 204)))]
async fn enable(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    webhook::enable(&app, &project, &name, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells it of nothing until it is enabled again; what happens meanwhile it never hears of.
#[utoipa::path(post, operation_id = "disable_webhook", path = "/webhooks/{name}/disable", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 204)))]
async fn disable(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    webhook::enable(&app, &project, &name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a `ping`.
#[utoipa::path(post, operation_id = "test_webhook", path = "/webhooks/{name}/test", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook")),
    responses((status = 202, body = DeliveryView), (status = 409, body = Problem)))]
async fn test(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<DeliveryView>), Error> {
    Ok((StatusCode::ACCEPTED, Json(webhook::test(&app, &project, &name).await?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Deliveries before this one; without it, the newest.
    before: Option<i64>,
    /// At most so many, at most 1,000.
    limit: Option<u32>,
}

/// What was told to a webhook, or is to be, the newest first. It is kept for 30 days.
#[utoipa::path(get, operation_id = "list_deliveries", path = "/webhooks/{name}/deliveries", tag = "webhooks",
    params(("name" = String, Path, description = "name of the webhook"), Page),
    responses((status = 200, body = DeliveryPage)))]
async fn deliveries(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<DeliveryPage>, Error> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=DELIVERIES_MAX).contains(&limit) {
        return Err(Error::Limit(format!("`limit` is {limit}; it must be 1 to {DELIVERIES_MAX}")));
    }
    Ok(Json(webhook::deliveries(&app, &project, &name, (page.before, limit)).await?))
}

/// Sends a delivery again, with the same id.
#[utoipa::path(post, operation_id = "repeat_delivery", path = "/deliveries/{delivery_id}/repeat", tag = "webhooks",
    params(("delivery_id" = i64, Path)),
    responses((status = 202, body = DeliveryView)))]
async fn repeat(
    State(app): State<App>,
    InProject(project): InProject,
    Path(delivery): Path<i64>,
) -> Result<(StatusCode, Json<DeliveryView>), Error> {
    Ok((StatusCode::ACCEPTED, Json(webhook::repeat(&app, &project, delivery).await?)))
}
