//! Points through reports, chunks and roll-ups: whatever became of them, a chart shows the same.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_api::view::{SeriesAnswer, SeriesPoints, SeriesQuery, StreamEvent};
use assay_api::worker::Report;
use assay_controller::metrics;
use assay_controller::store::MIGRATOR;
use assay_scheduler::Exit;
use assay_tests::{Events, TestApp, TestWorker, sweep};
use sqlx::PgPool;

const NAME: &str = "train/loss";

async fn leased(db: PgPool) -> TestApp {
    let mut app = TestApp::new(db, 4).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    app
}

/// The run's worker dies, and the next attempt is there.
async fn again(app: &mut TestApp, worker: assay_controller::pool::AttemptKey) {
    app.pool.end(worker, Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&app.app.store.db).await.unwrap();
    app.settle().await;
}

async fn query(app: &TestApp, range: (Option<u64>, Option<u64>), buckets: u32) -> SeriesPoints {
    let runs = vec![app.row("s", 1).await.run_id];
    let names = vec![NAME.to_owned()];
    let query = SeriesQuery { runs, names, from: range.0, to: range.1, buckets };
    let answer: SeriesAnswer = TestApp::read(app.post("/series/query", &query).await).unwrap();
    answer.series.into_iter().next().unwrap()
}

/// What there is to see of a run, kept beside the store.
type Truth = BTreeMap<u64, f64>;

/// The last point of each bucket and the first of all, out of every point in the range.
fn drawn(truth: &Truth, (from, to): (Option<u64>, Option<u64>), width: u64) -> Vec<(u64, f64)> {
    let range = from.unwrap_or(0)..=to.unwrap_or(u64::MAX);
    let all: Vec<(u64, f64)> = truth.range(range).map(|(step, value)| (*step, *value)).collect();
    let mut lasts = BTreeMap::new();
    for (step, value) in &all {
        lasts.insert(step / width, (*step, *value));
    }
    let mut drawn: Vec<(u64, f64)> = lasts.into_values().collect();
    if drawn[0].0 != all[0].0 {
        drawn.insert(0, all[0]);
    }
    drawn
}

/// Every range and resolution shows the truth, and as much of it as was asked for.
async fn assert_shown(app: &TestApp, truth: &Truth) {
    let end = *truth.keys().last().unwrap();
    let (a, b) = (end / 3 + 1, end / 2 + 5);
    for range in
        [(None, None), (Some(a), Some(b)), (Some(a), None), (None, Some(b)), (Some(end), None)]
    {
        for buckets in [2, 50, 1000] {
            let shown = query(app, range, buckets).await;
            let points: Vec<_> = shown.steps.iter().copied().zip(shown.values.clone()).collect();
            assert_eq!(points, drawn(truth, range, shown.width), "{range:?} in {buckets}");
            assert!(points.len() <= buckets as usize);
            let narrower = drawn(truth, range, (shown.width / 4).max(1)).len();
            let is_fine = shown.width == 1 || buckets as usize <= narrower;
            assert!(is_fine, "{range:?}: a quarter of {} would do for {buckets}", shown.width);
            assert!(
                shown.steps.iter().zip(&shown.times).all(|(s, t)| 1000 * s == t.cast_unsigned())
            );
        }
    }
    let last = app.row("s", 1).await.latest[NAME];
    assert_eq!(last, truth[&end], "the latest value");
}

/// Reports of 40 points each, every `stride` steps from `from` on.
fn reports(
    worker: &mut TestWorker<'_>,
    n: u64,
    from: u64,
    stride: u64,
    truth: &mut Truth,
) -> Vec<Report> {
    let report = |i: u64| {
        let step = |at: u64| from + stride * (40 * i + at);
        let value = |step: u64| (step * 7919 % 1000) as f64 + from as f64 / 1e6;
        let points: Vec<(u64, f64)> = (0..40).map(|at| (step(at), value(step(at)))).collect();
        truth.extend(points.iter().copied());
        worker.points(NAME, &points)
    };
    (0..n).map(report).collect()
}

