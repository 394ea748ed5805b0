//! Other programs are told of what happens: what is written down, and what reaches a real receiver.

mod asked;
mod told;
mod written;

use assay_api::view::{DeliveryView, WebhookEvent, WebhookRequest, WebhookSecret};
use assay_controller::webhook::address::Reach;
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use sqlx::PgPool;

const NOTHING: &serde_json::Value = &serde_json::Value::Null;

fn request(name: &str, url: &str, events: &[WebhookEvent]) -> WebhookRequest {
    WebhookRequest { name: name.to_owned(), url: url.to_owned(), events: events.to_vec() }
}

async fn add(
    app: &TestApp,
    name: &str,
    url: &str,
    events: &[WebhookEvent],
) -> Result<WebhookSecret, (StatusCode, String)> {
    TestApp::read(app.post("/webhooks", &request(name, url, events)).await)
}

/// Asks for something without a body.
async fn ask(app: &TestApp, method: &str, path: &str) -> (StatusCode, serde_json::Value) {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    app.send(request.body(Body::empty()).unwrap()).await
}

/// The oldest first.
async fn deliveries(app: &TestApp, name: &str) -> Vec<DeliveryView> {
    let path = format!("/webhooks/{name}/deliveries?limit=1000");
    let page: assay_api::view::DeliveryPage = TestApp::read(app.get(&path).await).unwrap();
    page.rows.into_iter().rev().collect()
}

/// A controller whose webhooks may lead to this machine, with one sweep.
async fn with_sweep(db: PgPool) -> TestApp {
    let mut app = TestApp::new(db, 2).await.reaching(Reach::Anywhere);
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    app
}
