//! A sweep gives up the data that it is pinned to.

use assay_api::view::{ApplyAnswer, ApplyRequest, Outcome, PlanView, RunState};
use assay_api::worker::Finish;
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

fn repin(app: &TestApp) -> ApplyRequest {
    ApplyRequest { repin: true, ..app.request(&sweep("s")) }
}

async fn apply(app: &TestApp) -> Result<ApplyAnswer, (StatusCode, String)> {
    TestApp::read(app.post("/sweeps/apply", &repin(app)).await)
}

/// Lets the attempt of a `prepare` run leave data.
async fn prepare(app: &mut TestApp, number: u32, fingerprint: &str) {
    let worker = app.worker("s", number).await;
    worker.start(&[]).await.unwrap();
    let path = format!("datasets/{number}");
    let fingerprint = fingerprint.to_owned();
    worker.finish(Finish::Succeeded { step: 0, path, fingerprint, tokens: 4096 }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
}

/// The run that has the only slot.
async fn leased(app: &TestApp) -> u32 {
    let view = app.sweep("s").await;
    let run = view.runs.iter().find(|run| run.state == RunState::Leased);
    run.expect("one is leased").number
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_has_not_trained_waits_for_the_data_as_it_is_now(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    prepare(&mut app, 1, "commerce").await;
    prepare(&mut app, 2, "general").await;
    let first = leased(&app).await;
    app.succeed("s", first).await;
    let second = leased(&app).await;
    app.post("/sweeps/s/pause", &serde_json::json!({})).await;
    app.succeed("s", second).await;

    let (_, plan) = app.post("/sweeps/plan", &repin(&app)).await;
    let plan: PlanView = serde_json::from_value(plan).unwrap();
    let changes: Vec<&str> = plan.points.iter().map(|point| point.change.as_str()).collect();
    assert_eq!(changes, ["renewed", "renewed", "kept", "kept", "kept", "kept"]);
    assert!(plan.warnings[0].starts_with("2 run(s) have been trained"), "{:?}", plan.warnings);
    assert_eq!(app.row("s", 1).await.state, RunState::Done, "a plan does nothing");

    apply(&app).await.unwrap();
    app.post("/sweeps/s/resume", &()).await;
    app.settle().await;
    let third = (3..=6).find(|number| ![first, second].contains(number)).unwrap();
    assert_eq!(leased(&app).await, 1);
    let waiting = app.row("s", third).await.waiting.unwrap();
    assert!(waiting.contains("s/1"), "{waiting}");
    prepare(&mut app, 1, "commerce anew").await;
    prepare(&mut app, 2, "general").await;

    let next = leased(&app).await;
    let answer = app.worker("s", next).await.start(&[]).await.unwrap();
    let data = ["commerce", "general"].map(|name| answer.datasets[name].fingerprint.as_str());
    assert_eq!(data, ["commerce anew", "general"]);
    for number in [first, second] {
        assert_eq!(app.row("s", number).await.outcome, Some(Outcome::Succeeded));
    }
    assert_eq!(app.run("s", 1).await.attempts.len(), 2);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn data_that_an_attempt_reads_is_not_given_up(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    prepare(&mut app, 1, "commerce").await;
    prepare(&mut app, 2, "general").await;
    let states = async || {
        let view = app.sweep("s").await;
        view.runs
            .iter()
            .map(|run| (run.state, run.attempt, run.waiting.clone()))
            .collect::<Vec<_>>()
    };
    let before = states().await;
    let reader = leased(&app).await;
    let (status, error) = apply(&app).await.unwrap_err();
    let told = format!("s/{reader} read the data");
    assert!(status == StatusCode::CONFLICT && error.contains(&told), "{error}");
    assert_eq!(states().await, before);
    app.succeed("s", reader).await;
    assert_ne!(leased(&app).await, reader, "nothing waits");

    let pinned = sqlx::query_scalar::<_, i64>("select count(*) from sweep_pin");
    assert_eq!(pinned.fetch_one(&app.app.store.db).await.unwrap(), 2);
}

/// One that failed for its data is tried again with it, and one that was never prepared is not there.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_prepare_run_that_failed_is_tried_again(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    assert_eq!(apply(&app).await.unwrap().plan.added, 6);
    app.settle().await;
    let worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let message = "not valid JSON".to_owned();
    worker.finish(Finish::Error { step: 0, message, is_final: true }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;
    assert_eq!(app.row("s", 3).await.outcome, Some(Outcome::Cancelled));

    app.post("/sweeps/s/pause", &serde_json::json!({})).await;
    let answer = apply(&app).await.unwrap();
    assert_eq!(answer.plan.retried, 1);
    app.settle().await;
    assert_eq!(app.row("s", 1).await.state, RunState::Queued);
    assert_eq!(app.row("s", 3).await.state, RunState::Queued, "it is needed again");
}
