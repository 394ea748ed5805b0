//! What is written down, in the transaction that makes it so.

use assay_api::view::{DeliveryView, RunState, WebhookEvent, WebhookMessage};
use assay_api::worker::Finish;
use assay_controller::store::outbox;
use assay_controller::store::world::{self, Told};
use assay_scheduler::{Event, Exit};
use assay_tests::{TestApp, sweep, until};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{NOTHING, add, ask, deliveries, with_sweep};

const URL: &str = "http://127.0.0.1:9/";

fn of(all: &[DeliveryView]) -> Vec<(&str, &str)> {
    all.iter().map(|row| (row.event.word(), row.about.as_str())).collect()
}

async fn data(db: &PgPool, delivery: i64) -> Value {
    let query = sqlx::query_scalar("select data from delivery where delivery_id = $1");
    query.bind(delivery).fetch_one(db).await.unwrap()
}

/// A process whose run is being cancelled ends.
async fn end_all(app: &mut TestApp) {
    for key in app.pool.attempts() {
        app.pool.end(key, Exit::Code(1));
    }
    app.settle().await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn every_end_is_told_once_to_whoever_waits_for_it(db: PgPool) {
    let mut app = with_sweep(db.clone()).await;
    let ends = [WebhookEvent::RunSucceeded, WebhookEvent::RunCancelled];
    add(&app, "ends", URL, &ends).await.unwrap();
    add(&app, "whole", URL, &[WebhookEvent::SweepFinished]).await.unwrap();
    add(&app, "other", URL, &[WebhookEvent::RunFailed]).await.unwrap();
    app.succeed("s", 1).await;
    let told = deliveries(&app, "ends").await;
    assert_eq!(of(&told), [("run.succeeded", "s/1")]);
    assert_eq!(
        data(&db, told[0].delivery_id).await,
        json!({"project": "default", "sweep": "s", "run": 1, "kind": "prepare", "outcome": "succeeded",
            "reason": "finished at step 16", "attempt": 1, "path": "/sweeps/s/1"})
    );

    app.post("/sweeps/s/cancel", NOTHING).await;
    let told = deliveries(&app, "ends").await;
    assert_eq!(app.row("s", 2).await.state, RunState::Stopping, "it has a process");
    let queued: Vec<_> = of(&told).iter().skip(1).map(|(_, about)| (*about).to_owned()).collect();
    assert_eq!(queued, ["s/3", "s/4", "s/5", "s/6"]);
    let last = data(&db, told[4].delivery_id).await;
    assert_eq!((&last["attempt"], &last["reason"]), (&json!(0), &json!("cancelled by a person")));
    assert!(deliveries(&app, "whole").await.is_empty());
    end_all(&mut app).await;
    assert_eq!(deliveries(&app, "ends").await.len(), 6);
    let told = deliveries(&app, "whole").await;
    assert_eq!(of(&told), [("sweep.finished", "s")]);
    assert_eq!(
        data(&db, told[0].delivery_id).await,
        json!({"project": "default", "sweep": "s", "path": "/sweeps/s",
            "counts": {"succeeded": 1, "diverged": 0, "failed": 0, "cancelled": 5, "stopped_early": 0}})
    );
    let whole: Value = data(&db, told[0].delivery_id).await;
    let message = json!({"id": told[0].message_id, "type": "sweep.finished",
        "timestamp": told[0].created_at, "data": whole});
    serde_json::from_value::<WebhookMessage>(message).expect("it is what the document says");
    app.post("/sweeps/s/cancel", NOTHING).await;
    assert_eq!(deliveries(&app, "whole").await.len(), 1, "nothing ended");

    app.apply(&sweep("s").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 2e-3, 3e-3]")).await.unwrap();
    app.post("/sweeps/s/cancel", NOTHING).await;
    end_all(&mut app).await;
    assert_eq!(deliveries(&app, "whole").await.len(), 2, "runs that were added have ended");
    let run = app.row("s", 3).await.run_id;
    app.post(&format!("/runs/{run}/retry"), NOTHING).await;
    app.post(&format!("/runs/{run}/cancel"), NOTHING).await;
    assert_eq!(deliveries(&app, "whole").await.len(), 3, "and a run that was tried again");
    assert!(deliveries(&app, "other").await.is_empty());
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
#[expect(clippy::disallowed_methods, reason = "nobody cancels a test")]
async fn what_is_taken_back_is_told_to_nobody(db: PgPool) {
    let app = with_sweep(db.clone()).await;
    add(&app, "ends", URL, &[WebhookEvent::RunCancelled]).await.unwrap();
    let run = app.row("s", 6).await.run_id;
    let mut tx = db.begin().await.unwrap();
    let sweep = world::tell(&mut tx, run, &Told::plainly(Event::Cancel)).await.unwrap();
    outbox::ended(&mut tx, &[sweep]).await.unwrap();
    let n: i64 =
        sqlx::query_scalar("select count(*) from delivery").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(n, 1);
    tx.rollback().await.unwrap();
    assert!(deliveries(&app, "ends").await.is_empty());
}

/// Goal: of two transactions that end the last two runs, one tells that the sweep has finished. Method:
/// the second has ended its run before the first commits, and asks while the first still holds the sweep.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
#[expect(clippy::disallowed_methods, reason = "nobody cancels a test")]
async fn two_that_end_the_last_runs_at_once_tell_of_the_sweep_once(db: PgPool) {
    let app = TestApp::new(db.clone(), 1).await;
    app.apply(&sweep("s")).await.unwrap();
    add(&app, "whole", "https://example.com/", &[WebhookEvent::SweepFinished]).await.unwrap();
    let runs = app.sweep("s").await.runs;
    for run in &runs[2..] {
        app.post(&format!("/runs/{}/cancel", run.run_id), NOTHING).await;
    }
    let cancel = Told::plainly(Event::Cancel);
    let (mut one, mut two) = (db.begin().await.unwrap(), db.begin().await.unwrap());
    let sweep = world::tell(&mut one, runs[0].run_id, &cancel).await.unwrap();
    world::tell(&mut two, runs[1].run_id, &cancel).await.unwrap();
    outbox::ended(&mut one, &[sweep]).await.unwrap();
    let second = tokio::spawn(async move {
        outbox::ended(&mut two, &[sweep]).await.unwrap();
        two.commit().await.unwrap();
    });
    until("the second waits for the first", async || {
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())";
        let n: i64 = sqlx::query_scalar(waiting).fetch_one(&db).await.unwrap();
        (n == 1).then_some(())
    })
    .await;
    one.commit().await.unwrap();
    second.await.unwrap();
    assert_eq!(of(&deliveries(&app, "whole").await), [("sweep.finished", "s")]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn of_many_runs_each_is_told_and_where_nobody_waits_nothing_is_written(db: PgPool) {
    let app = TestApp::new(db.clone(), 1).await;
    let seeds: Vec<String> = (1..=300).map(|seed| seed.to_string()).collect();
    let many = |name: &str| {
        sweep(name).replace("lr: [1e-3, 3e-3]", &format!("seed: [{}]", seeds.join(", ")))
    };
    app.apply(&many("quiet")).await.unwrap();
    app.apply(&many("loud")).await.unwrap();
    add(&app, "ends", "https://example.com/", &[WebhookEvent::RunCancelled]).await.unwrap();
    ask(&app, "POST", "/webhooks/ends/disable").await;
    app.post("/sweeps/quiet/cancel", NOTHING).await;
    let n: i64 = sqlx::query_scalar("select count(*) from delivery").fetch_one(&db).await.unwrap();
    assert_eq!(n, 0);
    ask(&app, "POST", "/webhooks/ends/enable").await;
    app.post("/sweeps/loud/cancel", NOTHING).await;
    let told = deliveries(&app, "ends").await;
    let about: Vec<_> = told.iter().map(|row| row.about.clone()).collect();
    let expected: Vec<_> = (1..=602).map(|number| format!("loud/{number}")).collect();
    assert_eq!(about, expected, "in their order");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_that_is_deleted_is_told_of_though_it_is_gone(db: PgPool) {
    let mut app = with_sweep(db).await;
    let events = [WebhookEvent::RunCancelled, WebhookEvent::SweepFinished];
    add(&app, "ends", URL, &events).await.unwrap();
    ask(&app, "DELETE", "/sweeps/s?cancel=true").await;
    end_all(&mut app).await;
    assert_eq!(app.get("/sweeps/s").await.0, axum::http::StatusCode::NOT_FOUND);
    let told = deliveries(&app, "ends").await;
    assert_eq!(told.len(), 7);
    assert_eq!(of(&told).last(), Some(&("sweep.finished", "s")));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_that_fails_alike_is_told_of_and_one_that_a_person_pauses_is_not(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    let limited = format!("{}limits: {{same_error: 2}}\n", sweep("alike"));
    app.apply(&limited).await.unwrap();
    add(&app, "stops", "https://example.com/", &[WebhookEvent::SweepPaused]).await.unwrap();
    app.post("/sweeps/alike/pause", NOTHING).await;
    app.post("/sweeps/alike/resume", NOTHING).await;
    app.settle().await;
    assert!(deliveries(&app, "stops").await.is_empty());
    for number in 1..=2 {
        let worker = app.worker("alike", number).await;
        worker.start(&[]).await.unwrap();
        let message = "no such file".to_owned();
        worker.finish(Finish::Error { step: 0, message, is_final: false }).await.unwrap();
        let key = worker.key;
        app.pool.end(key, Exit::Code(1));
        app.settle().await;
    }
    let told = deliveries(&app, "stops").await;
    assert_eq!(of(&told), [("sweep.paused", "alike")]);
    let why = "2 of its runs failed with the same error: no such file";
    assert_eq!(
        data(&db, told[0].delivery_id).await,
        json!({"project": "default", "sweep": "alike", "path": "/sweeps/alike", "limit": "same_error",
            "reason": why})
    );
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_sweep_that_has_used_its_hours_is_told_of_once_for_each_limit(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 1).await;
    let limited = |hours: u32| format!("{}limits: {{gpu_hours: {hours}}}\n", sweep("dear"));
    app.apply(&limited(2)).await.unwrap();
    add(&app, "stops", "https://example.com/", &[WebhookEvent::SweepPaused]).await.unwrap();
    app.settle().await;
    app.worker("dear", 1).await.start(&[]).await.unwrap();
    let pass =
        "update attempt set started_at = started_at - interval '2 hours' where ended_at is null";
    sqlx::query(pass).execute(&db).await.unwrap();
    app.settle().await;
    end_all(&mut app).await;
    app.settle().await;
    let told = deliveries(&app, "stops").await;
    assert_eq!(of(&told), [("sweep.paused", "dear")]);
    let data = data(&db, told[0].delivery_id).await;
    assert_eq!(data["limit"], "gpu_hours");
    assert_eq!(
        data["reason"],
        "it has used its 2 GPU hours; raise limits.gpu_hours and apply again"
    );

    app.apply(&limited(3)).await.unwrap();
    app.settle().await;
    app.worker("dear", 1).await.start(&[]).await.unwrap();
    assert_eq!(deliveries(&app, "stops").await.len(), 1, "it goes on");
    sqlx::query(pass).execute(&db).await.unwrap();
    app.settle().await;
    assert_eq!(deliveries(&app, "stops").await.len(), 2);
}
