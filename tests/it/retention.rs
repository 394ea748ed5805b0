//! What is old is dropped, as long after its run ended as the controller was told, and nothing else.

use std::time::Duration;

use assay_api::view::{AuditPage, LogPage, RunState, SeriesAnswer, SeriesQuery};
use assay_api::worker::{Evaluation, Finish, LogLevel, LogLine, MetricBatch, Report};
use assay_controller::metrics;
use assay_controller::schedule::{Dropped, drop_old};
use assay_controller::store::leader;
use assay_scheduler::Exit;
use assay_tests::{TestApp, TestWorker, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

const NAMES: [&str; 4] = ["heldout/web/loss", "system/cpus", "system/load", "train/loss"];
const KEPT: [&str; 2] = ["heldout/web/loss", "train/loss"];
const NOTHING: Dropped = Dropped { series: 0, log_lines: 0, audit_rows: 0 };
const TTL: Duration = Duration::from_secs(60);

/// Two runs are leased. System metrics are kept for 30 days, logs for 60, the audit log for 90.
async fn keeping(db: PgPool) -> TestApp {
    let mut app = TestApp::new(db, 4).await;
    app.app.retention.logs = "60d".parse().unwrap();
    app.app.retention.audit = "90d".parse().unwrap();
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    app
}

/// Points of every name, a line and a score.
fn all_kinds(worker: &mut TestWorker<'_>, step: u64) -> Report {
    let mut report = worker.points(NAMES[0], &[(step, 1.5)]);
    for name in &NAMES[1..] {
        let batch = report.metrics[0].clone();
        report.metrics.push(MetricBatch { name: (*name).to_owned(), ..batch });
    }
    let text = format!("step {step}");
    report.logs = vec![LogLine { time: 1_000, level: LogLevel::Info, text }];
    let (task, metric) = ("quiz".to_owned(), "acc".to_owned());
    report.evaluations = vec![Evaluation { step, task, metric, value: 0.5, stderr: None, n: 4 }];
    report
}

/// A leased run reports something of each kind, and fails.
async fn fail(app: &mut TestApp, number: u32, step: u64) {
    let mut worker = app.worker("s", number).await;
    worker.start(&[]).await.unwrap();
    let report = all_kinds(&mut worker, step);
    worker.send(None, vec![report]).await.unwrap();
    let message = "no field `text`".to_owned();
    worker.finish(Finish::Error { step, message, is_final: true }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;
    assert_eq!(app.row("s", number).await.state, RunState::Done);
}

async fn fold(app: &TestApp) {
    metrics::keep(&app.app, Duration::ZERO).await.unwrap();
}

/// Everything that the database says of time lies so much further back.
async fn age(app: &TestApp, days: i32) {
    for update in [
        "update run set ended_at = ended_at - make_interval(days => $1)",
        "update audit set at = at - make_interval(days => $1)",
    ] {
        sqlx::query(update).bind(days).execute(&app.app.store.db).await.unwrap();
    }
}

async fn count(app: &TestApp, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&app.app.store.db).await.unwrap()
}

/// One turn of whoever leads.
async fn turn(app: &TestApp) -> Dropped {
    let proof = leader::lead(&app.app.store.db, &app.app.name, TTL).await.unwrap().unwrap();
    drop_old(&app.app, proof).await.unwrap()
}

/// Which of all names a run has points of, and at which steps.
async fn shown(app: &TestApp, number: u32) -> Vec<(String, Vec<u64>)> {
    let runs = vec![app.row("s", number).await.run_id];
    let names = NAMES.map(str::to_owned).to_vec();
    let query = SeriesQuery { runs, names, from: None, to: None, buckets: 100 };
    let answer: SeriesAnswer = TestApp::read(app.post("/series/query", &query).await).unwrap();
    answer.series.into_iter().map(|series| (series.name, series.steps)).collect()
}

fn at(names: &[&str], steps: &[u64]) -> Vec<(String, Vec<u64>)> {
    names.iter().map(|name| ((*name).to_owned(), steps.to_vec())).collect()
}

async fn lines(app: &TestApp, number: u32) -> Vec<String> {
    let run = app.row("s", number).await.run_id;
    let page: LogPage =
        TestApp::read(app.get(&format!("/runs/{run}/logs?limit=100")).await).unwrap();
    page.rows.into_iter().map(|row| row.text).collect()
}

async fn retry(app: &mut TestApp, number: u32) {
    let run = app.row("s", number).await.run_id;
    let nothing = &serde_json::Value::Null;
    let (status, body) = app.post(&format!("/runs/{run}/retry"), nothing).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    app.settle().await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn each_kind_goes_at_its_time_and_nothing_of_a_run_that_has_not_ended(db: PgPool) {
    let mut app = keeping(db).await;
    fail(&mut app, 1, 1).await;
    let mut active = app.worker("s", 2).await;
    active.start(&[]).await.unwrap();
    let report = all_kinds(&mut active, 1);
    active.send(None, vec![report]).await.unwrap();
    fold(&app).await;
    let audit = count(&app, "select count(*) from audit").await;
    assert!(0 < audit);

    age(&app, 29).await;
    assert_eq!(turn(&app).await, NOTHING);
    assert_eq!(shown(&app, 1).await, at(&NAMES, &[1]));

    age(&app, 2).await;
    assert_eq!(turn(&app).await, Dropped { series: 2, ..NOTHING });
    assert_eq!(shown(&app, 1).await, at(&KEPT, &[1]));
    assert_eq!(count(&app, "select count(*) from chunk").await, 2, "theirs went with them");
    let latest = app.row("s", 1).await.latest;
    assert_eq!(latest.keys().collect::<Vec<_>>(), KEPT);
    assert_eq!(turn(&app).await, NOTHING, "once is enough");

    age(&app, 30).await;
    assert_eq!(turn(&app).await, Dropped { log_lines: 1, ..NOTHING });
    assert!(lines(&app, 1).await.is_empty());
    age(&app, 30).await;
    let gone = turn(&app).await;
    assert_eq!((gone.series, gone.log_lines), (0, 0));
    assert_eq!(gone.audit_rows, audit.cast_unsigned());
    let page: AuditPage = TestApp::read(app.get("/audit").await).unwrap();
    assert!(page.rows.is_empty(), "{page:?}");

    // a hundred years more: what was measured stays, and so does all of what has not ended
    age(&app, 36_500).await;
    assert_eq!(turn(&app).await, NOTHING);
    assert_eq!(shown(&app, 1).await, at(&KEPT, &[1]));
    assert_eq!(count(&app, "select count(*) from evaluation").await, 2);
    assert_eq!(shown(&app, 2).await, at(&NAMES, &[1]));
    assert_eq!(lines(&app, 2).await, ["step 1"]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_kept_for_ever_is_kept(db: PgPool) {
    let mut app = keeping(db).await;
    fail(&mut app, 1, 1).await;
    fold(&app).await;
    age(&app, 36_500).await;
    app.app.retention.system_metrics = "forever".parse().unwrap();
    app.app.retention.logs = "forever".parse().unwrap();
    app.app.retention.audit = "forever".parse().unwrap();
    assert_eq!(turn(&app).await, NOTHING);
    assert_eq!(shown(&app, 1).await, at(&NAMES, &[1]));
    assert_eq!(lines(&app, 1).await, ["step 1"]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_not_folded_waits_until_it_is(db: PgPool) {
    let mut app = keeping(db).await;
    fail(&mut app, 1, 1).await;
    age(&app, 31).await;
    assert_eq!(turn(&app).await, NOTHING);
    fold(&app).await;
    assert_eq!(turn(&app).await, Dropped { series: 2, ..NOTHING });
    assert_eq!(shown(&app, 1).await, at(&KEPT, &[1]));
}

/// Goal: a run that lost something to its age goes on as any other. Method: it is retried, carries a
/// report of before, resumes, so that points are hidden, and ends again.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_run_that_is_retried_afterwards_begins_its_series_and_its_log_anew(db: PgPool) {
    let mut app = keeping(db).await;
    app.app.retention.audit = "forever".parse().unwrap();
    fail(&mut app, 1, 1).await;
    fold(&app).await;
    age(&app, 61).await;
    assert_eq!(turn(&app).await, Dropped { series: 2, log_lines: 1, audit_rows: 0 });
    retry(&mut app, 1).await;
    age(&app, 61).await;
    assert_eq!(turn(&app).await, NOTHING, "it is leased again");

    let mut worker = app.worker("s", 1).await;
    // the first report was stored already
    let _stored = worker.points(NAMES[3], &[(1, 1.0)]);
    worker.start(&[(1, 2)]).await.unwrap();
    let carried = all_kinds(&mut worker, 2);
    worker.send(Some(1), vec![carried]).await.unwrap();
    let report = all_kinds(&mut worker, 3);
    worker.send(None, vec![Report { seq: 1, ..report }]).await.unwrap();
    let message = "again".to_owned();
    worker.finish(Finish::Error { step: 3, message, is_final: true }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(1));
    app.settle().await;
    fold(&app).await;
    let all = |system: &[u64], others: &[u64]| {
        let mut all = at(&KEPT, others);
        all.extend(at(&NAMES[1..3], system));
        all.sort();
        all
    };
    assert_eq!(shown(&app, 1).await, all(&[2, 3], &[1, 2, 3]));
    assert_eq!(lines(&app, 1).await, ["step 2", "step 3"]);

    age(&app, 59).await;
    assert_eq!(turn(&app).await, Dropped { series: 2, ..NOTHING });
    age(&app, 2).await;
    assert_eq!(turn(&app).await, Dropped { log_lines: 2, ..NOTHING }, "of both attempts");
    assert_eq!(shown(&app, 1).await, at(&KEPT, &[1, 2, 3]));

    // from scratch: what was there before is hidden
    retry(&mut app, 1).await;
    fail(&mut app, 1, 1).await;
    fold(&app).await;
    assert_eq!(shown(&app, 1).await, at(&NAMES, &[1]));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn more_than_a_turn_takes_goes_in_several(db: PgPool) {
    let mut app = keeping(db).await;
    fail(&mut app, 1, 1).await;
    fold(&app).await;
    let insert = "insert into log_line (run_id, attempt, at, level, text)
        select run_id, attempt, at, level, text from log_line, generate_series(1, 6000)";
    sqlx::query(insert).execute(&app.app.store.db).await.unwrap();
    sqlx::query("insert into audit (actor, via, action, path) select 'a', 'loopback', 'b', 'c' from generate_series(1, 6000)")
        .execute(&app.app.store.db)
        .await
        .unwrap();
    // 250 runs more, each with a series and a line
    sqlx::query(
        "with more as (
            insert into run (run_id, sweep_id, number, point, kind, label, spec, axes, slots, queue_order,
                             state, outcome, ended_at)
            select gen_random_uuid(), sweep_id, 1000 + n, 'p' || n, kind, label, spec, axes, slots, queue_order,
                   state, outcome, ended_at
            from run, generate_series(1, 250) as n where number = 1
            returning run_id
         ), line as (
            insert into log_line (run_id, attempt, at, level, text) select run_id, 1, now(), 'info', 'x' from more
         )
         insert into series (run_id, name) select run_id, 'system/load' from more",
    )
    .execute(&app.app.store.db)
    .await
    .unwrap();
    age(&app, 91).await;
    let (lines, audit) = (
        count(&app, "select count(*) from log_line").await,
        count(&app, "select count(*) from audit").await,
    );
    let mut turns = Vec::new();
    loop {
        match turn(&app).await {
            NOTHING => break,
            dropped => turns.push(dropped),
        }
    }
    let sum = |of: fn(&Dropped) -> u64| turns.iter().map(of).sum::<u64>();
    assert_eq!(sum(|turn| turn.series), 252);
    assert_eq!(sum(|turn| turn.log_lines), lines.cast_unsigned());
    assert_eq!(sum(|turn| turn.audit_rows), audit.cast_unsigned());
    assert!(turns[0].series <= 101, "of 100 runs: {turns:?}");
    assert!(
        turns.iter().all(|turn| turn.log_lines <= 5000 && turn.audit_rows <= 5000),
        "{turns:?}"
    );
    assert!(2 <= turns.len());
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn only_the_leader_drops_anything_and_it_does_so_after_an_activation(db: PgPool) {
    let mut app = keeping(db.clone()).await;
    fail(&mut app, 1, 1).await;
    fold(&app).await;
    age(&app, 31).await;

    let mut other = TestApp::new(db.clone(), 4).await;
    other.app.name = "other".to_owned();
    other.settle().await;
    assert_eq!(shown(&app, 1).await, at(&NAMES, &[1]), "it follows");

    // frozen, it drops nothing once another leads
    let frozen = leader::lead(&db, "test", TTL).await.unwrap().unwrap();
    leader::resign(&db, "test").await.unwrap();
    assert_eq!(drop_old(&app.app, frozen).await.unwrap(), NOTHING);
    assert_eq!(shown(&app, 1).await, at(&NAMES, &[1]));
    other.settle().await;
    assert_eq!(shown(&app, 1).await, at(&KEPT, &[1]));
}
