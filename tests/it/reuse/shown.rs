//! What a linked run shows, what holds it, and what stands on it.

use assay_api::view::{DeletionView, ExtendRequest, RunKind, RunState, SeriesQuery};
use assay_api::worker::{CheckpointSaved, Evaluation, LogLevel, LogLine, layout};
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use sqlx::PgPool;

use super::{finish, links, prepared, reusing};

const TASK: &str = "  eval: {tasks: {color: {path: color.yaml}}}\naxes:";

/// With a task under this name.
fn asking(file: &str, name: &str) -> String {
    file.replacen("axes:", &TASK.replace("color:", &format!("{name}:")), 1)
}

fn score(step: u64, task: &str, value: f64) -> Evaluation {
    let (metric, stderr) = ("acc".to_owned(), None);
    Evaluation { step, task: task.to_owned(), metric, value, stderr, n: 20 }
}

/// Lets a leased run report the beginning of a curve, scores, a line and a checkpoint, and succeed.
async fn train(app: &mut TestApp, name: &str, number: u32, tasks: &[&str]) {
    let mut worker = app.worker(name, number).await;
    let answer = worker.start(&[]).await.unwrap();
    let n = f64::from(number);
    let mut reports = vec![
        worker.points("train/loss", &[(1, n), (2, n / 2.0)]),
        worker.points("heldout/general/bits_per_byte", &[(0, n), (16, n / 4.0)]),
    ];
    for task in tasks {
        reports.push(worker.points(&format!("task/{task}/acc"), &[(0, 0.1), (16, n / 100.0)]));
    }
    let mut all = tasks.iter().map(|task| score(16, task, n / 100.0)).collect::<Vec<_>>();
    all.push(score(16, "heldout/general", n / 4.0));
    let run = worker.key.run;
    let saved = CheckpointSaved { step: 13, path: layout::checkpoint(run, 1, 13), bytes: 1000 };
    let last = reports.last_mut().unwrap();
    (last.evaluations, last.checkpoints) = (all, vec![saved]);
    last.logs = vec![LogLine { time: 0, level: LogLevel::Info, text: format!("it is {number}") }];
    let seq = u64::try_from(reports.len()).unwrap();
    let stored = worker.send(None, reports).await.unwrap().seq_stored;
    assert_eq!(stored, seq);
    worker.succeed_with(&answer).await;
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
}

async fn train_all(app: &mut TestApp, name: &str, tasks: &[&str]) {
    while let Some(run) =
        app.sweep(name).await.runs.into_iter().find(|run| run.state == RunState::Leased)
    {
        train(app, name, run.number, tasks).await;
    }
}

