//! The stream: what changes arrives once, in order, from the cursor on.

use assay_api::view::StreamEvent;
use assay_tests::{Events, TestApp, sweep};
use sqlx::PgPool;

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn rows_and_points_arrive_once_from_the_cursor_on(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    let cursor = app.sweep("s").await.cursor;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let report = worker.points("train/loss", &[(1, 5.0), (2, 4.0)]);
    worker.send(None, vec![report]).await.unwrap();

    let mut events = Events::open(&app, &cursor).await;
    let (id, step, series) = events.until_points().await;
    assert_eq!(step, 2, "the row comes no later than its points");
    assert_eq!((series.steps, series.values), (vec![1, 2], vec![5.0, 4.0]));

    // a client that lost its connection here goes on here
    let report = worker.points("train/loss", &[(3, 3.0)]);
    worker.send(None, vec![report]).await.unwrap();
    let mut events = Events::open(&app, &id).await;
    let (_, step, series) = events.until_points().await;
    assert_eq!((step, series.steps), (3, vec![3]));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
#[expect(clippy::disallowed_methods, reason = "nobody cancels a test")]
async fn a_transaction_that_commits_late_is_not_skipped(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 1).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    // a transaction that changed run 1 is still open while run 2 changes and is read
    let mut late = db.begin().await.unwrap();
    sqlx::query("update run set step = 77, changed = change_id() where number = 1")
        .execute(&mut *late)
        .await
        .unwrap();
    let cursor = app.sweep("s").await.cursor;
    sqlx::query("update run set step = 88, changed = change_id() where number = 2")
        .execute(&db)
        .await
        .unwrap();
    late.commit().await.unwrap();
    let mut events = Events::open(&app, &cursor).await;
    // other databases of the server may hold the horizon down for a moment: in one event or in two
    let mut steps = Vec::new();
    while steps.len() < 2 {
        let (_, event) = events.next().await;
        let StreamEvent::Runs { runs, .. } = event else { panic!("{event:?}") };
        steps.extend(runs.iter().filter(|run| run.number < 3).map(|run| run.step));
    }
    assert_eq!(steps, [77, 88]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_resume_tells_open_streams_to_begin_anew(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let report = worker.points("train/loss", &[(1, 5.0), (2, 4.0)]);
    worker.send(None, vec![report]).await.unwrap();
    let (key, cursor) = (worker.key, app.sweep("s").await.cursor);
    app.pool.end(key, assay_scheduler::Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;
    app.worker("s", 1).await.start(&[(1, 1)]).await.unwrap();
    // other databases of the server may have held the cursor down, or hold the horizon: rows and points
    // from before come first then
    let mut events = Events::open(&app, &cursor).await;
    while !matches!(events.next().await, (_, StreamEvent::Reset)) {}
}

/// Goal: a stream need not look by itself to see what this controller commits. Method: what a stream waits
/// for is asked after each answer, without waiting.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn whatever_is_committed_here_is_told_to_those_who_read_the_sweep(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    app.apply(&sweep("other")).await.unwrap();
    app.settle().await;
    let mut news = app.app.news.of(app.sweep("s").await.summary.sweep_id);
    let mut others = app.app.news.of(app.sweep("other").await.summary.sweep_id);
    let mut is_told = || {
        let is_told = news.has_changed().unwrap();
        news.mark_unchanged();
        is_told
    };
    assert!(!is_told(), "nothing has happened since");

    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    assert!(is_told(), "an attempt that begins");
    let report = worker.points("train/loss", &[(1, 5.0)]);
    worker.send(None, vec![report]).await.unwrap();
    assert!(is_told(), "a report");
    let key = worker.key;
    worker.succeed().await;
    assert!(is_told(), "an attempt that ends");
    assert!(!others.has_changed().unwrap(), "it was about one sweep");
    app.pool.end(key, assay_scheduler::Exit::Code(0));
    app.settle().await;
    assert!(is_told(), "a step of the loop");
    assert!(others.has_changed().unwrap(), "what it waits for may be something else");
    others.mark_unchanged();
    let (status, _) = app.post("/sweeps/s/pause", &serde_json::json!({})).await;
    assert!(status.is_success(), "{status}");
    assert!(is_told(), "a person's wish");
    assert_eq!(app.sweep("s").await.summary.name, "s");
    assert!(!is_told(), "a question");
}
