//! What a sweep may use, how often its runs may fail alike, and who goes first.

use assay_api::view::{RunState, SweepState};
use assay_api::worker::{Finish, Wish};
use assay_scheduler::Exit;
use assay_tests::{TestApp, TestWorker, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

const NOTHING: &serde_json::Value = &serde_json::Value::Null;
const USED: &str = "its sweep has used its 2 GPU hours; raise limits.gpu_hours and apply again";

fn limited(name: &str, limits: &str) -> String {
    format!("{}limits: {{{limits}}}\n", sweep(name))
}

/// As if the workers that are at work had been so for so long.
async fn pass(db: &PgPool, hours: i32) {
    sqlx::query("update attempt set started_at = started_at - make_interval(hours => $1) where ended_at is null")
        .bind(hours)
        .execute(db)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_that_has_used_its_hours_stops_cleanly_and_goes_on_when_they_are_raised(
    db: PgPool,
) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&limited("dear", "gpu_hours: 2")).await.unwrap();
    app.settle().await;
    let (one, two) = (app.worker("dear", 1).await.key, app.worker("dear", 2).await.key);
    let first = app.worker("dear", 1).await;
    first.start(&[]).await.unwrap();
    let instance = first.instance;
    pass(&db, 1).await;
    app.settle().await;
    assert_eq!(app.row("dear", 1).await.state, RunState::Leased, "an hour is left");

    pass(&db, 1).await;
    app.settle().await;
    let (run, other) = (app.run("dear", 1).await, app.run("dear", 2).await);
    assert_eq!(run.row.state, RunState::Stopping);
    assert_eq!(other.row.state, RunState::Stopping, "also what had not begun");
    let reason = run.row.reason.unwrap();
    assert_eq!(reason, "asked to checkpoint: its sweep has used its GPU hours");
    let mut first = TestWorker::new(&app, one);
    first.instance = instance;
    let report = first.points("train/loss", &[(1, 2.0)]);
    assert_eq!(first.send(None, vec![report]).await.unwrap().wish, Wish::CheckpointAndStop);
    first.finish(Finish::Preempted { step: 1, pace: None }).await.unwrap();
    app.pool.end(one, Exit::Code(75));
    app.pool.end(two, Exit::Code(75));
    app.settle().await;

    let view = app.sweep("dear").await;
    let waiting: Vec<_> = view.runs.iter().map(|run| (run.state, run.waiting.as_deref())).collect();
    assert_eq!(waiting, vec![(RunState::Queued, Some(USED)); 6], "and nothing new was placed");
    assert_eq!(app.pool.started(), [one, two]);
    let hours = view.summary.gpu_hours;
    assert_eq!(hours.limit, Some(2.0));
    assert!((2.0..2.1).contains(&hours.used), "what never began used nothing: {hours:?}");
    let charged: i64 =
        sqlx::query_scalar("select sum(tries_error + tries_infrastructure)::bigint from run")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(charged, 0);

    app.apply(&limited("dear", "gpu_hours: 3")).await.unwrap();
    app.settle().await;
    let row = app.row("dear", 1).await;
    assert_eq!((row.state, row.attempt), (RunState::Leased, 2));
    app.apply(&sweep("dear")).await.unwrap();
    assert_eq!(app.sweep("dear").await.summary.gpu_hours.limit, None);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn the_hours_of_attempts_that_are_gone_are_added_once(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 1).await;
    app.apply(&limited("sum", "gpu_hours: 100")).await.unwrap();
    app.settle().await;
    for number in 1..=2 {
        let worker = app.worker("sum", number).await;
        worker.succeed().await;
        let key = worker.key;
        pass(&db, 3).await;
        app.pool.end(key, Exit::Code(0));
        app.settle().await;
    }
    let used = app.sweep("sum").await.summary.gpu_hours.used;
    assert!((6.0..6.1).contains(&used), "{used}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn runs_that_fail_alike_pause_their_sweep_until_somebody_lets_it_go_on(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&limited("alike", "same_error: 2")).await.unwrap();
    app.settle().await;
    let fails =
        |message: &str, step| Finish::Error { step, message: message.to_owned(), is_final: false };
    fail(&mut app, "alike", 1, fails("no such file: /data/general.jsonl", 0)).await;
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;
    fail(&mut app, "alike", 1, fails("no such file: /data/general.jsonl", 1)).await;
    assert_eq!(
        app.sweep("alike").await.summary.state,
        SweepState::Running,
        "one run, however often"
    );
    fail(&mut app, "alike", 2, fails("no such file: /data/general.jsonl", 0)).await;

    let summary = app.sweep("alike").await.summary;
    assert_eq!(summary.state, SweepState::Paused);
    let why = "2 of its runs failed with the same error: no such file: /data/general.jsonl";
    assert_eq!(summary.paused_because.as_deref(), Some(why));
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;
    let waiting = app.row("alike", 2).await.waiting;
    assert_eq!(waiting.as_deref(), Some("its sweep is paused"));

    app.post("/sweeps/alike/resume", NOTHING).await;
    app.settle().await;
    let summary = app.sweep("alike").await.summary;
    assert_eq!((summary.state, summary.paused_because), (SweepState::Running, None));
    fail(&mut app, "alike", 2, fails("no such file: /data/general.jsonl", 9)).await;
    let state = app.sweep("alike").await.summary.state;
    assert_eq!(state, SweepState::Running, "counted anew");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn ends_without_a_record_count_as_errors_by_how_they_ended(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&limited("killed", "same_error: 2")).await.unwrap();
    app.settle().await;
    for (number, exit) in [(1, Exit::OutOfMemory), (2, Exit::OutOfMemory)] {
        let worker = app.worker("killed", number).await;
        worker.start(&[]).await.unwrap();
        let key = worker.key;
        app.pool.end(key, exit);
        app.settle().await;
    }
    let because = app.sweep("killed").await.summary.paused_because.unwrap();
    assert!(because.contains("2 of its runs failed with the same error: was killed"), "{because}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_person_s_pause_has_no_reason_and_no_limit_pauses_nothing(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("free")).await.unwrap();
    app.settle().await;
    let lost = || Finish::Error { step: 0, message: "lost".to_owned(), is_final: false };
    fail(&mut app, "free", 1, lost()).await;
    fail(&mut app, "free", 2, lost()).await;
    assert_eq!(app.sweep("free").await.summary.state, SweepState::Queued, "both are tried again");
    app.post("/sweeps/free/pause", NOTHING).await;
    let summary = app.sweep("free").await.summary;
    assert_eq!((summary.state, summary.paused_because), (SweepState::Paused, None));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_higher_priority_goes_first_and_changes_with_the_file(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("calm")).await.unwrap();
    app.apply(&sweep("urgent")).await.unwrap();
    let with = |priority: i32| format!("{}resources: {{priority: {priority}}}\n", sweep("urgent"));
    app.apply(&with(5)).await.unwrap();
    app.settle().await;
    assert_eq!(app.row("urgent", 1).await.state, RunState::Leased);
    assert_eq!(app.sweep("urgent").await.summary.priority, 5);

    app.apply(&with(-5)).await.unwrap();
    app.succeed("urgent", 1).await;
    assert_eq!(app.row("calm", 1).await.state, RunState::Leased);
    assert_eq!(app.sweep("urgent").await.summary.priority, -5);
    app.apply(&sweep("urgent")).await.unwrap();
    assert_eq!(app.sweep("urgent").await.summary.priority, 0, "the default again");

    let run = app.row("urgent", 2).await.run_id;
    for path in ["/sweeps/urgent/priority".to_owned(), format!("/runs/{run}/priority")] {
        let asked = app.post(&path, &serde_json::json!({"priority": 500})).await;
        let (status, error) = TestApp::read::<()>(asked).unwrap_err();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(error, "`priority` is 500; it must be -100 to 100");
    }
}

/// The worker of a leased run records an error and leaves.
async fn fail(app: &mut TestApp, sweep: &str, number: u32, finish: Finish) {
    let worker = app.worker(sweep, number).await;
    worker.start(&[]).await.unwrap();
    worker.finish(finish).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;
}
