//! What is asked about webhooks, and what is answered.

use assay_api::view::{AuditPage, Role, TokenRequest, WebhookEvent, WebhookSecret, WebhookView};
use assay_controller::access::{self, Access};
use assay_controller::webhook::address::Reach;
use assay_tests::TestApp;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use sqlx::PgPool;

use super::{add, ask, deliveries};

const URL: &str = "https://example.com/hook/very-secret?key=1";
const EVENTS: &[WebhookEvent] = &[WebhookEvent::RunFailed, WebhookEvent::SweepFinished];

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_webhook_s_secret_is_shown_and_changed_and_stands_nowhere_else(db: PgPool) {
    let app = TestApp::new(db.clone(), 1).await;
    let added = add(&app, "chat", URL, EVENTS).await.unwrap();
    assert!(added.secret.starts_with("whsec_") && added.secret.len() == 50, "{}", added.secret);
    let events = [WebhookEvent::SweepFinished, WebhookEvent::RunFailed];
    assert_eq!((added.webhook.url.as_str(), &added.webhook.events[..]), (URL, &events[..]));
    let other = add(&app, "other", URL, EVENTS).await.unwrap();
    assert_ne!(other.secret, added.secret);
    let (status, text) = add(&app, "chat", URL, EVENTS).await.unwrap_err();
    assert!(status == StatusCode::CONFLICT && text.contains("there is a webhook `chat`"), "{text}");

    let shown = async || {
        let read = app.get("/webhooks/chat/secret").await;
        TestApp::read::<WebhookSecret>(read).unwrap().secret
    };
    assert_eq!(shown().await, added.secret);
    let rotated: WebhookSecret =
        TestApp::read(ask(&app, "POST", "/webhooks/chat/rotate").await).unwrap();
    assert_ne!(rotated.secret, added.secret);
    assert_eq!(shown().await, rotated.secret);
    let (_, list) = app.get("/webhooks").await;
    assert!(!list.to_string().contains("whsec_"), "{list}");

    let (_, audit) = app.get("/audit").await;
    assert!(!audit.to_string().contains("whsec_"), "{audit}");
    let page: AuditPage = serde_json::from_value(audit).unwrap();
    let details: Vec<_> = page.rows.iter().rev().map(|row| row.detail.as_deref()).collect();
    let chat = Some("webhook chat to https://example.com");
    assert_eq!(details, [chat, Some("webhook other to https://example.com"), None, None]);

    assert_eq!(ask(&app, "DELETE", "/webhooks/chat").await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(&app, "DELETE", "/webhooks/chat").await.0, StatusCode::NOT_FOUND);
    for path in ["/webhooks/chat/secret", "/webhooks/chat/deliveries", "/webhooks/a%00b/secret"] {
        assert_eq!(app.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/webhooks/chat/test", "/webhooks/chat/enable", "/deliveries/17/repeat"] {
        assert_eq!(ask(&app, "POST", path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_no_webhook_may_be_is_refused_and_says_why(db: PgPool) {
    let app = TestApp::new(db.clone(), 1).await;
    let long = format!("https://example.com/{}", "x".repeat(2_000));
    let on = json!(["run.failed"]);
    for (name, url, events, kind, why) in [
        ("a b", URL, &on, "invalid", "is no name of a webhook"),
        ("", URL, &on, "invalid", "is no name of a webhook"),
        ("a", URL, &json!([]), "invalid", "`events` is empty"),
        ("a", URL, &json!(["ping"]), "invalid", "leave it out"),
        ("a", URL, &json!(["run.done"]), "invalid", "unknown variant `run.done`"),
        ("a", "example.com", &on, "invalid", "it looks like https://"),
        ("a", "gopher://example.com/", &on, "invalid", "it must be http or https"),
        ("a", "https://me:word@example.com/", &on, "invalid", "user name or password"),
        ("a", &long, &on, "limit", "it may have 2000"),
        ("a", "http://127.0.0.1:8717/", &on, "invalid", "--webhooks-to-private"),
        ("a", "http://169.254.169.254/latest", &on, "invalid", "no public address"),
        ("a", "http://[::ffff:10.0.0.1]/", &on, "invalid", "no public address"),
        ("a", "http://0x7f.1/", &on, "invalid", "`127.0.0.1` leads to 127.0.0.1"),
    ] {
        let (status, body) =
            app.post("/webhooks", &json!({"name": name, "url": url, "events": events})).await;
        assert_eq!((status, &body["kind"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(kind)));
        assert!(body["error"].as_str().unwrap().contains(why), "{url}: {body}");
    }
    let open = TestApp::new(db, 1).await.reaching(Reach::Anywhere);
    for n in 1..=20 {
        add(&open, &format!("w{n}"), "http://127.0.0.1/", EVENTS).await.unwrap();
    }
    let (status, text) = add(&open, "w21", URL, EVENTS).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("20 webhooks, which is the limit"), "{text}");
    for limit in [0, 1001] {
        let (_, body) = open.get(&format!("/webhooks/w1/deliveries?limit={limit}")).await;
        assert_eq!(body["kind"], "limit", "{body}");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn only_admins_see_all_of_a_url(db: PgPool) {
    let app = TestApp::new(db.clone(), 1).await;
    add(&app, "chat", URL, EVENTS).await.unwrap();
    let app = app.serving(Access { needs_login: true, url: None });
    for (role, url) in [
        (Role::Viewer, "https://example.com"),
        (Role::Editor, "https://example.com"),
        (Role::Admin, URL),
    ] {
        let asked = TokenRequest { name: role.to_string(), role, expires_in_s: None };
        let token = access::create(&db, None, &asked, "the test").await.unwrap().secret;
        let request = Request::get("/api/v1/webhooks")
            .header("host", "here:1")
            .header("authorization", format!("Bearer {token}"));
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        let list: Vec<WebhookView> = TestApp::read(answer).unwrap();
        assert_eq!(list[0].url, url, "{role}");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn deliveries_are_listed_in_pages_the_newest_first(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    add(&app, "chat", URL, EVENTS).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&app, "POST", "/webhooks/chat/test").await.0, StatusCode::ACCEPTED);
    }
    let all: Vec<i64> = deliveries(&app, "chat").await.iter().map(|row| row.delivery_id).collect();
    let (_, first) = app.get("/webhooks/chat/deliveries?limit=2").await;
    assert_eq!(first["rows"][0]["delivery_id"], all[2]);
    assert_eq!(first["before"], all[1]);
    let (_, rest) = app.get(&format!("/webhooks/chat/deliveries?limit=2&before={}", all[1])).await;
    assert_eq!(rest["rows"][0]["delivery_id"], all[0]);
    assert_eq!(rest["before"], serde_json::Value::Null);
    let list: Vec<WebhookView> = TestApp::read(app.get("/webhooks").await).unwrap();
    assert_eq!(list[0].waiting, 3);
}
