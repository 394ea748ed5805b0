//! Before any handler of people's: who asks, whether they may, and that it is they who ask and not a
//! page of another site in their browser. What may change something is written down first.

use std::collections::HashMap;
use std::sync::Arc;

use assay_api::view::{Role, Via};
use assay_api::{KillPoint, kill_point};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};
use utoipa::openapi::OpenApi;

use super::Error;
use super::scope::{self, Reach};
use crate::access::{self, Actor, Proof};
use crate::app::App;
use crate::store::audit::{self, Asked};
use crate::store::project::{self, Project};

/// What an operation asks of whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it is how to log in.
    Nothing,
    Look(Role),
    Change(Role),
}

/// What an operation needs, by its name in the document. Of one that is new, the most that its method
/// may do.
pub(super) fn needs(method: &Method, operation: &str) -> Needs {
    match operation {
        "show_session" | "log_in" | "log_out" => Needs::Nothing,
        "list_tokens" | "list_audit" => Needs::Look(Role::Admin),
        "create_token" | "rotate_token" | "revoke_token" => Needs::Change(Role::Admin),
        "create_project" | "delete_project" | "set_quota" | "remove_quota" => {
            Needs::Change(Role::Admin)
        }
        // the controller sends to where they lead, and who knows a secret can sign
        "show_webhook_secret" => Needs::Look(Role::Admin),
        "add_webhook" | "remove_webhook" | "rotate_webhook" | "enable_webhook"
        | "disable_webhook" | "test_webhook" | "repeat_delivery" => Needs::Change(Role::Admin),
        // asked for by POST, as the question is long
        "query_series" => Needs::Look(Role::Viewer),
        // it reads files of the controller's machine
        "plan_sweep" => Needs::Look(Role::Editor),
        _ if *method == Method::GET || *method == Method::HEAD => Needs::Look(Role::Viewer),
        _ => Needs::Change(Role::Editor),
    }
}

/// What an operation is about, by its name and path in the document.
pub(super) fn reach(operation: &str, path: &str) -> Reach {
    match operation {
        "show_session" | "log_in" | "log_out" | "list_projects" | "list_pools"
        | "last_activation" => Reach::Anywhere,
        "create_project" | "delete_project" | "set_quota" | "remove_quota" => Reach::Everywhere,
        "list_tokens" | "create_token" | "rotate_token" | "revoke_token" | "list_audit" => {
            Reach::Wide
        }
        _ if path.contains(RUN) => Reach::Run,
        _ => Reach::Project,
    }
}

/// What the guard knows.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    app: App,
    /// The name of each operation.
    operations: Arc<HashMap<(Method, String), String>>,
}

impl Guard {
    pub(super) fn new(app: App, doc: &OpenApi) -> Self {
        let operations = operations(doc).into_iter();
        let operations = operations.map(|(method, path, name)| ((method, path), name)).collect();
        Self { app, operations: Arc::new(operations) }
    }

    fn operation(&self, method: &Method, path: &str) -> &str {
        // a HEAD is answered by whoever answers the GET
        let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
        self.operations.get(&(method, path.to_owned())).map_or("", String::as_str)
    }
}

/// Every operation of a document: method, path and name.
pub(super) fn operations(doc: &OpenApi) -> Vec<(Method, String, String)> {
    let of = |(path, item): (&String, &utoipa::openapi::PathItem)| {
        let methods = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::DELETE, &item.delete),
        ];
        let named = methods.into_iter().filter_map(|(method, operation)| {
            let name = operation.as_ref()?.operation_id.clone()?;
            Some((method, path.clone(), name))
        });
        named.collect::<Vec<_>>()
    };
    doc.paths.paths.iter().flat_map(of).collect()
}

/// Who asks, and about what, for handlers.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    /// In the project that they ask about.
    pub(super) role: Role,
    /// None: no project, or all of them.
    pub(super) scope: Option<Project>,
    proof: Option<Proof>,
}

impl Caller {
    /// The project that they ask about.
    ///
    /// # Panics
    /// The operation is not about one.
    pub(super) fn project(&self) -> &Project {
        self.scope.as_ref().expect("the guard has found it")
    }

    /// Whether they may still ask: a stream is open for longer than a token need be valid.
    pub(super) async fn is_still_admitted(&self, app: &App) -> bool {
        let actor = access::actor(&app.store.db, &app.access, self.proof.as_ref()).await;
        actor.is_ok_and(|actor| actor.roles.in_project(&self.project().name).is_some())
    }

    /// As whom a remark is signed: as themselves where they are known, else as they call themselves.
    pub(super) fn signs(&self, claimed: Option<String>) -> Option<String> {
        match self.actor.via {
            Via::Loopback => claimed,
            Via::Token | Via::Session => Some(self.actor.name.clone()),
        }
    }
}

