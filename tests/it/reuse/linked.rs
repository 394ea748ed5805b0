//! Which runs are linked, and which are not.

use assay_api::view::{ApplyRequest, Outcome, PlanView, RunKind, RunState};
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use super::{finish, links, prepare, prepared, reusing};

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_trained_is_linked_once_its_data_is_prepared_and_the_rest_is_trained(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;

    let more = reusing("two").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 3e-3, 1e-2]");
    app.apply(&more).await.unwrap();
    app.settle().await;
    assert_eq!(links(&app.sweep("two").await), [None; 6], "its data is not known yet");
    let view = prepared(&mut app, "two", &more).await;
    let linked = [Some("one/3"), Some("one/4"), Some("one/5"), Some("one/6"), None, None];
    assert_eq!(links(&view), linked);
    let trained = view.runs.iter().filter(|run| run.kind == RunKind::Train);
    let states: Vec<RunState> = trained.map(|run| run.state).collect();
    let (done, leased) = (RunState::Done, RunState::Leased);
    assert_eq!(states, [done, done, done, done, leased, leased], "only the new ones take slots");

    let run = app.run("two", 3).await;
    assert_eq!((run.row.outcome, run.row.attempt), (Some(Outcome::Succeeded), 0));
    assert_eq!((run.row.step, run.row.tokens), (16, 4096));
    assert_eq!(run.row.reason.as_deref(), Some("reused from one/3"));
    assert_eq!((run.attempts.len(), run.events.last().unwrap().event.as_str()), (0, "reused"));
    assert_eq!(finish(&mut app, "two").await.summary.counts.succeeded, 8);

    // the original, and never one that is linked as well
    let third = prepared(&mut app, "three", &reusing("three")).await;
    assert_eq!(links(&third), [Some("one/3"), Some("one/4"), Some("one/5"), Some("one/6")]);
    let retried = app.post(&format!("/runs/{}/retry", run.row.run_id), &()).await;
    assert_eq!(retried.0, StatusCode::CONFLICT, "it has succeeded");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn nothing_is_linked_that_was_not_asked_for_or_lies_elsewhere_or_is_excluded(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 8).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;
    assert_eq!(links(&prepared(&mut app, "plain", &sweep("plain")).await), [None; 4]);
    app.post("/sweeps/plain/cancel", &()).await;

    let id = app.row("one", 3).await.run_id;
    app.post(&format!("/runs/{id}/exclude"), &json!({"because": "a broken fan"})).await;
    let without = prepared(&mut app, "without", &reusing("without")).await;
    assert_eq!(links(&without)[..2], [None, Some("one/4")]);
    app.post("/sweeps/without/cancel", &()).await;

    let away = "update sweep set pool = 'elsewhere' where name = 'one'";
    sqlx::query(away).execute(&db).await.unwrap();
    assert_eq!(links(&prepared(&mut app, "other", &reusing("other")).await), [None; 4]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn other_data_at_the_same_path_is_trained_anew(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;
    app.apply(&reusing("two")).await.unwrap();
    app.settle().await;
    prepare(&mut app, "two", 1, "other text").await;
    let second = app.run("two", 2).await.point;
    prepare(&mut app, "two", 2, &second).await;
    assert_eq!(links(&app.sweep("two").await), [None; 4]);

    // and what it was trained on is found again
    app.apply(&reusing("three")).await.unwrap();
    finish(&mut app, "two").await;
    prepare(&mut app, "three", 1, "other text").await;
    prepare(&mut app, "three", 2, &second).await;
    let linked = app.sweep("three").await;
    assert_eq!(links(&linked), [Some("two/3"), Some("two/4"), Some("two/5"), Some("two/6")]);
}

fn with_first(name: &str, first: &str, context: u32) -> String {
    let base = format!(
        "first:\n  {first}:\n    model: {{preset: llama-300k}}\n    tokenizer: bytes\n    \
         data: {{sources: {{text: {{path: general.jsonl}}}}}}\n    \
         train: {{tokens: 4k, context: {context}, batch: 256, lr: {{peak: 3e-3, warmup: 2 steps}}}}\nbase:"
    );
    let with = reusing(name).replacen("base:", &base, 1);
    with.replacen(
        "base:\n  model: {preset: llama-300k}",
        &format!("base:\n  model: {{run: {first}}}"),
        1,
    )
}

/// Goal: a run is what it began as, too. Method: one file whose `first` run finds other data of its own,
/// which none of the others reads.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_began_as_other_weights_is_trained_anew(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    let own_data = |name: &str| {
        with_first(name, "start", 64).replacen("{text: {path: general", "{text: {path: own", 1)
    };
    let (general, own) = ("general.jsonl", "own.jsonl");
    std::fs::copy(app.corpus.path().join(general), app.corpus.path().join(own)).unwrap();
    app.apply(&own_data("one")).await.unwrap();
    let one = finish(&mut app, "one").await;
    assert_eq!((links(&one).len(), one.summary.counts.succeeded), (5, 8));

    // all the same: the base first, and then what began as it, whatever it is called
    let same = own_data("two").replace("start", "begin");
    let two = prepared(&mut app, "two", &same).await;
    let names: Vec<String> = (4..=8).map(|number| format!("one/{number}")).collect();
    assert_eq!(links(&two), names.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>());

    app.apply(&own_data("three")).await.unwrap();
    app.settle().await;
    let view = app.sweep("three").await;
    let owned = view.runs.iter().find(|run| run.label.starts_with("prepare text")).unwrap();
    let base = view.runs.iter().find(|run| run.label == "start").unwrap().number;
    for run in view.runs.iter().filter(|run| run.kind == RunKind::Prepare) {
        let point = app.run("three", run.number).await.point;
        let found = if run.number == owned.number { "other text" } else { &point };
        prepare(&mut app, "three", run.number, found).await;
    }
    app.succeed("three", base).await;
    assert_eq!(links(&app.sweep("three").await), [None; 5]);
}

