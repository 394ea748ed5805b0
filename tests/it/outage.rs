//! What people are told while the database is away: that it is, and not that something is broken.

use std::time::Duration;

use assay_api::view::Problem;
use assay_controller::access::Access;
use assay_controller::http::Error;
use assay_tests::TestApp;
use axum::body::{Body, to_bytes};
use axum::http::header::RETRY_AFTER;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

const PROBLEM_MAX: usize = 10_000;

async fn assert_away(answer: Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(RETRY_AFTER));
    let body = to_bytes(answer.into_body(), PROBLEM_MAX).await.unwrap();
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.kind, "unavailable");
    assert!(problem.error.contains("the database does not answer"), "{}", problem.error);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_request_without_a_database_is_told_so_and_when_to_come_again(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    // a port that only root may listen on, and no server does
    let nowhere = PgConnectOptions::new().host("127.0.0.1").port(1);
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(50));
    app.app.store.db = pool.connect_lazy_with(nowhere);
    let app = app.serving(Access::default());
    for (method, path) in [("GET", "/sweeps"), ("POST", "/sweeps/s/pause"), ("GET", "/pools")] {
        let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        let request = request.header("content-type", "application/json");
        assert_away(app.answer(request.body(Body::from("{}")).unwrap()).await).await;
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_query_that_the_server_ends_is_no_fault_but_a_wrong_one_is(db: PgPool) {
    let killed = sqlx::query("select pg_terminate_backend(pg_backend_pid())").execute(&db).await;
    assert_away(Error::from(killed.unwrap_err()).into_response()).await;
    let wrong = sqlx::query("select 1 / 0").execute(&db).await.unwrap_err();
    let answer = Error::from(anyhow::Error::from(wrong).context("a sum")).into_response();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
