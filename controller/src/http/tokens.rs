//! Tokens and the audit log: for admins.

use assay_api::view::{AuditPage, Problem, RotateRequest, TokenRequest, TokenSecret, TokenView};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{Json, Path, Query};
use super::guard::{Caller, Detail};
use super::limits::AUDIT_ROWS_MAX;
use crate::access;
use crate::app::App;
use crate::store;
use crate::store::project::Project;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
        .routes(routes!(audit))
}

/// Every token, without its secret; those that are valid first.
#[utoipa::path(get, operation_id = "list_tokens", path = "/tokens", tag = "access",
    responses((status = 200, body = [TokenView])))]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<TokenView>>, Error> {
    Ok(Json(access::tokens(&app.store.db, caller.scope.as_ref()).await?))
}

/// Makes a token. Its secret is shown this once.
#[utoipa::path(post, operation_id = "create_token", path = "/tokens", tag = "access", request_body = TokenRequest,
    responses((status = 201, body = TokenSecret), (status = 409, body = Problem)))]
async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<TokenRequest>,
) -> Result<(StatusCode, Extension<Detail>, Json<TokenSecret>), Error> {
    let made =
        access::create(&app.store.db, caller.scope.as_ref(), &asked, &caller.actor.name).await?;
    let place = caller.scope.as_ref().map(Project::place).unwrap_or_default();
    let detail = Detail(format!("token {}, {}{}", made.token.name, made.token.role, place));
    Ok((StatusCode::CREATED, Extension(detail), Json(made)))
}

/// Gives a token another secret; the last one is taken a while longer, so that programs can change.
#[utoipa::path(post, operation_id = "rotate_token", path = "/tokens/{name}/rotate", tag = "access",
    params(("name" = String, Path, description = "name of the token")), request_body = RotateRequest,
    responses((status = 200, body = TokenSecret)))]
async fn rotate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(RotateRequest { grace_s }): Json<RotateRequest>,
) -> Result<Json<TokenSecret>, Error> {
    Ok(Json(access::rotate(&app.store.db, caller.scope.as_ref(), &name, grace_s).await?))
}

/// Takes a token back, and ends the sessions that were opened with it.
#[utoipa::path(delete, operation_id = "revoke_token", path = "/tokens/{name}", tag = "access",
    params(("name" = String, Path, description = "name of the token")),
    responses((status = 204)))]
async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    access::revoke(&app.store.db, caller.scope.as_ref(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Rows before this one; without it, the newest.
    before: Option<i64>,
    /// At most so many, at most 1,000.
    limit: Option<u32>,
}

/// Who asked for what that may have changed something, the newest first.
#[utoipa::path(get, operation_id = "list_audit", path = "/audit", tag = "access", params(Page),
    responses((status = 200, body = AuditPage)))]
async fn audit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(page): Query<Page>,
) -> Result<Json<AuditPage>, Error> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=AUDIT_ROWS_MAX).contains(&limit) {
        return Err(Error::Limit(format!("`limit` is {limit}; it must be 1 to {AUDIT_ROWS_MAX}")));
    }
    let rows =
        store::audit::page(&app.store.db, caller.scope.as_ref(), (page.before, limit.into()))
            .await?;
    let is_whole = rows.len() == usize::try_from(limit).expect("32 bits fit");
    let before = rows.last().filter(|_| is_whole).map(|row| row.audit_id);
    Ok(Json(AuditPage { rows, before }))
}