/// Nobody looks at what a folder holds.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_began_as_a_folder_is_never_reused(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    let from = |name: &str| {
        let model = "model: {from: ./weights}";
        reusing(name).replacen("model: {preset: llama-300k}", model, 1)
    };
    app.apply(&from("one")).await.unwrap();
    finish(&mut app, "one").await;
    assert_eq!(links(&prepared(&mut app, "two", &from("two")).await), [None; 4]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_waits_is_linked_even_if_it_was_begun_and_a_repin_leaves_it(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;
    // queued without being asked for, and then asked for
    prepared(&mut app, "two", &sweep("two")).await;
    let leased = app.sweep("two").await.runs.into_iter().find(|run| run.state == RunState::Leased);
    let begun = leased.unwrap().number;
    let mut worker = app.worker("two", begun).await;
    worker.start(&[]).await.unwrap();
    let report = worker.points("train/loss", &[(1, 9.0)]);
    worker.send(None, vec![report]).await.unwrap();
    let key = worker.key;
    app.post("/sweeps/two/pause?now=true", &()).await;
    app.settle().await;
    app.pool.end(key, assay_scheduler::Exit::Code(75));
    app.apply(&reusing("two")).await.unwrap();
    app.settle().await;
    assert_eq!(links(&app.sweep("two").await), [None; 4], "a paused sweep holds still");
    app.post("/sweeps/two/resume", &()).await;
    app.settle().await;
    let view = app.sweep("two").await;
    assert_eq!(view.summary.counts.succeeded, 6, "{view:?}");
    let row = view.runs.iter().find(|run| run.number == begun).unwrap();
    assert!(row.latest.is_empty() && row.started_at.is_none(), "its own points do not count");
    assert_eq!(app.run("two", begun).await.attempts.len(), 1);

    let repin = ApplyRequest { repin: true, ..app.request(&reusing("two")) };
    assert!(app.post("/sweeps/apply", &repin).await.0.is_success());
    app.settle().await;
    prepare(&mut app, "two", 1, "other text").await;
    let after = app.sweep("two").await;
    assert_eq!(links(&after), links(&view), "what has succeeded stays as it is");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_plan_says_what_has_been_trained_as_far_as_it_is_known(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    let plan = async |app: &TestApp, file: &str| {
        let answer = app.post("/sweeps/plan", &app.request(file)).await;
        TestApp::read::<PlanView>(answer).unwrap()
    };
    let file = with_first("one", "start", 64);
    assert_eq!(plan(&app, &file).await.reused, 0);
    app.apply(&file).await.unwrap();
    finish(&mut app, "one").await;
    let two = with_first("two", "start", 64);
    assert_eq!(plan(&app, &two).await.reused, 5);
    assert_eq!(plan(&app, &two.replace("reuse: true", "reuse: false")).await.reused, 0);
    assert_eq!(plan(&app, &with_first("two", "start", 128)).await.reused, 0, "another base");
    let more = two.replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 1e-2]");
    let found = plan(&app, &more).await;
    assert_eq!((found.added, found.reused), (7, 3));
    assert_eq!(app.apply(&more).await.unwrap().plan.reused, 3);
    assert_eq!(plan(&app, &more).await.reused, 0, "nothing is added");
}
