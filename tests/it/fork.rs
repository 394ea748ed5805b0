//! A new sweep from a stored one: its file under another name, and its data.

use assay_api::view::{ApplyAnswer, ForkRequest, Outcome};
use assay_api::worker::Finish;
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

async fn fork(
    app: &TestApp,
    name: &str,
    file: Option<String>,
) -> Result<ApplyAnswer, (StatusCode, String)> {
    let folder = file.as_ref().map(|_| app.corpus.folder().to_owned());
    let asked = ForkRequest { name: name.to_owned(), file, folder };
    TestApp::read(app.post("/sweeps/one/fork", &asked).await)
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_fork_has_the_points_of_its_file_and_a_name_of_its_own(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    app.apply(&sweep("one")).await.unwrap();
    let answer = fork(&app, "two", None).await.unwrap();
    assert_eq!((answer.plan.sweep.as_str(), answer.plan.added), ("two", 6));
    let (one, two) = (app.sweep("one").await, app.sweep("two").await);
    assert_eq!(two.file, sweep("two"));
    assert_eq!(two.folder, one.folder);
    for (number, run) in (1..).zip(&one.runs) {
        let (mine, other) = (app.run("one", number).await, app.run("two", number).await);
        assert_eq!((mine.point, &run.label), (other.point, &other.row.label));
    }

    let changed = sweep("whatever").replace("lr: [1e-3, 3e-3]", "lr: [1e-3, 3e-3, 1e-2]");
    assert_eq!(fork(&app, "three", Some(changed)).await.unwrap().plan.added, 8);

    let (status, error) = fork(&app, "two", None).await.unwrap_err();
    assert!(status == StatusCode::CONFLICT && error.contains("`two` already"), "{error}");
    let (status, _) = fork(&app, "two words", None).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(app.get("/sweeps").await.1.as_array().unwrap().len(), 3, "nothing else was stored");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_fork_stays_with_the_data_of_what_it_was_made_from(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("one")).await.unwrap();
    app.settle().await;
    app.succeed("one", 1).await;
    app.post("/sweeps/one/cancel", &()).await;
    for key in app.pool.attempts() {
        app.pool.end(key, Exit::Signal(9));
    }
    app.settle().await;
    fork(&app, "two", None).await.unwrap();
    app.settle().await;

    let worker = app.worker("two", 1).await;
    worker.start(&[]).await.unwrap();
    let finish = Finish::Succeeded {
        step: 0,
        path: "datasets/x".to_owned(),
        fingerprint: "another file".to_owned(),
        tokens: 4096,
    };
    worker.finish(finish).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
    let run = app.row("two", 1).await;
    assert_eq!(run.outcome, Some(Outcome::Failed));
    assert!(run.reason.unwrap().contains("the source has changed"));
}