async fn delete(app: &TestApp, name: &str) -> Result<DeletionView, (StatusCode, String)> {
    let path = format!("/api/v1/sweeps/{name}");
    let request = Request::builder().method(Method::DELETE).uri(path).body(Body::empty());
    TestApp::read(app.send(request.unwrap()).await)
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_linked_run_shows_what_it_would_have_shown(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    prepared(&mut app, "one", &asking(&sweep("one"), "color")).await;
    train_all(&mut app, "one", &["color"]).await;
    let view = prepared(&mut app, "two", &asking(&reusing("two"), "color")).await;
    assert!(view.runs.iter().all(|run| run.state == RunState::Done), "all is scored already");
    assert_eq!(view.series, app.sweep("one").await.series);
    for number in 3..=6 {
        let (one, two) = (app.run("one", number).await, app.run("two", number).await);
        assert_eq!(two.row.reused, Some(format!("one/{number}")));
        assert_eq!((two.row.latest.len(), &two.row.latest), (3, &one.row.latest));
        assert_eq!(two.series, one.series);
        let json = |what: &_| serde_json::to_value(what).unwrap();
        assert_eq!(json(&two.evaluations), json(&one.evaluations));
        assert_eq!(two.checkpoints[0].path, layout::checkpoint(one.row.run_id, 1, 13));
        let (_, log) = app.get(&format!("/runs/{}/logs", two.row.run_id)).await;
        assert_eq!(log["rows"][0]["text"], format!("it is {number}"));
    }

    // both at once, before anything is folded
    let runs = [app.row("one", 3).await.run_id, app.row("two", 3).await.run_id];
    let names = ["train/loss", "task/color/acc"].map(str::to_owned).to_vec();
    let query = SeriesQuery { runs: runs.to_vec(), names, from: None, to: None, buckets: 100 };
    let (_, answer) = app.post("/series/query", &query).await;
    let of = |run: usize, name: &str| {
        let series = answer["series"].as_array().unwrap().iter();
        let id = runs[run].to_string();
        let mut of = series.filter(|found| found["run_id"] == id && found["name"] == name);
        of.next().unwrap_or_else(|| panic!("{run} has no {name}: {answer}"))["values"].clone()
    };
    for name in ["train/loss", "task/color/acc"] {
        assert_eq!(of(0, name), of(1, name));
        assert_eq!(of(1, name).as_array().unwrap().len(), 2, "{answer}");
    }
}

/// Goal: a linked run is scored on the tasks of its own file. Method: its original knows one of two tasks,
/// one that the file does not have, and other questions under the name of the second.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn tasks_that_it_was_not_scored_on_are_scored_from_its_weights(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    let asking = |name: &str, file: String| {
        let tasks = "{color: {path: color.yaml}, hue: {path: hue.yaml}, tint: {path: color.yaml}}";
        let tasks = if name == "one" { tasks.to_owned() } else { tasks.replace("tint", "shade") };
        file.replacen("axes:", &format!("  eval: {{tasks: {tasks}}}\naxes:"), 1)
    };
    let hue = app.corpus.path().join("hue.yaml");
    let color = std::fs::read_to_string(app.corpus.path().join("color.yaml")).unwrap();
    std::fs::write(&hue, &color).unwrap();
    prepared(&mut app, "one", &asking("one", sweep("one"))).await;
    train_all(&mut app, "one", &["color", "hue", "tint"]).await;

    std::fs::write(&hue, color.replace("task: color", "task: hue")).unwrap();
    let view = prepared(&mut app, "two", &asking("two", reusing("two"))).await;
    assert_eq!(links(&view).iter().flatten().count(), 4);
    let row = app.row("two", 3).await;
    let shown: Vec<&str> = row.latest.keys().map(String::as_str).collect();
    assert_eq!(shown, ["heldout/general/bits_per_byte", "task/color/acc", "train/loss"]);
    let run = app.run("two", 3).await;
    let scored: Vec<&str> = run.evaluations.iter().map(|score| score.task.as_str()).collect();
    assert_eq!(scored, ["color", "heldout/general"], "no score is of other questions");
    assert!(!run.series.contains(&"task/hue/acc".to_owned()), "{:?}", run.series);

    let scoring: Vec<_> = view.runs.iter().filter(|run| run.kind == RunKind::Evaluate).collect();
    assert_eq!(scoring.len(), 4, "{view:?}");
    let one = app.row("one", 3).await.run_id;
    let of = scoring.iter().find(|run| run.label.ends_with(&row.label)).unwrap();
    assert!(of.label.starts_with("hue, shade of "), "{}", of.label);
    let mut worker = app.worker("two", of.number).await;
    let answer = worker.start(&[]).await.unwrap();
    assert_eq!(answer.weights[0].path, format!("result/{one}"), "what was trained there");
    let report = worker.points("task/hue/acc", &[(16, 0.75)]);
    worker.send(None, vec![report]).await.unwrap();
    worker.succeed_with(&answer).await;
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
    assert_eq!(app.row("two", 3).await.latest["task/hue/acc"].to_string(), "0.75");
    finish(&mut app, "two").await;
    let plan = app.apply(&asking("two", reusing("two"))).await.unwrap().plan;
    assert_eq!(plan.added, 0, "all of it is scored");

    // where it was trained, it may be scored later, and that counts for whoever is linked then
    let later = asking("two", sweep("one")).replace("shade", "tint");
    app.apply(&later).await.unwrap();
    finish(&mut app, "one").await;
    let third = prepared(&mut app, "three", &asking("one", reusing("three"))).await;
    assert!(third.runs.iter().all(|run| run.kind != RunKind::Evaluate), "{third:?}");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_others_are_linked_to_cannot_be_deleted_under_them(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 8).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;
    prepared(&mut app, "two", &reusing("two")).await;
    let (status, error) = delete(&app, "one").await.unwrap_err();
    let told =
        "runs of other sweeps stand on runs of this one: two/3, two/4, two/5, two/6; delete those";
    assert!(status == StatusCode::CONFLICT && error.starts_with(told), "{error}");
    let row = "delete from run where run_id in (select reused_run_id from run)";
    let refused = sqlx::query(row).execute(&db).await.unwrap_err();
    assert!(refused.to_string().contains("run_reused_run_id_fkey"), "{refused}");
    assert!(delete(&app, "two").await.unwrap().is_deleted);
    assert!(delete(&app, "one").await.unwrap().is_deleted);
    app.settle().await;
    let cleared = app.pool.cleared().len();
    assert_eq!(cleared, 6 + 2 + 2, "of the linked sweep its `prepare` runs left folders");
}

