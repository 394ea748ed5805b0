//! What workers say: fenced, stored once, and resumed from the right place.

use assay_api::view::{RunState, SeriesAnswer, SeriesQuery};
use assay_api::worker::{Finish, FoundCheckpoint, Report};
use assay_scheduler::Exit;
use assay_tests::{TestApp, TestWorker, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

/// An app whose run `s/1` is leased, with room for all that can run.
async fn leased(db: PgPool) -> TestApp {
    let mut app = TestApp::new(db, 4).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    app
}

async fn points(app: &TestApp, name: &str) -> Vec<(u64, f64)> {
    let runs = vec![app.row("s", 1).await.run_id];
    let query = SeriesQuery { runs, names: vec![name.into()], from: None, to: None, buckets: 100 };
    let answer: SeriesAnswer = TestApp::read(app.post("/series/query", &query).await).unwrap();
    let series = answer.series.into_iter().next();
    series.map_or_else(Vec::new, |s| s.steps.into_iter().zip(s.values).collect())
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn without_its_secret_nothing_is_heard(db: PgPool) {
    let app = leased(db).await;
    let key = app.worker("s", 1).await.key;
    let other = app.app.key.secret(key.run, key.attempt + 1);
    for secret in ["", "00", &other] {
        let refused = TestWorker::new(&app, key).with_secret(secret).start(&[]).await;
        assert_eq!(refused.unwrap_err().0, StatusCode::UNAUTHORIZED);
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn one_attempt_never_runs_twice(db: PgPool) {
    let app = leased(db).await;
    let first = app.worker("s", 1).await;
    let second = TestWorker::new(&app, first.key);
    first.start(&[]).await.unwrap();
    first.start(&[]).await.expect("its answer may have been lost");
    for refused in [
        second.start(&[]).await.map(drop),
        second.send(None, Vec::new()).await.map(drop),
        second.finish(Finish::Preempted { step: 0, pace: None }).await,
    ] {
        assert_eq!(refused.unwrap_err().0, StatusCode::CONFLICT);
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_report_sent_twice_is_stored_once_and_a_gap_is_not_skipped(db: PgPool) {
    let app = leased(db).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let one = worker.points("train/loss", &[(1, 5.0), (2, 4.5)]);
    let two = worker.points("train/loss", &[(3, 4.0)]);
    let three = worker.points("train/loss", &[(4, f64::NAN)]);
    assert_eq!(worker.send(None, vec![one.clone()]).await.unwrap().seq_stored, 1);
    assert_eq!(worker.send(None, vec![one.clone(), two.clone()]).await.unwrap().seq_stored, 2);
    let gap = Report { seq: 9, ..three.clone() };
    assert_eq!(worker.send(None, vec![gap]).await.unwrap().seq_stored, 2);
    assert_eq!(worker.send(None, vec![two, three]).await.unwrap().seq_stored, 3);
    let stored = points(&app, "train/loss").await;
    assert_eq!(stored[..3], [(1, 5.0), (2, 4.5), (3, 4.0)]);
    assert!(stored[3].1.is_nan());
    let row = app.row("s", 1).await;
    assert_eq!((row.step, row.steps, row.phase.as_deref()), (4, 16, Some("training")));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_report_with_columns_that_differ_is_refused_whole(db: PgPool) {
    let app = leased(db).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let mut report = worker.points("train/loss", &[(1, 5.0), (2, 4.5)]);
    report.metrics[0].times.pop();
    let refused = worker.send(None, vec![report]).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(points(&app, "train/loss").await.is_empty());
}

/// Goal: after a resume the curve is the one of a run never stopped. Method: attempt 1 reports to
/// step 6 and dies; its checkpoint at 4 carried a report that was never sent; attempt 2 goes on.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_resumed_attempt_overtakes_what_lies_beyond_its_checkpoint(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let mut first = app.worker("s", 1).await;
    first.start(&[]).await.unwrap();
    let one = first.points("train/loss", &[(1, 1.0), (2, 2.0)]);
    let two = first.points("train/loss", &[(3, 3.0), (4, 4.0), (5, 5.0), (6, 6.0)]);
    first.send(None, vec![one]).await.unwrap();
    let key = first.key;
    let cursor = app.sweep("s").await.cursor;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;

    let mut second = app.worker("s", 1).await;
    assert_eq!(second.key.attempt, 2);
    let answer = second.start(&[(1, 2), (1, 4), (2, 9)]).await.unwrap();
    assert_eq!(answer.resume, Some(FoundCheckpoint { attempt: 1, step: 4 }));
    assert_eq!(second.send(Some(1), vec![two]).await.unwrap().seq_stored, 2);
    let next = second.points("train/loss", &[(5, 50.0), (6, 60.0)]);
    second.send(None, vec![next]).await.unwrap();
    assert_eq!(
        points(&app, "train/loss").await,
        [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 50.0), (6, 60.0)]
    );
    assert_eq!(app.row("s", 1).await.latest["train/loss"], 60.0);
    assert!(app.run("s", 1).await.checkpoints.iter().any(|c| c.step == 4 && c.is_accepted));
    drop(cursor);

    // the attempt that was overtaken is no longer heard
    let late = TestWorker::new(&app, key).send(None, Vec::new()).await;
    assert_eq!(late.unwrap_err().0, StatusCode::CONFLICT);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_attempt_from_scratch_hides_everything_before_it(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let mut first = app.worker("s", 1).await;
    first.start(&[]).await.unwrap();
    let one = first.points("train/loss", &[(0, 1.0), (1, 2.0)]);
    first.send(None, vec![one]).await.unwrap();
    let key = first.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;
    let second = app.worker("s", 1).await;
    assert_eq!(second.start(&[]).await.unwrap().resume, None);
    assert!(points(&app, "train/loss").await.is_empty());
    assert!(!app.row("s", 1).await.latest.contains_key("train/loss"));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn success_is_what_the_worker_recorded_not_an_exit_code(db: PgPool) {
    let mut app = leased(db).await;
    let worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
    let run = app.run("s", 1).await;
    assert_eq!(run.row.state, RunState::Queued);
    assert_eq!(run.attempts[0].cause.as_deref(), Some("error"));
    assert!(run.attempts[0].reason.as_deref().unwrap().contains("without recording a result"));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_train_run_is_told_where_its_data_lies_and_what_it_must_be(db: PgPool) {
    let mut app = leased(db).await;
    app.succeed("s", 1).await;
    app.succeed("s", 2).await;
    let answer = app.worker("s", 3).await.start(&[]).await.unwrap();
    let names: Vec<&String> = answer.datasets.keys().collect();
    assert_eq!(names, ["commerce", "general"]);
    for (name, input) in &answer.datasets {
        let prepare = if app.row("s", 1).await.label.contains(name.as_str()) { 1 } else { 2 };
        assert_eq!(input.fingerprint, app.run("s", prepare).await.point);
        assert_eq!(input.path, format!("result/{}", app.row("s", prepare).await.run_id));
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_keeps_to_the_data_that_it_first_read(db: PgPool) {
    let mut app = leased(db.clone()).await;
    sqlx::query(
        "insert into sweep_pin select sweep_id, point, 'other data' from run where number = 1",
    )
    .execute(&db)
    .await
    .unwrap();
    app.succeed("s", 1).await;
    let reason = app.row("s", 1).await.reason.unwrap();
    assert!(reason.contains("the source has changed"), "{reason}");
}
