//! Browsers log in: with a token, which they hold no longer than it takes.

use assay_api::view::{ActorView, LoginRequest, Problem, ProjectRole, SessionView};
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::Json;
use super::guard;
use crate::access::{self, SESSION_SECONDS};
use crate::app::App;
use crate::secret::hash;
use crate::store;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, log_in, log_out))
}

/// Who asks, and how to log in.
#[utoipa::path(get, operation_id = "show_session", path = "/session", tag = "access",
    responses((status = 200, body = SessionView)))]
async fn show(State(app): State<App>, headers: HeaderMap) -> Result<Json<SessionView>, Error> {
    let proof = guard::proof(&app, &headers);
    let actor = match access::actor(&app.store.db, &app.access, proof.as_ref()).await {
        Ok(actor) => Some(actor),
        Err(Error::LoggedOut(_)) => None,
        Err(error) => return Err(error),
    };
    let provider = app.provider.as_ref().map(|provider| provider.name().to_owned());
    let Some(actor) = actor else {
        return Ok(Json(SessionView {
            actor: None,
            provider,
            projects: Vec::new(),
            project: None,
        }));
    };
    let names = store::project::names(&app.store.db).await?.into_iter();
    let role = |project: String| {
        let role = actor.roles.in_project(&project)?;
        Some(ProjectRole { project, role })
    };
    let projects = names.filter_map(role).collect();
    let project = actor.roles.implied().map(str::to_owned);
    Ok(Json(SessionView { actor: actor.view(), provider, projects, project }))
}

/// Opens a session: the answer sets a cookie that no script can read.
#[utoipa::path(post, operation_id = "log_in", path = "/session", tag = "access", request_body = LoginRequest,
    responses((status = 200, body = ActorView), (status = 401, body = Problem)))]
async fn log_in(
    State(app): State<App>,
    Json(asked): Json<LoginRequest>,
) -> Result<impl IntoResponse, Error> {
    let (secret, actor) = access::log_in(&app.store.db, &asked.token).await?;
    Ok((AppendHeaders([(SET_COOKIE, cookie(&app, &secret, SESSION_SECONDS))]), Json(actor.view())))
}

/// Ends the session, here and in the database.
#[utoipa::path(delete, operation_id = "log_out", path = "/session", tag = "access",
    responses((status = 204)))]
async fn log_out(State(app): State<App>, headers: HeaderMap) -> Result<impl IntoResponse, Error> {
    if let Some(secret) = guard::cookie(&app, &headers) {
        store::session::close(&app.store.db, &hash(&secret)).await?;
    }
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(SET_COOKIE, cookie(&app, "", 0))])))
}

/// The session's cookie.
pub(super) fn cookie(app: &App, secret: &str, seconds: i32) -> String {
    set_cookie(app, (guard::cookie_name(app), secret), "/", seconds)
}

/// Sent back to this site alone, by no script, and not where another site's page asks for a change.
pub(super) fn set_cookie(
    app: &App,
    (name, value): (&str, &str),
    path: &str,
    seconds: i32,
) -> String {
    let secure = if app.access.is_secure() { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}