/// What a handler adds to the audit log: what the path does not say.
#[derive(Clone, Debug)]
pub(super) struct Detail(pub(super) String);

pub(super) async fn guard(
    State(guard): State<Guard>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let app = guard.app.clone();
    let (mut request, body) = request.into_parts();
    let operation = guard.operation(&request.method, path.as_str()).to_owned();
    match admit(&app, &mut request, (&operation, path.as_str())).await {
        Ok((caller, audit)) => {
            // whoever logs in is nobody yet
            if let Some(caller) = caller {
                request.extensions.insert(caller);
            }
            let mut response = next.run(Request::from_parts(request, body)).await;
            let detail = response.extensions_mut().remove::<Detail>();
            if let Some(audit) = audit {
                app.news.tell_all();
                kill_point(KillPoint::HandledNoted);
                note(&app, audit, (response.status(), detail)).await;
            }
            response
        }
        Err(refusal) => {
            if let Error::Forbidden(why) = &refusal {
                info!(operation, "refused: {why}");
            }
            refusal.into_response()
        }
    }
}

/// Who asks, and the row of the audit log if it may change something.
async fn admit(
    app: &App,
    request: &mut Parts,
    (operation, path): (&str, &str),
) -> Result<(Option<Caller>, Option<i64>), Error> {
    is_of_this_site(app, request)?;
    let (role, is_change) = match needs(&request.method, operation) {
        Needs::Nothing => return Ok((None, None)),
        Needs::Look(role) => (role, false),
        Needs::Change(role) => (role, true),
    };
    let proof = proof(app, &request.headers);
    let actor = access::actor(&app.store.db, &app.access, proof.as_ref()).await?;
    let asked = request.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let named = scope::take(request)?;
    let reach = reach(operation, path);
    let scope = match reach {
        Reach::Project => Some(project(app, &actor, named.as_deref()).await?),
        Reach::Run => project_of_run(app, request, path, named.as_deref()).await?,
        Reach::Wide if named.is_none() && actor.roles.everywhere >= Some(role) => None,
        Reach::Wide => Some(project(app, &actor, named.as_deref()).await?),
        Reach::Anywhere | Reach::Everywhere => None,
    };
    let held = match (&scope, reach) {
        (Some(project), _) => actor.roles.in_project(&project.name),
        (None, Reach::Everywhere) => actor.roles.everywhere,
        (None, _) => actor.roles.highest(),
    };
    // a run of another project is none to whoever has no role there
    let held = held.ok_or_else(|| match reach {
        Reach::Run => no_such_run(),
        Reach::Project | Reach::Wide | Reach::Anywhere | Reach::Everywhere => {
            Error::Forbidden(format!(
                "{} has a role in {} alone: this takes {} {role} of all projects",
                actor.name,
                actor.roles.places(),
                article(role)
            ))
        }
    })?;
    if held < role {
        let place = scope.as_ref().map(Project::place);
        return Err(Error::Forbidden(format!(
            "{} is {} {held}{}: this takes {} {role}",
            actor.name,
            article(held),
            place.unwrap_or_default(),
            article(role)
        )));
    }
    if reach == Reach::Run && scope.is_none() {
        return Err(no_such_run());
    }
    let audit = if is_change {
        let path = asked.strip_prefix("/api/v1").unwrap_or(&asked);
        let project = scope.as_ref().map(|scope| scope.name.as_str());
        let (actor, via) = (&actor.name, actor.via);
        Some(ask(app, Asked { actor, via, project, action: operation, path }).await?)
    } else {
        None
    };
    Ok((Some(Caller { actor, role: held, scope, proof }), audit))
}

/// The project that a request names, or means.
async fn project(app: &App, actor: &Actor, named: Option<&str>) -> Result<Project, Error> {
    let Some(name) = named.or_else(|| actor.roles.implied()) else {
        return Err(Error::Forbidden(format!(
            "{} has a role in {} alone: name one of them (`--project`)",
            actor.name,
            actor.roles.places()
        )));
    };
    if actor.roles.in_project(name).is_none() {
        return Err(Error::Forbidden(format!(
            "{} has no role in a project `{}`, but in {}",
            actor.name,
            name.escape_debug(),
            actor.roles.places()
        )));
    }
    crate::project::find(&app.store.db, name).await
}

fn no_such_run() -> Error {
    Error::NotFound("no such run".to_owned())
}

/// How the document's paths name a run.
const RUN: &str = "{run_id}";