/// Goal: a link is never written under a deletion that has begun, and nobody waits for it. Method: the rows of
/// the originals are held, as a deletion holds them, while another controller takes the lead.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn two_controllers_and_a_deletion_leave_each_run_with_one_result(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 8).await;
    let mut other = TestApp::new(db.clone(), 8).await;
    "other".clone_into(&mut other.app.name);
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;

    let hold =
        "select run_id from run join sweep using (sweep_id) where name = 'one' for update of run";
    let mut deletion = db.begin_with("begin").await.unwrap();
    sqlx::query(hold).execute(&mut *deletion).await.unwrap();
    assert_eq!(links(&prepared(&mut app, "two", &reusing("two")).await), [None; 4]);
    let states = async |app: &TestApp| {
        let runs = app.sweep("two").await.runs.into_iter();
        runs.map(|run| (run.state, run.attempt)).collect::<Vec<_>>()
    };
    assert_eq!(states(&app).await[2..], [(RunState::Queued, 0); 4], "nor is it trained");
    deletion.rollback().await.unwrap();

    let expire = "update leader set expires_at = now() - interval '1 second'";
    sqlx::query(expire).execute(&db).await.unwrap();
    tokio::join!(app.settle(), other.settle());
    sqlx::query(expire).execute(&db).await.unwrap();
    tokio::join!(other.settle(), app.settle());
    assert_eq!(states(&app).await[2..], [(RunState::Done, 0); 4]);
    let links = "select count(*) from run_event where event = 'reused'";
    let links: i64 = sqlx::query_scalar(links).fetch_one(&db).await.unwrap();
    assert_eq!(links, 4);

    // a deletion that is through leaves nothing to link to
    assert!(delete(&app, "two").await.unwrap().is_deleted);
    sqlx::query("update sweep set is_deleting = true where name = 'one'")
        .execute(&db)
        .await
        .unwrap();
    sqlx::query(expire).execute(&db).await.unwrap();
    app.settle().await;
    assert_eq!(app.get("/sweeps/one").await.0, StatusCode::NOT_FOUND);
    let third = prepared(&mut app, "three", &reusing("three")).await;
    let trained = third.runs.iter().filter(|run| run.state == RunState::Leased).count();
    assert_eq!(trained, 4);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_linked_run_is_extended_from_where_it_was_trained(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    prepared(&mut app, "one", &sweep("one")).await;
    train_all(&mut app, "one", &[]).await;
    prepared(&mut app, "two", &reusing("two")).await;
    let (one, two) = (app.row("one", 3).await.run_id, app.row("two", 3).await.run_id);
    let asked = ExtendRequest { tokens: "2x".to_owned(), decay: None };
    let (status, answer) = app.post(&format!("/runs/{two}/extend"), &asked).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    app.settle().await;
    let number = u32::try_from(answer["number"].as_u64().unwrap()).unwrap();
    let start = app.worker("two", number).await.start(&[]).await.unwrap();
    assert_eq!(start.extends.unwrap().path, layout::checkpoint(one, 1, 13));
    assert_eq!(app.run("two", number).await.extends.unwrap().number, 3);
}

/// A sweep of one run that begins as another, which has this name.
fn begun(name: &str, first: &str) -> String {
    let base = format!(
        "first:\n  {first}:\n    model: {{preset: llama-300k}}\n    \
         data: {{sources: {{general: {{path: general.jsonl}}}}}}\n    \
         train: {{tokens: 4k, context: 64, batch: 256, lr: {{peak: 3e-3, warmup: 2 steps}}}}\nbase:"
    );
    let file = reusing(name).replacen("base:", &base, 1);
    let model = format!("base:\n  model: {{run: {first}}}");
    file.replacen("base:\n  model: {preset: llama-300k}", &model, 1)
}

/// A checkpoint holds the hash of its spec, in which that name stands.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_extension_that_its_worker_would_refuse_is_refused(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    prepared(&mut app, "one", &begun("one", "start")).await;
    train_all(&mut app, "one", &[]).await;
    let view = prepared(&mut app, "two", &begun("two", "begin")).await;
    let run = view.runs.iter().find(|run| run.is_baseline).unwrap();
    let original = run.reused.clone().unwrap();
    let asked = ExtendRequest { tokens: "2x".to_owned(), decay: None };
    let (status, answer) = app.post(&format!("/runs/{}/extend", run.run_id), &asked).await;
    let told = answer["error"].as_str().unwrap();
    assert!(
        status == StatusCode::CONFLICT && told.contains(&format!("extend {original}")),
        "{told}"
    );
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_begins_as_a_linked_run_begins_as_what_was_trained(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    prepared(&mut app, "one", &begun("one", "start")).await;
    train_all(&mut app, "one", &[]).await;
    let more = begun("two", "start").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 1e-2]");
    let view = prepared(&mut app, "two", &more).await;
    let base = |view: &assay_api::view::SweepView| {
        view.runs.iter().find(|run| run.label == "start").unwrap().run_id
    };
    let new = view.runs.iter().find(|run| run.state == RunState::Leased).unwrap();
    let start = app.worker("two", new.number).await.start(&[]).await.unwrap();
    let one = app.sweep("one").await;
    assert_eq!(start.base, Some(format!("result/{}", base(&one))));
    let key = start.base_key.unwrap();
    assert!(key.starts_with("result-2 "), "{key}");
}

/// Streams tell of no points that were reported long ago: a page is told to load them.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_open_page_begins_anew_when_its_runs_are_linked(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 8).await;
    app.apply(&sweep("one")).await.unwrap();
    finish(&mut app, "one").await;
    app.apply(&reusing("two")).await.unwrap();
    app.settle().await;
    let cursor: i64 = app.sweep("two").await.cursor.parse().unwrap();
    prepared(&mut app, "two", &reusing("two")).await;
    let rewritten: i64 = sqlx::query_scalar(
        "select max(rewritten) from run join sweep using (sweep_id) where name = 'two'",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert!(cursor <= rewritten, "{cursor} {rewritten}");
}
