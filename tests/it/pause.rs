//! A pause that takes what runs along: it is asked to checkpoint, and queued again at no charge.

use assay_api::view::{Outcome, RunState, SweepState, SweepView};
use assay_api::worker::{Finish, Wish};
use assay_controller::pool::Stop;
use assay_scheduler::Exit;
use assay_tests::{Machine, TestApp, TestWorker, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

const NOTHING: &serde_json::Value = &serde_json::Value::Null;

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_runs_is_asked_to_checkpoint_and_queued_again_at_no_charge(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("now")).await.unwrap();
    app.settle().await;
    let worker = app.worker("now", 1).await;
    worker.start(&[]).await.unwrap();
    let (key, instance) = (worker.key, worker.instance);
    let unstarted = app.worker("now", 2).await.key;

    let (status, _) = app.post("/sweeps/now/pause?now=true", NOTHING).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    app.settle().await;
    let mut worker = TestWorker::new(&app, key);
    worker.instance = instance;
    assert_eq!(worker.send(None, Vec::new()).await.unwrap().wish, Wish::CheckpointAndStop);
    assert!(app.pool.stops().contains(&(key, Stop::Gracefully)), "{:?}", app.pool.stops());
    worker.finish(Finish::Preempted { step: 7, pace: None }).await.unwrap();
    for key in [key, unstarted] {
        app.pool.end(key, Exit::Code(75));
    }
    app.settle().await;

    let view = app.sweep("now").await;
    assert_eq!(view.summary.state, SweepState::Paused);
    assert!(view.runs.iter().all(|run| run.state == RunState::Queued));
    for number in [1, 2] {
        let run = app.run("now", number).await;
        assert_eq!(run.row.waiting.as_deref(), Some("its sweep is paused"));
        assert_eq!(run.attempts[0].cause.as_deref(), Some("preempted"));
        assert!(run.events.iter().any(|event| event.text.ends_with("its sweep is paused")));
    }
    let charged = "select count(*) from run where 0 < tries_error + tries_infrastructure";
    let charged: i64 = sqlx::query_scalar(charged).fetch_one(&app.app.store.db).await.unwrap();
    assert_eq!(charged, 0);

    app.post("/sweeps/now/resume", NOTHING).await;
    app.settle().await;
    assert_eq!(app.row("now", 1).await.attempt, 2);
    assert_eq!(app.row("now", 1).await.state, RunState::Leased);
}

/// A base, and a run from it, long enough to be paused in the middle.
const SWEEP: &str = "
assay: v1
sweep: small
first:
  base:
    model: {preset: llama-300k}
    tokenizer: bytes
    data: {sources: {general: {path: general.jsonl}}}
    train: {tokens: 20k, context: 64, batch: 256, lr: {peak: 3e-3, warmup: 2 steps}}
base:
  model: {run: base}
  tokenizer: bytes
  data:
    heldout: {share: 5%, tokens: 1k}
    sources: {general: {path: general.jsonl}}
  train: {tokens: 20k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
axes:
  lr: [1e-3, 3e-3]
";

const SERIES: [&str; 3] = ["train/loss", "train/grad_norm", "heldout/general/bits_per_byte"];

/// Goal: a sweep that was paused with all that ran gives the points of one that never was. Method:
/// real workers, paused while two of them train; every point of both sweeps, bit for bit.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_was_paused_in_the_middle_gives_the_same_points() {
    let machine = Machine::start();
    machine.apply(SWEEP).await;
    let is_in_the_middle = |view: &SweepView| {
        view.runs.iter().any(|run| {
            run.label.starts_with("lr") && run.state == RunState::Leased && 8 <= run.step
        })
    };
    machine.until("small", is_in_the_middle).await;
    machine.client.pause_now("small").await.unwrap();
    let is_at_rest = |view: &SweepView| {
        view.runs.iter().all(|run| matches!(run.state, RunState::Queued | RunState::Done))
    };
    let paused = machine.until("small", is_at_rest).await;
    // of those that were on their way, the one that was seen in the middle
    let queued = paused.runs.iter().filter(|run| run.state == RunState::Queued);
    let stopped = queued.max_by_key(|run| run.step).expect("one was stopped on its way").number;

    machine.apply(&SWEEP.replace("sweep: small", "sweep: calm")).await;
    let calm = machine.until_ended("calm").await;
    machine.client.resume("small").await.unwrap();
    let view = machine.until_ended("small").await;
    for (run, undisturbed) in view.runs.iter().zip(&calm.runs) {
        assert_eq!((run.outcome, &run.label), (Some(Outcome::Succeeded), &undisturbed.label));
        let points = machine.points(run, &SERIES).await;
        assert_eq!(points, machine.points(undisturbed, &SERIES).await, "{}", run.label);
    }
    let run = machine.client.run_of("small", stopped).await.unwrap();
    let resumed = run.attempts.last().and_then(|attempt| attempt.resumed_from);
    assert!(resumed.is_some_and(|step| 8 <= step), "{:?}", run.attempts);
}