/// None: there is no such run.
async fn project_of_run(
    app: &App,
    request: &Parts,
    path: &str,
    named: Option<&str>,
) -> Result<Option<Project>, Error> {
    // from the end: where routes are nested, the beginning has been cut off
    let at = path.rsplit('/').position(|segment| segment == RUN);
    let run = at.and_then(|at| request.uri.path().rsplit('/').nth(at)?.parse().ok());
    let Some(run) = run else { return Ok(None) };
    let found = project::of_run(&app.store.db, run).await?;
    Ok(found.filter(|found| named.is_none_or(|named| found.name == named)))
}

const fn article(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a",
        Role::Editor | Role::Admin => "an",
    }
}

async fn ask(app: &App, asked: Asked<'_>) -> Result<i64, Error> {
    let audit = audit::insert(&app.store.db, asked).await?;
    kill_point(KillPoint::AskedHandled);
    Ok(audit)
}

async fn note(app: &App, audit: i64, (status, detail): (StatusCode, Option<Detail>)) {
    let detail = detail.as_ref().map(|Detail(text)| text.as_str());
    let answer = (status.as_u16(), detail);
    if let Err(error) = audit::answered(&app.store.db, audit, answer).await {
        // what was asked, and by whom, is in the log already
        warn!(audit, %error, "could not note an answer: {error}");
    }
}

/// Browsers send cookies along whoever made them ask, and on loopback nobody needs one: so a page of
/// another site may not make them ask for anything.
fn is_of_this_site(app: &App, request: &Parts) -> Result<(), Error> {
    let text = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str());
    if !app.access.needs_login && !host.is_none_or(|host| is_this_machine(app, host)) {
        // a name of another site may lead here (DNS rebinding)
        return Err(Error::Forbidden(format!(
            "`{}` is no name of this machine: without login only localhost is served (`--url` names \
             where browsers find this controller)",
            host.unwrap_or_default()
        )));
    }
    if matches!(request.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let is_foreign = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let is_named = app.access.url.as_deref() == Some(origin);
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            !is_named && (authority.is_none() || authority != host)
        }
        // no browser
        (None, None) => false,
    };
    if is_foreign {
        return Err(Error::Forbidden(
            "a page of another site asked for this in your browser: it was not done".to_owned(),
        ));
    }
    Ok(())
}

fn is_this_machine(app: &App, host: &str) -> bool {
    let name = host.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let name = name.unwrap_or_default();
    let named = app.access.url.as_ref().and_then(|url| url.parse::<Uri>().ok());
    let is_loopback = name == "localhost"
        || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    is_loopback || named.is_some_and(|uri| uri.host() == Some(&name))
}

/// What a request shows of whoever asks. A token counts more than a cookie.
pub(super) fn proof(app: &App, headers: &HeaderMap) -> Option<Proof> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(token) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        return Some(Proof::token(token.trim()));
    }
    cookie(app, headers).map(|secret| Proof::session(&secret))
}

/// The name of the cookie. With this beginning browsers take it over TLS only, and for no other host.
pub(super) fn cookie_name(app: &App) -> &'static str {
    if app.access.is_secure() { "__Host-assay" } else { "assay" }
}

/// What the browser's cookie holds.
pub(super) fn cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    cookie_of(headers, cookie_name(app))
}

pub(super) fn cookie_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut each = all.flat_map(|all| all.split(';')).filter_map(|one| one.trim().split_once('='));
    each.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that nobody adds an operation that anybody may ask for.
    #[test]
    fn only_logging_in_needs_nothing_and_whatever_is_no_question_is_a_change() {
        let doc = crate::http::document();
        let names = operations(&doc);
        assert!(30 < names.len());
        for (method, path, name) in names.iter().filter(|(_, path, _)| !path.contains("/worker/")) {
            let needs = needs(method, name);
            match (name.as_str(), method.as_str()) {
                ("show_session" | "log_in" | "log_out", _) => assert_eq!(needs, Needs::Nothing),
                (_, "GET") | ("plan_sweep" | "query_series", _) => {
                    assert!(matches!(needs, Needs::Look(_)), "{path}");
                }
                _ => assert!(matches!(needs, Needs::Change(Role::Editor | Role::Admin)), "{path}"),
            }
            if path.contains("/token") || path.contains("/audit") {
                assert!(matches!(needs, Needs::Look(Role::Admin) | Needs::Change(Role::Admin)));
            }
            let is_of_webhooks = path.contains("/webhooks") || path.contains("/deliveries");
            if is_of_webhooks && (method != Method::GET || path.ends_with("/secret")) {
                assert!(matches!(needs, Needs::Look(Role::Admin) | Needs::Change(Role::Admin)));
            }
        }
    }
}
