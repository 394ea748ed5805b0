//! Browsers log in: with a token, which they hold no longer than it takes.

use assay_api::view::{ActorView, LoginRequest, Problem, SessionView, Via};
use axum::Extension;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::Json;
use super::guard::{self, Caller};
use crate::access::{self, SESSION_SECONDS};
use crate::app::App;
use crate::secret::hash;
use crate::store;
use crate::store::audit::{self, Asked};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show, log_in, log_out))
}

/// Who asks, and how to log in.
#[utoipa::path(get, operation_id = "show_session", path = "/session", tag = "access",
    responses((status = 200, body = SessionView)))]
async fn show(State(app): State<App>, Extension(caller): Extension<Caller>) -> Json<SessionView> {
    let actor = Some(caller.actor).filter(|actor| !actor.name.is_empty());
    let provider = app.provider.as_ref().map(|provider| provider.name().to_owned());
    Json(SessionView { actor, provider })
}

/// Opens a session: the answer sets a cookie that no script can read.
#[utoipa::path(post, operation_id = "log_in", path = "/session", tag = "access", request_body = LoginRequest,
    responses((status = 200, body = ActorView), (status = 401, body = Problem)))]
async fn log_in(
    State(app): State<App>,
    Json(asked): Json<LoginRequest>,
) -> Result<impl IntoResponse, Error> {
    let (secret, actor) = access::log_in(&app.store.db, &asked.token).await?;
    let asked = Asked { actor: &actor.name, via: Via::Session, action: "log_in", path: "/session" };
    let audit = audit::insert(&app.store.db, asked).await?;
    audit::answered(&app.store.db, audit, (StatusCode::OK.as_u16(), None)).await?;
    Ok((AppendHeaders([(SET_COOKIE, cookie(&app, &secret, SESSION_SECONDS))]), Json(actor)))
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

/// Sent back to this site alone, by no script, and not where another site's page asks for a change.
pub(super) fn cookie(app: &App, secret: &str, seconds: i32) -> String {
    let secure = if app.access.is_secure() { "; Secure" } else { "" };
    format!(
        "{}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
        guard::cookie_name(app)
    )
}
