//! Who may ask for what, and who did: with real requests to the real router.

use assay_api::view::{
    AuditPage, Role, SessionView, TokenRequest, TokenSecret, TokenState, TokenView, Via,
};
use assay_controller::access::{self, Access};
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use sqlx::PgPool;

/// A controller that asks for login, and a token of each role.
async fn guarded(db: PgPool) -> (TestApp, [String; 3]) {
    let app = TestApp::new(db, 1).await;
    let app = app.serving(Access { needs_login: true, url: None });
    let mut secrets = Vec::new();
    for role in [Role::Viewer, Role::Editor, Role::Admin] {
        let asked = TokenRequest { name: role.to_string(), role, expires_in_s: None };
        let made = access::create(&app.app.store.db, None, &asked, "the test").await.unwrap();
        secrets.push(made.secret);
    }
    (app, secrets.try_into().unwrap())
}

fn request(method: &Method, path: &str) -> Builder {
    Request::builder().method(method).uri(format!("/api/v1{path}")).header("host", "here:1")
}

fn with_token(method: &Method, path: &str, token: &str) -> Builder {
    request(method, path).header("authorization", format!("Bearer {token}"))
}

fn json_body(request: Builder, body: &serde_json::Value) -> Request<Body> {
    let request = request.header("content-type", "application/json");
    request.body(body.to_string().into()).unwrap()
}

fn empty(request: Builder) -> Request<Body> {
    request.body(Body::empty()).unwrap()
}

async fn status(app: &TestApp, request: Request<Body>) -> StatusCode {
    app.answer(request).await.status()
}

async fn audit(app: &TestApp, admin: &str) -> Vec<(String, String, Option<u16>, Option<String>)> {
    let request = empty(with_token(&Method::GET, "/audit", admin));
    let page: AuditPage = TestApp::read(app.send(request).await).unwrap();
    let row = page.rows.into_iter().rev();
    row.map(|row| (row.actor, row.action, row.status, row.detail)).collect()
}