async fn count(db: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

/// Goal: what is folded, rolled up or only reported makes no difference. Method: a run reports, dies,
/// and goes on from before, until it is thousands of points long; every chart is compared each time.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_long_series_shows_every_point_that_counts_through_folds_and_resumes(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let mut truth = Truth::new();
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let first = reports(&mut worker, 120, 0, 1, &mut truth);
    worker.send(None, first).await.unwrap();
    assert_eq!(count(&db, "select count(*) from chunk").await, 0, "it is all in the tail");
    assert_shown(&app, &truth).await;
    for _ in 0..3 {
        let next = reports(&mut worker, 60, truth.len() as u64, 1, &mut truth);
        worker.send(None, next).await.unwrap();
        assert_shown(&app, &truth).await;
    }
    assert!(1 < count(&db, "select count(distinct width) from rollup").await, "it is rolled up");
    let tail = "select count(*) from report r join attempt a using (run_id, attempt) where a.seq_folded < r.seq";
    assert!(0 < count(&db, tail).await, "and has a tail");

    // it dies; its checkpoint carried two reports that were never sent, and cuts the second
    let mut unsent = Truth::new();
    let carried = reports(&mut worker, 2, truth.len() as u64, 1, &mut unsent);
    let key = worker.key;
    again(&mut app, key).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[(1, 12_050)]).await.unwrap();
    assert_shown(&app, &truth).await;
    worker.send(Some(1), carried).await.unwrap();
    truth.extend(unsent.range(..=12_050));
    assert_shown(&app, &truth).await;
    // its first point lies at the step that was saved, where the later attempt's counts
    let next = reports(&mut worker, 30, 12_050, 1, &mut truth);
    worker.send(None, next).await.unwrap();
    assert_shown(&app, &truth).await;

    // back into the middle of what is rolled up, and on with gaps
    let key = worker.key;
    again(&mut app, key).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[(2, 5000)]).await.unwrap();
    truth.retain(|step, _| *step <= 5000);
    assert_shown(&app, &truth).await;
    let next = reports(&mut worker, 150, 5001, 3, &mut truth);
    worker.send(None, next).await.unwrap();
    assert_shown(&app, &truth).await;

    // from scratch
    let key = worker.key;
    again(&mut app, key).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    truth.clear();
    let next = reports(&mut worker, 3, 0, 1, &mut truth);
    worker.send(None, next).await.unwrap();
    assert_shown(&app, &truth).await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_run_that_has_gone_quiet_is_folded_and_its_reports_are_thrown_away_later(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let mut truth = Truth::new();
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let some = reports(&mut worker, 3, 0, 1, &mut truth);
    worker.send(None, some).await.unwrap();
    metrics::keep(&app.app, Duration::ZERO).await.unwrap();
    assert_eq!(count(&db, "select count(*) from chunk").await, 0, "it may report more");
    let key = worker.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    metrics::keep(&app.app, Duration::from_secs(60)).await.unwrap();
    assert_eq!(count(&db, "select sum(n)::bigint from chunk").await, 120);
    assert_eq!(count(&db, "select count(*) from report").await, 3, "streams may still read them");
    assert_shown(&app, &truth).await;
    metrics::keep(&app.app, Duration::ZERO).await.unwrap();
    assert_eq!(count(&db, "select count(*) from report").await, 0);
    assert_shown(&app, &truth).await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_stream_reads_what_was_folded_and_begins_anew_once_it_is_gone(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let cursor = app.sweep("s").await.cursor;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    // the second lies before the first, so both are folded at once
    let later = worker.points(NAME, &[(5, 5.0)]);
    let earlier = worker.points(NAME, &[(2, 2.0)]);
    worker.send(None, vec![later, earlier]).await.unwrap();
    assert_eq!(count(&db, "select count(*) from chunk").await, 1);
    let (_, _, series) = Events::open(&app, &cursor).await.until_points().await;
    assert_eq!((series.steps, series.values), (vec![2, 5], vec![2.0, 5.0]));

    let key = worker.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    metrics::keep(&app.app, Duration::ZERO).await.unwrap();
    let mut events = Events::open(&app, &cursor).await;
    // other databases of the server may hold the horizon down: rows come first then
    while !matches!(events.next().await, (_, StreamEvent::Reset)) {}
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_series_comes_once_in_a_report_and_no_step_is_beyond_counting(db: PgPool) {
    let app = leased(db.clone()).await;
    let mut worker = app.worker("s", 1).await;
    worker.start(&[]).await.unwrap();
    let mut twice = worker.points(NAME, &[(1, 1.0)]);
    twice.metrics.push(twice.metrics[0].clone());
    let mut far = Report { seq: 1, ..worker.points(NAME, &[(1, 1.0)]) };
    far.metrics[0].steps = vec![1 << 54];
    for (report, expected) in [(twice, "has two batches"), (far, "the limit is")] {
        let (status, text) = worker.send(None, vec![report]).await.unwrap_err();
        assert_eq!(status, axum::http::StatusCode::UNPROCESSABLE_ENTITY);
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(count(&db, "select count(*) from series").await, 0, "nothing is stored");
}

/// Goal: an older database keeps its points. Method: migrate to before, fill in arrays as they were
/// stored then, migrate on.
#[sqlx::test(migrations = false)]
async fn points_stored_in_arrays_are_there_after_the_migration(db: PgPool) {
    for migration in MIGRATOR.iter().filter(|migration| migration.version < 8) {
        let sql = migration.sql.as_str().to_owned();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&db).await.unwrap();
    }
    sqlx::raw_sql(
        "insert into project values ('00000000-0000-0000-0000-000000000001', 'default');
         insert into sweep (sweep_id, project_id, name, file, folder, axes, pool, resources) values
            ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 's', '', '', '[]',
             'local', '{\"pool\": \"local\"}');
         insert into run (run_id, sweep_id, number, point, kind, label, spec, axes, slots, queue_order, attempt)
            values ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', 1, 'p',
                    'train', 'l', '{}', '{}', 1, 1, 3);
         insert into attempt (run_id, attempt, pool, placed_at, seq_stored, visible_to) values
            ('00000000-0000-0000-0000-000000000003', 1, 'local', now(), 2, 3),
            ('00000000-0000-0000-0000-000000000003', 2, 'local', now(), 1, null);
         insert into series (run_id, name, latest_step, latest_value)
            values ('00000000-0000-0000-0000-000000000003', 'train/loss', 4, 40);
         insert into chunk (series_id, attempt, seq, step_first, step_last, steps, values, times)
            select series_id, attempt, seq, steps[1], steps[cardinality(steps)], steps, v, times
            from series, (values
                (1, 1, '{1,2}'::bigint[], '{1.5,NaN}'::float8[], '{1000,2000}'::bigint[]),
                (1, 2, '{2,3,9}', '{2.5,-Infinity,9}', '{2000,3000,9000}'),
                (2, 1, '{4}', '{40}', '{4000}')) as c (attempt, seq, steps, v, times)",
    )
    .execute(&db)
    .await
    .unwrap();
    for migration in MIGRATOR.iter().filter(|migration| 8 <= migration.version) {
        let sql = migration.sql.as_str().to_owned();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&db).await.unwrap();
    }
    let app = TestApp::new(db, 1).await;
    let shown = query(&app, (None, None), 100).await;
    assert_eq!(shown.steps, [1, 2, 3, 4]);
    assert_eq!(shown.values, [1.5, 2.5, f64::NEG_INFINITY, 40.0]);
    assert_eq!(shown.times, [1000, 2000, 3000, 4000]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_a_run_waited_for_unblocks_it_and_a_later_file_finds_it_done(db: PgPool) {
    let mut app = leased(db.clone()).await;
    let blocked = "select count(*) from run where is_blocked";
    assert_eq!(count(&db, blocked).await, 4, "both sources are needed");
    app.succeed("s", 1).await;
    assert_eq!(count(&db, blocked).await, 4, "one is still missing");
    app.succeed("s", 2).await;
    assert_eq!(count(&db, blocked).await, 0);
    app.apply(&sweep("s").replace("[1e-3, 3e-3]", "[1e-3, 3e-3, 1e-2]")).await.unwrap();
    assert_eq!(count(&db, "select count(*) from run").await, 8);
    assert_eq!(count(&db, blocked).await, 0, "the new ones wait for nothing");
}
