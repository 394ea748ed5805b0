//! The first run of each shape goes ahead, and the others begin once it has shown that they can.

use assay_api::view::{CanaryState, CanaryView, Outcome, RunKind, RunState};
use assay_api::worker::{Finish, Pace};
use assay_scheduler::Exit;
use assay_tests::{TestApp, TestWorker, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

const SHAPE: &str = "llama-300k/64 (micro-batch 4, cpu-f32, 1 device)";
const PACE: Pace = Pace {
    tokens_per_second: 512.0,
    heldout_seconds: 2.0,
    task_seconds: 0.0,
    checkpoint_seconds: 0.5,
};

fn careful(name: &str) -> String {
    format!("{}canary: true\n", sweep(name))
}

/// A controller with four slots, whose data is prepared: four runs could be placed, and the baseline, run 4,
/// comes first.
async fn prepared(db: PgPool, file: &str) -> TestApp {
    let mut app = TestApp::new(db, 4).await;
    app.apply(file).await.unwrap();
    app.settle().await;
    app.succeed("s", 1).await;
    app.succeed("s", 2).await;
    app
}

/// Numbers of the runs that are leased.
async fn leased(app: &TestApp) -> Vec<u32> {
    let runs = app.sweep("s").await.runs.into_iter();
    runs.filter(|run| run.state == RunState::Leased).map(|run| run.number).collect()
}

async fn waiting(app: &TestApp, number: u32) -> String {
    app.row("s", number).await.waiting.unwrap_or_default()
}

async fn canaries(app: &TestApp) -> Vec<CanaryView> {
    app.sweep("s").await.summary.canaries
}

/// A canary's first attempt: its steps, its scores, its checkpoint.
async fn rehearse(app: &mut TestApp, number: u32) {
    let worker = app.worker("s", number).await;
    assert!(worker.start(&[]).await.unwrap().is_canary);
    worker.finish(Finish::Preempted { step: 3, pace: Some(PACE) }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(75));
    app.settle().await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn the_others_of_its_shape_begin_once_a_canary_has_gone_on_from_what_it_saved(db: PgPool) {
    let mut app = prepared(db, &careful("s")).await;
    assert_eq!(leased(&app).await, [4], "there is room for all four");
    let label = app.row("s", 4).await.label;
    assert_eq!(waiting(&app, 3).await, format!("waits for the canary of {SHAPE}: s/4 ({label})"));

    rehearse(&mut app, 4).await;
    assert_eq!(leased(&app).await, [4], "that it saved is half of it");
    assert_eq!(app.row("s", 4).await.attempt, 2);
    let told = app.run("s", 4).await.attempts[0].reason.clone().unwrap();
    assert!(
        told.starts_with("as the canary of its shape trained 3 steps at 512 tokens/s"),
        "{told}"
    );
    let state = CanaryState::Running;
    let canary = |state, tokens_per_second| {
        [CanaryView { shape: SHAPE.to_owned(), run: 4, state, tokens_per_second }]
    };
    assert_eq!(canaries(&app).await, canary(state, Some(512.0)));

    let key = app.worker("s", 4).await.key;
    let mut worker = TestWorker::new(&app, key);
    assert!(!worker.start(&[(1, 3)]).await.unwrap().is_canary, "once is enough");
    let reports =
        [worker.points("train/loss", &[(3, 2.0)]), worker.points("train/loss", &[(4, 2.0)])];
    let [same, further] = reports;
    worker.send(None, vec![same]).await.unwrap();
    assert_eq!(canaries(&app).await[0].state, CanaryState::Running);
    worker.send(None, vec![further]).await.unwrap();
    assert_eq!(canaries(&app).await, canary(CanaryState::Passed, Some(512.0)));
    app.settle().await;
    assert_eq!(leased(&app).await, [3, 4, 5, 6]);
    assert!(!app.worker("s", 3).await.start(&[]).await.unwrap().is_canary);

    // what is like them needs no canary any more, and what it takes is known
    let more = careful("s").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 3e-3, 1e-2]");
    let plan = app.apply(&more).await.unwrap().plan;
    let seconds = plan.hours.unwrap() * 3600.0;
    assert_eq!(plan.added, 2);
    // held-out parts are scored at each of the 16 steps, and before them
    let each = 16.0 * 256.0 / 512.0 + 17.0 * 2.0 + 22.0 * 0.5;
    assert!((seconds - each).abs() < 1e-6, "two runs side by side in four slots: {seconds}");
    app.settle().await;
    assert_eq!(waiting(&app, 7).await, "pool local has 0 of 4 slots free, and it takes 1");
    assert_eq!(canaries(&app).await, canary(CanaryState::Passed, Some(512.0)));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn nothing_of_a_shape_begins_while_its_canary_has_failed(db: PgPool) {
    let mut app = prepared(db, &careful("s")).await;
    let worker = app.worker("s", 4).await;
    worker.start(&[]).await.unwrap();
    let message = "it does not fit: 80 GB of 40".to_owned();
    worker.finish(Finish::Error { step: 0, message, is_final: true }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;
    assert_eq!(app.row("s", 4).await.outcome, Some(Outcome::Failed));
    assert!(leased(&app).await.is_empty());
    let why = waiting(&app, 6).await;
    assert!(why.starts_with(&format!("the canary of {SHAPE} has failed: s/4 (")), "{why}");
    assert_eq!(canaries(&app).await[0].state, CanaryState::Failed);

    let id = app.row("s", 4).await.run_id;
    let (status, _) = app.post(&format!("/runs/{id}/retry"), &serde_json::Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(leased(&app).await, [4]);
    let worker = app.worker("s", 4).await;
    assert!(worker.start(&[]).await.unwrap().is_canary);

    // another takes its place where a person takes it away
    app.post(&format!("/runs/{id}/cancel"), &serde_json::Value::Null).await;
    app.pool.end(app.pool.attempts()[0], Exit::Signal(15));
    app.settle().await;
    assert_eq!(leased(&app).await, [3]);
    assert!(waiting(&app, 5).await.contains(": s/3 ("));

    app.apply(&format!("{}canary: false\n", sweep("s"))).await.unwrap();
    app.settle().await;
    assert_eq!(leased(&app).await, [3, 5, 6]);
    assert!(canaries(&app).await.is_empty());
}

/// 250 runs of the one shape come before the first of the other, which is more than the loop looks at.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_shape_whose_canary_has_failed_hides_no_other(db: PgPool) {
    let many: Vec<String> = (1..=250).map(|n| format!("{n}e-5")).collect();
    let file =
        careful("s").replace("lr: [1e-3, 3e-3]", &format!("lr: [{}]", many.join(", "))).replace(
            "  mix.commerce: [0.25, 0.5]\n",
            "  model: [{preset: llama-300k}, {preset: llama-1m}]\n",
        );
    let mut app = prepared(db.clone(), &file).await;
    let behind = "update run set priority = -1 where shape like 'llama-1m/%'";
    sqlx::query(behind).execute(&db).await.unwrap();
    let shapes: Vec<String> = canaries(&app).await.into_iter().map(|one| one.shape).collect();
    assert_eq!(shapes.len(), 2, "{shapes:?}");
    let both = leased(&app).await;
    assert_eq!(both.len(), 2, "each shape has its own");
    for number in both {
        let id = app.row("s", number).await.run_id;
        app.post(&format!("/runs/{id}/cancel"), &serde_json::Value::Null).await;
        let key = app.pool.attempts().into_iter().find(|key| key.run == id).unwrap();
        app.pool.end(key, Exit::Signal(15));
    }
    app.settle().await;
    let [small, large] = leased(&app).await.try_into().unwrap();
    assert!(app.row("s", large).await.priority == -1 && app.row("s", small).await.priority == 0);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_canary_that_dies_once_it_has_saved_proves_the_same(db: PgPool) {
    let mut app = prepared(db, &careful("s")).await;
    let worker = app.worker("s", 4).await;
    worker.start(&[]).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&app.app.store.db).await.unwrap();
    app.settle().await;
    let key = app.worker("s", 4).await.key;
    let mut worker = TestWorker::new(&app, key);
    assert!(!worker.start(&[(1, 3)]).await.unwrap().is_canary, "it had saved before it died");
    let report = worker.points("train/loss", &[(4, 2.0)]);
    worker.send(None, vec![report]).await.unwrap();
    app.settle().await;
    assert_eq!(leased(&app).await, [3, 4, 5, 6]);
    assert_eq!(canaries(&app).await[0].tokens_per_second, None, "what it measured died with it");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_run_of_two_steps_is_its_own_proof(db: PgPool) {
    let mut app = prepared(db, &careful("s").replace("tokens: 4k", "tokens: 512")).await;
    assert_eq!(leased(&app).await, [4]);
    assert!(!app.worker("s", 4).await.start(&[]).await.unwrap().is_canary);
    app.pool.lose(app.worker("s", 4).await.key);
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&app.app.store.db).await.unwrap();
    app.settle().await;
    assert_eq!(leased(&app).await, [4]);
    app.succeed("s", 4).await;
    assert_eq!(leased(&app).await, [3, 5, 6]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_that_does_not_ask_for_one_has_none_on_this_machine(db: PgPool) {
    let app = prepared(db, &sweep("s")).await;
    assert_eq!(leased(&app).await, [3, 4, 5, 6]);
    assert!(canaries(&app).await.is_empty());
}

/// Cancels the sweep and, once all of it has ended, retries the runs that train, the last one first.
async fn cancel_and_retry(app: &mut TestApp) {
    app.post("/sweeps/s/cancel", &serde_json::Value::Null).await;
    for key in app.pool.attempts() {
        app.pool.end(key, Exit::Signal(15));
    }
    app.settle().await;
    let runs = app.sweep("s").await.runs;
    for run in runs.iter().rev().filter(|run| run.kind == RunKind::Train) {
        assert_eq!(run.outcome, Some(Outcome::Cancelled));
        let path = format!("/runs/{}/retry", run.run_id);
        assert_eq!(app.post(&path, &serde_json::Value::Null).await.0, StatusCode::ACCEPTED);
    }
}

/// Numbers of the queued runs that the head of the queue has before those that wait for another one.
async fn unblocked(db: &PgPool) -> Vec<i32> {
    let ask = "select number from run where state = 'queued' and not is_blocked order by number";
    sqlx::query_scalar(ask).fetch_all(db).await.unwrap()
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn of_runs_that_are_brought_back_one_goes_ahead_and_the_others_hide_nobody(db: PgPool) {
    let mut app = prepared(db.clone(), &careful("s")).await;
    let id = app.row("s", 4).await.run_id;
    app.post(&format!("/runs/{id}/cancel"), &serde_json::Value::Null).await;
    app.pool.end(app.pool.attempts()[0], Exit::Signal(15));
    app.settle().await;
    assert_eq!(leased(&app).await, [3], "two of them have been the one that goes ahead");
    cancel_and_retry(&mut app).await;
    assert_eq!(unblocked(&db).await, [4]);
    app.settle().await;
    assert_eq!(leased(&app).await, [4]);
}

/// A run that all others begin as.
const FIRST: &str = "first:
  start:
    model: {preset: llama-300k}
    tokenizer: bytes
    data: {sources: {general: {path: general.jsonl}}}
    train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 3e-3, warmup: 2 steps}}
base:
  model: {run: start}";

/// The run that the others begin as is of their shape, so that they wait for it twice.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn no_run_waits_for_a_canary_that_waits_for_it(db: PgPool) {
    let file = careful("s").replacen("base:\n  model: {preset: llama-300k}", FIRST, 1);
    let mut app = TestApp::new(db.clone(), 8).await;
    app.apply(&file).await.unwrap();
    app.settle().await;
    for run in app.sweep("s").await.runs {
        if run.kind == RunKind::Prepare {
            app.succeed("s", run.number).await;
        }
    }
    let runs = app.sweep("s").await.runs;
    let start = runs.iter().find(|run| run.label == "start").unwrap().number;
    assert_eq!(leased(&app).await, [start]);

    // whoever comes first in the queue by its priority is not the one that goes ahead
    sqlx::query("update run set priority = 1 where label <> 'start'").execute(&db).await.unwrap();
    cancel_and_retry(&mut app).await;
    assert_eq!(canaries(&app).await[0].run, start);
    assert_eq!(unblocked(&db).await, [start.cast_signed()]);
    app.settle().await;
    assert_eq!(leased(&app).await, [start]);
    app.succeed("s", start).await;
    assert_eq!(leased(&app).await.len(), 4, "its success is the proof, and what they begin as");
}

/// More sources, so that the file's place for the run that others begin as is behind points from before.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_changed_file_keeps_what_others_need_before_them(db: PgPool) {
    let file = careful("s").replacen("base:\n  model: {preset: llama-300k}", FIRST, 1);
    let app = TestApp::new(db.clone(), 8).await;
    app.apply(&file).await.unwrap();
    let more = file
        .replace("      commerce: {path", "      more: {path: general.jsonl}\n      third: {path: general.jsonl}\n      commerce: {path")
        .replace("{general: 0.5, commerce: 0.5}", "{general: 0.3, more: 0.1, third: 0.1, commerce: 0.5}");
    app.apply(&more).await.unwrap();
    let behind = "select count(*) from run r join run_need n using (run_id) join run needed on needed.run_id = n.needs_run_id
        where r.queue_order <= needed.queue_order";
    let behind: i64 = sqlx::query_scalar(behind).fetch_one(&db).await.unwrap();
    let points = app.sweep("s").await.runs.iter().filter(|run| run.kind == RunKind::Train).count();
    assert_eq!((behind, points), (0, 9), "four points of each file, and what they begin as");
}
