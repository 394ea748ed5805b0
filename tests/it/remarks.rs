//! What people say of runs is kept, told to open pages, and changes nothing that is trained; a
//! priority changes who goes first.

use assay_api::view::{ExcludeRequest, NoteRequest, PriorityRequest, RunState, SweepView};
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use sqlx::PgPool;

const NOTHING: &serde_json::Value = &serde_json::Value::Null;

async fn send(app: &TestApp, method: Method, path: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let (status, body) = app.send(request.body(Body::empty()).unwrap()).await;
    (status, body["error"].as_str().unwrap_or_default().to_owned())
}

fn because(because: &str) -> ExcludeRequest {
    ExcludeRequest { because: because.to_owned(), author: Some("anna".to_owned()) }
}

/// Versions of all runs: a step of any of them changes one.
async fn versions(app: &TestApp) -> i64 {
    let sum = "select sum(version)::bigint from run";
    sqlx::query_scalar(sum).fetch_one(&app.app.store.db).await.unwrap()
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_excluded_run_says_why_and_by_whom_until_it_is_included(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    app.apply(&sweep("said")).await.unwrap();
    let (before, run) = (versions(&app).await, app.row("said", 3).await.run_id);
    let path = format!("/runs/{run}/exclude");

    assert_eq!(app.post(&path, &because(" bad shard ")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(app.post(&path, &because("worse shard")).await.0, StatusCode::NO_CONTENT);
    let excluded = app.row("said", 3).await.excluded.unwrap();
    assert_eq!(
        (excluded.because.as_str(), excluded.author.as_deref()),
        ("worse shard", Some("anna"))
    );
    let others = app.sweep("said").await.runs.into_iter().filter(|run| run.excluded.is_some());
    assert_eq!(others.count(), 1);

    for (text, length) in [("", 0), ("   ", 0), ("x".repeat(1001).as_str(), 1001)] {
        let (status, body) = app.post(&path, &because(text)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(&format!("`because` has {length} characters")), "{error}");
    }
    let missing = format!("/runs/{}/exclude", uuid::Uuid::now_v7());
    assert_eq!(app.post(&missing, &because("x")).await.0, StatusCode::NOT_FOUND);

    assert_eq!(app.post(&format!("/runs/{run}/include"), NOTHING).await.0, StatusCode::NO_CONTENT);
    assert_eq!(app.row("said", 3).await.excluded, None);
    let (status, body) = app.post(&format!("/runs/{run}/include"), NOTHING).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(versions(&app).await, before, "no step was taken");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn notes_stand_in_the_order_of_their_steps_until_they_are_taken_back(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    app.apply(&sweep("noted")).await.unwrap();
    let run = app.row("noted", 3).await.run_id;
    let path = format!("/runs/{run}/notes");
    for (step, text) in [(None, "for the report"), (Some(400), "loss jumps"), (Some(20), "warm")] {
        let note = NoteRequest { step, text: text.to_owned(), author: None };
        assert_eq!(app.post(&path, &note).await.0, StatusCode::CREATED);
    }
    let notes = app.run("noted", 3).await.row.notes;
    let texts: Vec<_> = notes.iter().map(|note| (note.step, note.text.as_str())).collect();
    assert_eq!(texts, [(Some(20), "warm"), (Some(400), "loss jumps"), (None, "for the report")]);

    let elsewhere = app.row("noted", 4).await.run_id;
    let note = notes[0].note_id;
    let wrong = send(&app, Method::DELETE, &format!("/runs/{elsewhere}/notes/{note}")).await;
    assert_eq!(wrong.0, StatusCode::NOT_FOUND, "it is a note of another run");
    let gone = send(&app, Method::DELETE, &format!("{path}/{note}")).await;
    assert_eq!(gone.0, StatusCode::NO_CONTENT);
    assert_eq!(app.row("noted", 3).await.notes.len(), 2);
    let nul = NoteRequest { step: None, text: "a\0b".to_owned(), author: None };
    assert_eq!(app.post(&path, &nul).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn tags_are_words_on_runs_and_sweeps_and_are_put_once(db: PgPool) {
    let app = TestApp::new(db, 1).await;
    app.apply(&sweep("tagged")).await.unwrap();
    let run = app.row("tagged", 3).await.run_id;
    for thing in [format!("/runs/{run}"), "/sweeps/tagged".to_owned()] {
        for tag in ["paper", "keep", "keep"] {
            let (status, error) = send(&app, Method::PUT, &format!("{thing}/tags/{tag}")).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{error}");
        }
        let (status, error) = send(&app, Method::PUT, &format!("{thing}/tags/two%20words")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(error.contains("`two words` is no tag"), "{error}");
    }
    assert_eq!(app.row("tagged", 3).await.tags, ["keep", "paper"]);
    assert_eq!(app.sweep("tagged").await.summary.tags, ["keep", "paper"]);

    for number in 0..18 {
        send(&app, Method::PUT, &format!("/runs/{run}/tags/t{number}")).await;
    }
    let (status, error) = send(&app, Method::PUT, &format!("/runs/{run}/tags/over")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error.contains("fewer than 20 other tags"), "{error}");
    let again = send(&app, Method::PUT, &format!("/runs/{run}/tags/keep")).await;
    assert_eq!(again.0, StatusCode::NO_CONTENT, "what it has is no new one");

    for thing in [format!("/runs/{run}"), "/sweeps/tagged".to_owned()] {
        let path = format!("{thing}/tags/keep");
        assert_eq!(send(&app, Method::DELETE, &path).await.0, StatusCode::NO_CONTENT);
        assert_eq!(send(&app, Method::DELETE, &path).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(app.sweep("tagged").await.summary.tags, ["paper"]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_higher_priority_goes_first_and_moves_nothing_that_runs(db: PgPool) {
    let mut app = TestApp::new(db, 1).await;
    app.apply(&sweep("old")).await.unwrap();
    app.apply(&sweep("new")).await.unwrap();
    app.settle().await;
    let leased = |view: SweepView| -> Vec<u32> {
        let runs = view.runs.into_iter().filter(|run| run.state == RunState::Leased);
        runs.map(|run| run.number).collect()
    };
    assert_eq!(leased(app.sweep("old").await), [1]);

    let high = PriorityRequest { priority: 5 };
    assert_eq!(app.post("/sweeps/new/priority", &high).await.0, StatusCode::ACCEPTED);
    let second = app.row("new", 2).await.run_id;
    let higher = PriorityRequest { priority: 6 };
    let (status, _) = app.post(&format!("/runs/{second}/priority"), &higher).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(leased(app.sweep("old").await), [1], "what runs goes on");

    app.succeed("old", 1).await;
    assert_eq!(leased(app.sweep("new").await), [2], "the highest of all");
    app.succeed("new", 2).await;
    assert_eq!(leased(app.sweep("new").await), [1], "then the rest of its sweep");
    assert_eq!(app.row("new", 1).await.priority, 5);
    let nobody = format!("/runs/{}/priority", uuid::Uuid::now_v7());
    assert_eq!(app.post(&nobody, &high).await.0, StatusCode::NOT_FOUND);
}
