//! What a linked run shows.

use assay_api::view::{RunKind, RunState, SeriesQuery};
use assay_api::worker::layout;
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use sqlx::PgPool;

use super::{finish, links, prepared, reusing, train_all};

const TASK: &str = "  eval: {tasks: {color: {path: color.yaml}}}\naxes:";

/// With a task under this name.
fn asking(file: &str, name: &str) -> String {
    file.replacen("axes:", &TASK.replace("color:", &format!("{name}:")), 1)
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