/// Every operation of the document, asked for by nobody and by each role. Method: what is refused is
/// refused before the body is read, so an empty request tells.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn every_operation_asks_for_a_role_and_refuses_whoever_has_less(db: PgPool) {
    let (app, [viewer, editor, admin]) = guarded(db).await;
    let doc: serde_json::Value = serde_json::from_str(&assay_controller::http::openapi()).unwrap();
    let mut n_refused = 0;
    for (path, methods) in doc["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/api/v1").unwrap();
        // it has secrets of its own
        if path.starts_with("/worker/") || path == "/session" {
            continue;
        }
        let place = path
            .replace("{run_id}", "00000000-0000-0000-0000-000000000000")
            .replace("{note_id}", "1")
            .replace("{delivery_id}", "1")
            .replace("{project}", "nothing")
            .replace("{pool}", "nothing")
            .replace("{name}", "nothing")
            .replace("{tag}", "tag");
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            assert!(operation["responses"]["401"].is_object(), "{method} {path}");
            let ask = async |token: Option<&str>| {
                let request = token.map_or_else(
                    || request(&method, &place),
                    |token| with_token(&method, &place, token),
                );
                status(&app, empty(request)).await
            };
            assert_eq!(ask(None).await, StatusCode::UNAUTHORIZED, "{method} {path}");
            let is_forbidden = [
                ask(Some(&viewer)).await == StatusCode::FORBIDDEN,
                ask(Some(&editor)).await == StatusCode::FORBIDDEN,
                ask(Some(&admin)).await == StatusCode::FORBIDDEN,
            ];
            let is_of_webhooks = path.starts_with("/webhooks") || path.starts_with("/deliveries");
            let is_of_admins = path.starts_with("/tokens")
                || path == "/audit"
                || path.starts_with("/projects") && method != Method::GET
                || is_of_webhooks && (method != Method::GET || path.ends_with("/secret"));
            let is_look = method == Method::GET || path == "/series/query";
            let expected = [is_of_admins || !is_look, is_of_admins, false];
            assert_eq!(is_forbidden, expected, "{method} {path}");
            n_refused += 1;
        }
    }
    assert!(30 < n_refused, "{n_refused}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_token_counts_until_it_expires_is_rotated_or_revoked(db: PgPool) {
    let (app, [viewer, _, admin]) = guarded(db).await;
    let look = async |token: &str| {
        let request = empty(with_token(&Method::GET, "/sweeps", token));
        TestApp::read::<serde_json::Value>(app.send(request).await).map(drop)
    };
    let why = |refused: Result<(), (StatusCode, String)>| {
        let (status, text) = refused.unwrap_err();
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        text
    };
    look(&viewer).await.unwrap();
    assert!(why(look("assay_0123").await).contains("no such token"));

    let asked = json!({"name": "ci", "role": "viewer", "expires_in_s": 3600});
    let make = || json_body(with_token(&Method::POST, "/tokens", &admin), &asked);
    let made: TokenSecret = TestApp::read(app.send(make()).await).unwrap();
    look(&made.secret).await.unwrap();
    assert_eq!(app.send(make()).await.0, StatusCode::CONFLICT, "its name is taken");

    let rotate = |grace: u64| {
        let request = with_token(&Method::POST, "/tokens/ci/rotate", &admin);
        json_body(request, &json!({"grace_s": grace}))
    };
    let second: TokenSecret = TestApp::read(app.send(rotate(600)).await).unwrap();
    look(&made.secret).await.unwrap();
    look(&second.secret).await.unwrap();
    let third: TokenSecret = TestApp::read(app.send(rotate(0)).await).unwrap();
    assert!(why(look(&second.secret).await).contains("was rotated"));
    assert!(why(look(&made.secret).await).contains("no such token"), "two rotations ago");
    look(&third.secret).await.unwrap();

    let age = "update token set expires_at = now() - interval '1 second' where name = 'ci'";
    sqlx::query(age).execute(&app.app.store.db).await.unwrap();
    assert!(why(look(&third.secret).await).contains("`ci` has expired"));
    let revoke = || empty(with_token(&Method::DELETE, "/tokens/ci", &admin));
    assert_eq!(status(&app, revoke()).await, StatusCode::NO_CONTENT);
    assert!(why(look(&third.secret).await).contains("was revoked"));
    assert_eq!(status(&app, revoke()).await, StatusCode::NOT_FOUND);
    let _again: TokenSecret = TestApp::read(app.send(make()).await).unwrap();

    let list = empty(with_token(&Method::GET, "/tokens", &admin));
    let (_, body) = app.send(list).await;
    let whole = body.to_string();
    let tokens: Vec<TokenView> = serde_json::from_value(body).unwrap();
    let states: Vec<_> = tokens.iter().map(|token| (token.name.as_str(), token.state)).collect();
    let valid = |name| (name, TokenState::Valid);
    let expected = [valid("admin"), valid("ci"), valid("editor"), valid("viewer")];
    assert_eq!(states, [&expected[..], &[("ci", TokenState::Revoked)]].concat());
    assert!(!whole.contains("assay_"), "no secret is shown again");
    let hidden = "select count(*) from token where encode(hash, 'escape') like 'assay%'";
    let n: i64 = sqlx::query_scalar(hidden).fetch_one(&app.app.store.db).await.unwrap();
    assert_eq!(n, 0);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_no_token_may_be_is_refused(db: PgPool) {
    let (app, [.., admin]) = guarded(db).await;
    for (body, why) in [
        (json!({"name": "a b", "role": "viewer"}), "is no name of a token"),
        (json!({"name": "", "role": "viewer"}), "is no name of a token"),
        (json!({"name": "a", "role": "root"}), "unknown variant `root`"),
        (json!({"name": "a", "role": "viewer", "expires_in_s": 0}), "`expires_in_s` is 0"),
        (json!({"name": "a", "role": "viewer", "expires_in_s": u64::MAX}), "it must be 1 to"),
    ] {
        let request = json_body(with_token(&Method::POST, "/tokens", &admin), &body);
        let (status, text) = TestApp::read::<TokenSecret>(app.send(request).await).unwrap_err();
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && text.contains(why), "{text}");
    }
    let nul = empty(with_token(&Method::DELETE, "/tokens/a%00b", &admin));
    assert_eq!(status(&app, nul).await, StatusCode::NOT_FOUND);
}

