//! A file becomes runs: all of them or none, once.

use assay_api::sweep::limits::{TASK_BYTES_MAX, TASK_DATA_BYTES_MAX};
use assay_api::view::{FileError, Outcome, PlanView, RunKind, RunState};
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_file_becomes_its_runs_in_the_order_of_the_queue(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let answer = app.apply(&sweep("first")).await.unwrap();
    assert!(answer.plan.is_new);
    assert_eq!((answer.plan.added, answer.plan.kept), (6, 0));

    let view = app.sweep("first").await;
    let numbers: Vec<u32> = view.runs.iter().map(|run| run.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let prepares = view.runs.iter().filter(|run| run.kind == RunKind::Prepare).count();
    assert_eq!(prepares, 2);
    assert_eq!(view.runs.iter().filter(|run| run.is_baseline).count(), 1);
    assert!(view.runs.iter().all(|run| run.state == RunState::Queued && run.waiting.is_some()));
    assert_eq!(view.axes.len(), 2);
    assert_eq!(app.run("first", 3).await.needs.len(), 2);
}

/// A device has no end, and a file of zeros takes no room on a disk, only in memory.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_task_that_nobody_could_hold_in_memory_is_refused(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let tasks = "  eval: {tasks: {color: {path: color.yaml}}}\naxes:";
    let file = sweep("scored").replace("axes:", tasks);
    let refused = async |what: &str| {
        let (status, answer) = app.post("/sweeps/apply", &app.request(&file)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let errors: Vec<FileError> = serde_json::from_value(answer["errors"].clone()).unwrap();
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!(error.path, "eval.tasks.color.path");
        assert!(error.message.contains(what), "{}", error.message);
    };
    let task = app.corpus.path().join("color.yaml");
    let whole = std::fs::read_to_string(&task).unwrap();
    std::fs::write(&task, whole.replace("color.jsonl", "/dev/zero")).unwrap();
    refused("/dev/zero is no regular file").await;
    std::fs::write(&task, &whole).unwrap();
    let questions = std::fs::File::create(app.corpus.path().join("color.jsonl")).unwrap();
    questions.set_len(TASK_DATA_BYTES_MAX + 1).unwrap();
    refused("color.jsonl is over the limit of 268435456 bytes").await;
    std::fs::File::options().write(true).open(&task).unwrap().set_len(TASK_BYTES_MAX + 1).unwrap();
    refused("color.yaml is over the limit of 1048576 bytes").await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn applied_twice_it_does_nothing_the_second_time(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let first = app.apply(&sweep("twice")).await.unwrap();
    let second = app.apply(&sweep("twice")).await.unwrap();
    assert_eq!(first.sweep_id, second.sweep_id);
    assert_eq!((second.plan.added, second.plan.kept, second.plan.dropped), (0, 6, 0));
    assert_eq!(app.sweep("twice").await.runs.len(), 6);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn two_applies_at_once_store_every_point_once(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let (a, b) = (sweep("race"), sweep("race"));
    let (a, b) = tokio::join!(app.apply(&a), app.apply(&b));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    assert_eq!(app.sweep("race").await.runs.len(), 6);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_changed_file_extends_and_prunes_only_when_asked(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    app.apply(&sweep("grows")).await.unwrap();
    let changed = sweep("grows").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 1e-2]");

    let plan: PlanView =
        TestApp::read(app.post("/sweeps/plan", &app.request(&changed)).await).unwrap();
    assert_eq!((plan.added, plan.kept, plan.dropped), (2, 4, 2));
    assert_eq!(app.sweep("grows").await.runs.len(), 6, "a plan stores nothing");

    app.apply(&changed).await.unwrap();
    let view = app.sweep("grows").await;
    assert_eq!(view.runs.len(), 8);
    assert!(
        view.runs.iter().all(|run| run.state == RunState::Queued),
        "dropped ones are left alone"
    );

    let mut request = app.request(&changed);
    request.prune = true;
    let (status, _) = app.post("/sweeps/apply", &request).await;
    assert_eq!(status, StatusCode::OK);
    let cancelled = app.sweep("grows").await.runs.into_iter();
    let cancelled: Vec<_> =
        cancelled.filter(|run| run.outcome == Some(Outcome::Cancelled)).collect();
    assert_eq!(cancelled.len(), 2);
    assert!(cancelled.iter().all(|run| run.axes["train.lr.peak"].as_f64() == Some(3e-3)));

    // cancelled points stay cancelled, until a retry is asked for
    app.apply(&sweep("grows")).await.unwrap();
    assert_eq!(app.sweep("grows").await.summary.counts.cancelled, 2);
    let mut request = app.request(&sweep("grows"));
    request.retry = vec![Outcome::Cancelled];
    app.post("/sweeps/apply", &request).await;
    assert_eq!(app.sweep("grows").await.summary.counts.cancelled, 0);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_bad_file_stores_nothing_and_names_every_place(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let bad = sweep("bad").replace("tokens: 4k", "tokns: 4k").replace("[0.25, 0.5]", "[0.25, 1.5]");
    let (status, body) = app.post("/sweeps/apply", &app.request(&bad)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let errors: Vec<FileError> = serde_json::from_value(body["errors"].clone()).unwrap();
    let lines: Vec<u32> = errors.iter().map(|error| error.line).collect();
    assert!(lines.contains(&13), "{errors:?}");
    assert!(errors.iter().any(|error| error.message.contains("tokens")), "{errors:?}");
    let (status, _) = app.get("/sweeps/bad").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_source_that_is_not_there_or_too_small_is_refused(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let missing = sweep("missing").replace("general.jsonl", "generel.jsonl");
    let refusal = app.post("/sweeps/apply", &app.request(&missing)).await.1;
    let message = refusal["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("generel.jsonl"), "{message}");

    let small = sweep("small").replace("tokens: 4k", "tokens: 4M");
    let refusal = app.post("/sweeps/apply", &app.request(&small)).await.1;
    let message = refusal["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("limits.epochs"), "{message}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_engine_on_two_gpus_is_refused(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let engine = "context: 64\n    devices: 2\n    engine: cuda-bf16";
    let file = sweep("gpus").replace("context: 64", engine);
    let refusal = app.post("/sweeps/apply", &app.request(&file)).await.1;
    let said = refusal["errors"].to_string();
    assert!(said.contains("the engine `cuda-bf16` trains on one GPU"), "{said}");
    assert_eq!(app.get("/sweeps/gpus").await.0, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_run_wider_than_its_pool_is_refused(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let wide = sweep("wide").replace("context: 64", "context: 64\n    devices: 3");
    let refusal = app.post("/sweeps/apply", &app.request(&wide)).await.1;
    let message = refusal["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("3 slots"), "{message}");
}
