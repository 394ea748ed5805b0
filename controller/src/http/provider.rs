//! `/auth`: a browser goes to the identity provider, and comes back as somebody. These are pages and
//! no API: whatever goes wrong leads back to the page that says so.

use std::sync::Arc;

use assay_api::view::Via;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use tracing::{info, warn};

use super::Error;
use super::extract::Query;
use super::session::{cookie, set_cookie};
use crate::access::provider::Provider;
use crate::access::{self, Actor, rule};
use crate::app::App;
use crate::secret::hash;
use crate::store::login::{self, Login};
use crate::store::session::Owner;

const PATH_MAX: usize = 2_000;
/// The cookie of a browser that is on its way.
const STATE: &str = "assay-login";

pub(super) fn router() -> Router<App> {
    Router::new().route("/auth/login", get(begin)).route("/auth/callback", get(finish))
}

/// What the page says of it, see web/src/pages/LoginPage.tsx.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The provider does not answer, or not as one.
    Provider,
    /// Another browser began it, or it took too long.
    Stale,
    /// The provider said no, or the person did.
    Refused,
    /// No rule gives the person a role.
    NoRole,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let word = match self {
            Self::Provider => "provider",
            Self::Stale => "stale",
            Self::Refused => "refused",
            Self::NoRole => "no-role",
        };
        Redirect::to(&format!("/?login={word}")).into_response()
    }
}

#[derive(Debug, Deserialize)]
struct From {
    #[serde(rename = "return", default)]
    return_to: String,
}

/// The browser that began is the one that comes back: the cookie holds the word that the provider
/// sends along.
fn state_cookie(app: &App, state: &str, seconds: i32) -> String {
    set_cookie(app, (STATE, state), "/auth", seconds)
}

fn provider(app: &App) -> Result<Arc<Provider>, Error> {
    let none = || Error::NotFound("this controller knows no identity provider".to_owned());
    app.provider.clone().ok_or_else(none)
}

async fn begin(State(app): State<App>, Query(from): Query<From>) -> Result<Response, Error> {
    let begun = match provider(&app)?.begin().await {
        Ok(begun) => begun,
        Err(error) => {
            warn!("nobody can log in by the identity provider: {error:#}");
            return Ok(Failure::Provider.into_response());
        }
    };
    let return_to = if is_page(&from.return_to) { from.return_to } else { "/".to_owned() };
    let login = Login { nonce: begun.nonce, verifier: begun.verifier, return_to };
    login::insert(&app.store.db, &hash(&begun.state), &login).await?;
    let set = AppendHeaders([(SET_COOKIE, state_cookie(&app, &begun.state, login::SECONDS))]);
    Ok((set, Redirect::to(&begun.url)).into_response())
}

/// A page of this site, and not `//another.site`.
fn is_page(path: &str) -> bool {
    let mut letters = path.chars();
    letters.next() == Some('/')
        && !matches!(letters.next(), Some('/' | '\\'))
        && path.len() <= PATH_MAX
        && !path.contains(|letter: char| letter.is_control())
}

#[derive(Debug, Deserialize)]
struct Back {
    #[serde(default)]
    state: String,
    code: Option<String>,
}

async fn finish(
    State(app): State<App>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Error> {
    let provider = provider(&app)?;
    let held = super::guard::cookie_of(&headers, STATE);
    if held.is_none_or(|held| held != back.state) {
        return Ok(Failure::Stale.into_response());
    }
    let Some(login) = login::take(&app.store.db, &hash(&back.state)).await? else {
        return Ok(Failure::Stale.into_response());
    };
    let Some(code) = back.code else { return Ok(Failure::Refused.into_response()) };
    let claims = match provider.finish(code, (login.nonce, login.verifier)).await {
        Ok(claims) => claims,
        Err(error) => {
            warn!("a login by the identity provider failed: {error:#}");
            return Ok(Failure::Provider.into_response());
        }
    };
    let Some(name) = rule::name(&claims) else { return Ok(Failure::Provider.into_response()) };
    let Some(roles) = rule::roles(provider.rules(), &claims) else {
        info!("{name} is known to the identity provider, and no --oidc-role gives them a role");
        return Ok(Failure::NoRole.into_response());
    };
    let person = Owner::Person { name: name.clone(), roles: roles.clone() };
    let actor = Actor { name, roles, via: Via::Session };
    let secret = access::open(&app.store.db, (&actor, &person), "/auth/callback").await?;
    let set = AppendHeaders([
        (SET_COOKIE, cookie(&app, &secret, access::SESSION_SECONDS)),
        (SET_COOKIE, state_cookie(&app, "", 0)),
    ]);
    Ok((set, Redirect::to(&login.return_to)).into_response())
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn a_login_leads_back_to_a_page_of_this_site_alone() {
        assert!(is_page("/") && is_page("/sweeps/a?metric=x"));
        for path in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb"] {
            assert!(!is_page(path), "{path}");
        }
    }
}
