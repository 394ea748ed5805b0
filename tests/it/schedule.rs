//! The loop over the real store: runs are placed, lost, retried, cancelled, and explained.

use assay_api::view::{Outcome, RunState};
use assay_api::worker::{Finish, Wish};
use assay_controller::pool::Stop;
use assay_scheduler::{AttemptSeen, Exit, Time};
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

const NOTHING: &serde_json::Value = &serde_json::Value::Null;

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_runs_to_its_end_within_its_slots(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("whole")).await.unwrap();
    app.settle().await;
    assert_eq!(app.pool.started().len(), 2, "the two prepares fill the pool");
    let waiting = app.row("whole", 4).await.waiting.unwrap();
    assert!(waiting.contains("waits for whole/"), "{waiting}");

    for number in 1..=6 {
        app.succeed("whole", number).await;
        assert!(app.pool.attempts().len() <= 2, "never more attempts than slots");
    }
    let view = app.sweep("whole").await;
    assert_eq!(view.summary.counts.succeeded, 6);
    assert_eq!(app.pool.started().len(), 6, "nothing ran twice");
    assert!(app.pool.attempts().is_empty(), "nothing is left in the pool");
    assert!(view.runs.iter().all(|run| run.ended_at.is_some() && run.attempt == 1));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_killed_worker_is_tried_again_after_a_while(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("killed")).await.unwrap();
    app.settle().await;
    let worker = app.worker("killed", 1).await;
    worker.start(&[]).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;

    let run = app.run("killed", 1).await;
    assert_eq!(run.row.state, RunState::Queued);
    assert!(run.row.waiting.unwrap().contains("before the next try"));
    assert_eq!(run.attempts[0].cause.as_deref(), Some("infrastructure"));
    assert!(run.attempts[0].reason.as_deref().unwrap().contains("signal 9"));
    let words: Vec<&str> = run.events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(words, ["applied", "placed", "started", "lost", "gone"]);
    // the slot went to the next run
    assert_eq!(app.row("killed", 2).await.state, RunState::Leased);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_its_pool_holds_back_waits_in_its_words_and_uses_no_slot(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("held")).await.unwrap();
    app.settle().await;
    let key = app.worker("held", 1).await.key;
    let used = async |app: &TestApp| app.get("/pools").await.1[0]["used"].as_u64().unwrap();
    assert_eq!(used(&app).await, 1);

    app.pool.show(key, AttemptSeen::Suspended { why: "queue a: no quota".to_owned() });
    app.settle().await;
    let row = app.row("held", 1).await;
    assert_eq!((row.state, row.waiting.as_deref()), (RunState::Leased, Some("queue a: no quota")));
    assert_eq!(app.row("held", 2).await.state, RunState::Leased, "the slot went to the next run");
    assert_eq!(used(&app).await, 1);

    app.pool.show(key, AttemptSeen::Running { since: Time(0) });
    app.settle().await;
    assert_eq!(app.row("held", 1).await.waiting, None);
    assert_eq!(used(&app).await, 2);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_final_error_ends_the_run_and_what_needs_it(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("fatal")).await.unwrap();
    app.settle().await;
    let worker = app.worker("fatal", 1).await;
    worker.start(&[]).await.unwrap();
    let message = "commerce.jsonl, line 7: no field `text`".to_owned();
    let finish = Finish::Error { step: 0, message: message.clone(), is_final: true };
    worker.finish(finish).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;

    let failed = app.row("fatal", 1).await;
    assert_eq!((failed.outcome, failed.reason), (Some(Outcome::Failed), Some(message)));
    let behind = app.row("fatal", 3).await;
    assert_eq!(behind.outcome, Some(Outcome::Cancelled));
    assert!(behind.reason.unwrap().contains("fatal/1"));

    // retried, it takes those that were cancelled for it along
    let (status, _) = app.post(&format!("/runs/{}/retry", failed.run_id), NOTHING).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(app.row("fatal", 1).await.attempt, 2);
    assert_eq!(app.row("fatal", 3).await.state, RunState::Queued);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_a_person_cancels_stays_cancelled_when_a_need_is_retried(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("person")).await.unwrap();
    let run = app.row("person", 3).await.run_id;
    app.post(&format!("/runs/{run}/cancel"), NOTHING).await;
    app.settle().await;
    assert_eq!(app.row("person", 3).await.outcome, Some(Outcome::Cancelled));
    app.succeed("person", 1).await;
    app.succeed("person", 2).await;
    assert_eq!(app.row("person", 3).await.outcome, Some(Outcome::Cancelled));

    let (status, body) = app.post(&format!("/runs/{run}/cancel"), NOTHING).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["error"].as_str().unwrap().contains("cannot be cancelled"), "{body}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_cancelled_worker_is_told_and_its_slot_comes_back_when_it_is_gone(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("cancel")).await.unwrap();
    app.settle().await;
    let worker = app.worker("cancel", 1).await;
    worker.start(&[]).await.unwrap();
    let key = worker.key;
    let (status, _) = app.post("/sweeps/cancel/cancel", NOTHING).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(worker.send(None, Vec::new()).await.unwrap().wish, Wish::Stop);
    app.settle().await;
    assert_eq!(app.row("cancel", 1).await.state, RunState::Stopping);
    assert_eq!(app.pool.stops().first(), Some(&(key, Stop::AtOnce)));

    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    assert_eq!(app.row("cancel", 1).await.outcome, Some(Outcome::Cancelled));
    assert_eq!(app.sweep("cancel").await.summary.counts.cancelled, 6);
    assert!(app.pool.attempts().is_empty());
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_paused_sweep_places_nothing_and_says_so(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("paused")).await.unwrap();
    app.post("/sweeps/paused/pause", NOTHING).await;
    app.settle().await;
    assert!(app.pool.started().is_empty());
    assert_eq!(app.row("paused", 1).await.waiting.as_deref(), Some("its sweep is paused"));
    app.post("/sweeps/paused/resume", NOTHING).await;
    app.settle().await;
    assert_eq!(app.pool.started().len(), 2);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_pool_that_does_not_answer_fails_nothing(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("dark")).await.unwrap();
    app.settle().await;
    app.worker("dark", 1).await.start(&[]).await.unwrap();
    app.pool.set_unreachable(true);
    app.settle().await;
    assert_eq!(app.row("dark", 1).await.state, RunState::Leased);
    assert!(app.row("dark", 3).await.waiting.is_some());
    assert_eq!(app.get("/pools").await.1[0]["health"], "unknown");
    app.pool.set_unreachable(false);
    app.settle().await;
    assert_eq!(app.pool.started().len(), 2, "nothing was started twice");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_attempt_whose_worker_never_spoke_is_created_again(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("lost")).await.unwrap();
    app.settle().await;
    let key = app.worker("lost", 1).await.key;
    app.pool.lose(key);
    app.settle().await;
    assert_eq!(app.pool.started(), [key, key]);
    assert_eq!(app.row("lost", 1).await.attempt, 1);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_attempt_that_no_run_claims_is_forgotten(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    let stray = assay_controller::pool::AttemptKey {
        run: assay_api::RunId(uuid::Uuid::now_v7()),
        attempt: 1,
    };
    app.pool.end(stray, Exit::Code(0));
    app.settle().await;
    assert!(app.pool.attempts().is_empty());
}
