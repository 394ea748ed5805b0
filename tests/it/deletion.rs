//! A sweep is deleted with its data, and with nothing that others need.

use std::path::Path;

use assay_api::spec::RunSpec;
use assay_api::view::{DeletionView, Outcome, RunState, SweepState};
use assay_controller::pool::Left;
use assay_scheduler::Exit;
use assay_tests::{Machine, TestApp, sweep};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use sqlx::PgPool;

async fn delete(app: &TestApp, path: &str) -> Result<DeletionView, (StatusCode, String)> {
    let request = Request::builder().method(Method::DELETE).uri(format!("/api/v1/sweeps/{path}"));
    TestApp::read(app.send(request.body(Body::empty()).unwrap()).await)
}

async fn rows(app: &TestApp, table: &str) -> i64 {
    let count = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&app.app.store.db).await.unwrap()
}

/// Lets every run of a sweep succeed, in the order in which they are placed.
async fn finish(app: &mut TestApp, name: &str) {
    loop {
        let runs = app.sweep(name).await.runs;
        match runs.iter().find(|run| run.state == RunState::Leased) {
            Some(run) => app.succeed(name, run.number).await,
            None => break assert!(runs.iter().all(|run| run.state == RunState::Done), "{runs:?}"),
        }
    }
}

async fn point(app: &TestApp, sweep: &str, number: u32) -> String {
    let run = app.run(sweep, number).await;
    assert!(matches!(run.spec, RunSpec::Prepare(_)));
    run.point
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_has_not_ended_is_deleted_only_if_it_may_be_cancelled_and_once_it_is_gone(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("open")).await.unwrap();
    app.settle().await;
    let worker = app.worker("open", 1).await;
    worker.start(&[]).await.unwrap();
    let key = worker.key;

    let refused = delete(&app, "open").await.unwrap_err();
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert!(refused.1.starts_with("6 of its 6 runs have not ended"), "{}", refused.1);
    assert_eq!(app.row("open", 1).await.state, RunState::Leased, "nothing was changed");

    let asked = delete(&app, "open?cancel=true").await.unwrap();
    assert!(!asked.is_deleted, "one of it is active");
    app.settle().await;
    assert_eq!(app.sweep("open").await.summary.state, SweepState::Deleting);
    let again = app.apply(&sweep("open")).await.unwrap_err();
    assert!(again.0 == StatusCode::CONFLICT && again.1.contains("being deleted"), "{again:?}");

    // tried again meanwhile, it is cancelled again
    let second = app.row("open", 2).await.run_id;
    app.post(&format!("/runs/{second}/retry"), &()).await;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    app.settle().await;
    assert_eq!(app.get("/sweeps/open").await.0, StatusCode::NOT_FOUND);
    for table in ["run", "attempt", "run_event", "run_need", "deletion"] {
        assert_eq!(rows(&app, table).await, 0, "{table}");
    }
    assert!(app.pool.cleared().contains(&Left::Run(key.run)));
    assert_eq!(app.apply(&sweep("open")).await.unwrap().plan.added, 6, "its name is free");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_dataset_goes_with_the_last_sweep_that_uses_it(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    for name in ["one", "two"] {
        app.apply(&sweep(name)).await.unwrap();
    }
    app.settle().await;
    app.post("/sweeps/two/pause", &()).await;
    finish(&mut app, "one").await;
    let points = [point(&app, "one", 1).await, point(&app, "one", 2).await];
    let runs = app.sweep("one").await.runs;
    let what: DeletionView = TestApp::read(app.get("/sweeps/one/deletion").await).unwrap();
    assert_eq!((what.runs, what.open, what.datasets), (6, 0, 0), "the other sweep uses the data");
    assert_eq!(what.folders.len(), 6);
    assert_eq!(app.sweep("one").await.runs.len(), 6, "asking deletes nothing");

    assert!(delete(&app, "one").await.unwrap().is_deleted, "the rows go at once");
    assert_eq!(app.get("/sweeps/one").await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.pool.cleared(), [], "the files are the loop's");
    app.settle().await;
    let cleared = app.pool.cleared();
    assert!(runs.iter().all(|run| cleared.contains(&Left::Run(run.run_id))), "{cleared:?}");
    assert_eq!(cleared.len(), 6, "and no dataset: {cleared:?}");

    app.post("/sweeps/two/resume", &()).await;
    app.settle().await;
    finish(&mut app, "two").await;
    assert_eq!(delete(&app, "two").await.unwrap().datasets, 2);
    app.settle().await;
    let cleared = app.pool.cleared();
    assert!(points.iter().all(|point| cleared.contains(&Left::Dataset(point.clone()))));
    assert_eq!((cleared.len(), rows(&app, "deletion").await), (14, 0));
}

/// The intent is a row: neither a crash nor a disk that is away loses it. A sweep that is applied
/// meanwhile keeps the dataset.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn files_that_could_not_be_deleted_are_deleted_later_unless_needed_again(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("late")).await.unwrap();
    app.settle().await;
    finish(&mut app, "late").await;
    app.pool.set_unreachable(true);
    delete(&app, "late").await.unwrap();
    app.settle().await;
    assert_eq!(rows(&app, "deletion").await, 8);
    let trouble = "deletion where trouble = 'the disk is away' and now() < not_before";
    assert_eq!(rows(&app, trouble).await, 8);

    app.apply(&sweep("again")).await.unwrap();
    app.pool.set_unreachable(false);
    let now = "update deletion set not_before = now()";
    sqlx::query(now).execute(&app.app.store.db).await.unwrap();
    app.settle().await;
    assert_eq!(rows(&app, "deletion").await, 0);
    let cleared = app.pool.cleared();
    assert_eq!(cleared.len(), 6, "{cleared:?}");
    assert!(cleared.iter().all(|left| matches!(left, Left::Run(_))), "{cleared:?}");
}

const SWEEP: &str = "
assay: v1
sweep: short
base:
  model: {preset: llama-300k}
  tokenizer: bytes
  data: {heldout: {share: 5%, tokens: 1k}, sources: {general: {path: general.jsonl}}}
  train: {tokens: 2k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
";

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_deleted_sweep_are_gone_from_the_disk() {
    let mut machine = Machine::start();
    machine.apply(SWEEP).await;
    let view = machine.until_ended("short").await;
    let outcomes: Vec<_> = view.runs.iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Succeeded); 2], "{view:?}");
    let data = machine.corpus.path().join("data");
    let folders = ["storage/runs", "storage/datasets", "ended"].map(|name| data.join(name));
    let full: Vec<usize> = folders.iter().map(|folder| entries(folder)).collect();
    assert_eq!(full[..2], [1, 1]);

    let gone = machine.client.delete_sweep("short", false).await.unwrap();
    assert!(gone.is_deleted && 0 < gone.checkpoint_bytes && 0 < gone.points, "{gone:?}");
    assert_eq!((gone.runs, gone.checkpoints, gone.datasets), (2, 1, 1));
    // whether the loop got to it before or not, the next controller finishes
    machine.kill_controller();
    while folders.iter().chain([&data.join("storage/trash")]).any(|folder| 0 < entries(folder)) {
        machine.client.pools().await.unwrap();
    }
    assert_eq!(machine.open_attempts(), 0);
    assert!(machine.client.sweeps().await.unwrap().is_empty());
}