/// The cookie of an answer, as a browser would send it back.
fn cookie_of(response: &axum::response::Response) -> (String, String) {
    let text = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    (text.split(';').next().unwrap().to_owned(), text)
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_browser_logs_in_with_a_token_and_is_out_when_that_is_revoked(db: PgPool) {
    let (app, [_, editor, admin]) = guarded(db).await;
    let session = async |cookie: &str| {
        let request = empty(request(&Method::GET, "/session").header("cookie", cookie));
        TestApp::read::<SessionView>(app.send(request).await).unwrap().actor
    };
    assert_eq!(session("").await, None);
    let log_in = |token: &str| {
        let request = request(&Method::POST, "/session").header("sec-fetch-site", "same-origin");
        json_body(request, &json!({"token": token}))
    };
    assert_eq!(status(&app, log_in("assay_wrong")).await, StatusCode::UNAUTHORIZED);

    let answer = app.answer(log_in(&editor)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (cookie, whole) = cookie_of(&answer);
    assert!(whole.contains("; HttpOnly; SameSite=Lax") && !whole.contains("Secure"), "{whole}");
    let actor = session(&cookie).await.unwrap();
    assert_eq!(
        (actor.name.as_str(), actor.role, actor.via),
        ("editor", Role::Editor, Via::Session)
    );
    let look = || empty(request(&Method::GET, "/sweeps").header("cookie", &cookie));
    assert_eq!(status(&app, look()).await, StatusCode::OK);
    let tokens = empty(request(&Method::GET, "/tokens").header("cookie", &cookie));
    assert_eq!(status(&app, tokens).await, StatusCode::FORBIDDEN, "an editor is no admin");

    let other = cookie_of(&app.answer(log_in(&editor)).await).0;
    let log_out = empty(request(&Method::DELETE, "/session").header("cookie", &cookie));
    assert_eq!(status(&app, log_out).await, StatusCode::NO_CONTENT);
    assert_eq!(session(&cookie).await, None);
    assert!(session(&other).await.is_some(), "another browser's session goes on");
    let revoke = empty(with_token(&Method::DELETE, "/tokens/editor", &admin));
    assert_eq!(status(&app, revoke).await, StatusCode::NO_CONTENT);
    assert_eq!(session(&other).await, None);
    let over = empty(request(&Method::GET, "/sweeps").header("cookie", &other));
    assert_eq!(status(&app, over).await, StatusCode::UNAUTHORIZED);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_page_of_another_site_gets_nothing_done(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    let pause = |headers: &[(&str, &str)]| {
        let request = Request::post("/api/v1/sweeps/s/pause");
        let all =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        empty(all)
    };
    let host = ("host", "127.0.0.1:8717");
    let local = ("origin", "http://127.0.0.1:8717");
    for (headers, is_done) in [
        (&[host, ("sec-fetch-site", "cross-site")][..], false),
        (&[host, ("sec-fetch-site", "same-site"), local], false),
        (&[host, ("origin", "https://evil.example")], false),
        (&[host, ("origin", "null")], false),
        (&[("host", "evil.example:8717"), ("sec-fetch-site", "same-origin")], false),
        (&[host, ("sec-fetch-site", "same-origin")], true),
        (&[("host", "localhost:8717"), ("origin", "http://localhost:8717")], true),
        (&[("host", "[::1]:8717")], true),
        (&[], true),
    ] {
        let done = status(&app, pause(headers)).await;
        let expected = if is_done { StatusCode::ACCEPTED } else { StatusCode::FORBIDDEN };
        assert_eq!(done, expected, "{headers:?}");
    }
    let look = Request::get("/api/v1/sweeps").header("host", "evil.example");
    assert_eq!(status(&app, empty(look)).await, StatusCode::FORBIDDEN, "a name that leads here");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn whatever_may_change_something_is_written_down_with_who_asked(db: PgPool) {
    let (app, [viewer, editor, admin]) = guarded(db).await;
    let apply = json_body(
        with_token(&Method::POST, "/sweeps/apply", &editor),
        &serde_json::to_value(app.request(&sweep("s"))).unwrap(),
    );
    assert_eq!(status(&app, apply).await, StatusCode::OK);
    let pause = |who: &str| empty(with_token(&Method::POST, "/sweeps/s/pause?now=true", who));
    assert_eq!(status(&app, pause(&viewer)).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&app, pause(&editor)).await, StatusCode::ACCEPTED);
    let look = empty(with_token(&Method::GET, "/sweeps/s", &viewer));
    assert_eq!(status(&app, look).await, StatusCode::OK);
    let missing = empty(with_token(&Method::POST, "/sweeps/other/pause", &admin));
    assert_eq!(status(&app, missing).await, StatusCode::NOT_FOUND);

    let row = |who: &str, what: &str, status, detail: Option<&str>| {
        (who.to_owned(), what.to_owned(), Some(status), detail.map(str::to_owned))
    };
    assert_eq!(
        audit(&app, &admin).await,
        [
            row("editor", "apply_sweep", 200, Some("s: 6 runs added, 0 kept")),
            row("editor", "pause_sweep", 202, None),
            row("admin", "pause_sweep", 404, None),
        ]
    );
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn remarks_are_signed_by_whoever_is_known(db: PgPool) {
    let (app, [_, editor, _]) = guarded(db).await;
    let apply = json_body(
        with_token(&Method::POST, "/sweeps/apply", &editor),
        &serde_json::to_value(app.request(&sweep("s"))).unwrap(),
    );
    assert_eq!(status(&app, apply).await, StatusCode::OK);
    let view = empty(with_token(&Method::GET, "/sweeps/s", &editor));
    let view: serde_json::Value = TestApp::read(app.send(view).await).unwrap();
    let run = view["runs"][0]["run_id"].as_str().unwrap();
    let path = format!("/runs/{run}/notes");
    let body = json!({"text": "odd", "author": "somebody else"});
    let note = json_body(with_token(&Method::POST, &path, &editor), &body);
    let (status, note) = app.send(note).await;
    assert_eq!((status, note["author"].as_str()), (StatusCode::CREATED, Some("editor")));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn every_answer_tells_browsers_what_not_to_do(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    let url = Some("https://assay.example.com".to_owned());
    let app = app.serving(Access { needs_login: true, url });
    for path in ["/", "/sweeps/s", "/api/v1/session", "/api/v1/sweeps", "/api/nothing"] {
        let answer = app.answer(empty(Request::get(path))).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe-eval") && !policy.contains("script-src"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("strict-transport-security"), "max-age=31536000");
        let cache = header("cache-control");
        assert_eq!(cache, if path.starts_with("/api") { "no-store" } else { "no-cache" });
    }
    let refused = app.answer(empty(Request::get("/api/v1/sweeps"))).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
}
