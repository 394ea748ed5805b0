//! What holds the run that another is linked to, and what stands on the linked one.

use assay_api::view::{DeletionView, ExtendRequest, RunState};
use assay_api::worker::layout;
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use sqlx::PgPool;

use super::{finish, links, prepared, reusing, train_all};

async fn delete(app: &TestApp, name: &str) -> Result<DeletionView, (StatusCode, String)> {
    let path = format!("/api/v1/sweeps/{name}");
    let request = Request::builder().method(Method::DELETE).uri(path).body(Body::empty());
    TestApp::read(app.send(request.unwrap()).await)
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
    let mut deletion = app.app.store.begin().await.unwrap();
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
