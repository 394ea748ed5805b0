//! Projects: names, roles and slots of one are nothing to another.

use assay_api::view::{
    AuditPage, ProjectView, QuotaView, Role, SeriesAnswer, SessionView, SweepSummary, SweepView,
    TokenRequest, TokenSecret, TokenView, WebhookEvent, WebhookRequest,
};
use assay_controller::access::{self, Access};
use assay_controller::http::Error;
use assay_controller::store::project;
use assay_controller::{apply, webhook};
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::PgPool;

/// A controller with a project `nlp` beside the default one.
async fn with_nlp(db: PgPool, slots: u32) -> TestApp {
    let app = TestApp::new(db, slots).await;
    let made = app.post("/projects", &json!({"name": "nlp"})).await;
    assert_eq!(made.0, StatusCode::CREATED);
    app
}

/// A token with a role in one project, or in all.
async fn token(app: &TestApp, name: &str, role: Role, place: Option<&str>) -> String {
    let db = &app.app.store.db;
    let project = match place {
        Some(place) => Some(project::find(db, place).await.unwrap().expect("it was made")),
        None => None,
    };
    let asked = TokenRequest { name: name.to_owned(), role, expires_in_s: None };
    access::create(db, project.as_ref(), &asked, "the test").await.unwrap().secret
}

fn serving(app: TestApp) -> TestApp {
    app.serving(Access { needs_login: true, url: None })
}

async fn ask(
    app: &TestApp,
    who: &str,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> (StatusCode, serde_json::Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("host", "here:1")
        .header("authorization", format!("Bearer {who}"))
        .header("content-type", "application/json");
    app.send(request.body(serde_json::to_string(body).unwrap().into()).unwrap()).await
}

async fn look<T: DeserializeOwned>(
    app: &TestApp,
    who: &str,
    path: &str,
) -> Result<T, (StatusCode, String)> {
    TestApp::read(ask(app, who, Method::GET, path, &()).await)
}

async fn names(app: &TestApp, path: &str) -> Vec<String> {
    let list: Vec<SweepSummary> = TestApp::read(app.get(path).await).unwrap();
    list.into_iter().map(|sweep| sweep.name).collect()
}

async fn view(app: &TestApp, path: &str) -> SweepView {
    TestApp::read(app.get(path).await).unwrap()
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_name_is_of_one_project_and_its_runs_are_found_in_no_other(db: PgPool) {
    let mut app = with_nlp(db, 4).await;
    app.apply(&sweep("s")).await.unwrap();
    let apply = async |name: &str, project: &str| {
        let path = format!("/sweeps/apply?project={project}");
        app.post(&path, &app.request(&sweep(name))).await.0
    };
    assert_eq!(apply("s", "nlp").await, StatusCode::OK);
    assert_eq!(apply("t", "nlp").await, StatusCode::OK);
    assert_eq!(apply("t", "vision").await, StatusCode::NOT_FOUND);
    assert_eq!(names(&app, "/sweeps").await, ["s"]);
    assert_eq!(names(&app, "/sweeps?project=nlp").await, ["t", "s"]);

    let (ours, theirs) = (view(&app, "/sweeps/s").await, view(&app, "/sweeps/s?project=nlp").await);
    assert_eq!(
        (ours.summary.project.as_str(), theirs.summary.project.as_str()),
        ("default", "nlp")
    );
    assert_ne!(ours.summary.sweep_id, theirs.summary.sweep_id);
    assert_eq!(app.get("/sweeps/t").await.0, StatusCode::NOT_FOUND);
    let (status, text) = app.get("/sweeps/u?project=nlp").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(text["error"], "no sweep `u` in project `nlp`: `ctl sweep ls` lists them");

    app.settle().await;
    app.succeed("s", 1).await;
    let run = ours.runs[0].run_id;
    assert_eq!(app.get(&format!("/runs/{run}")).await.0, StatusCode::OK);
    assert_eq!(app.get(&format!("/runs/{run}?project=default")).await.0, StatusCode::OK);
    assert_eq!(app.get(&format!("/runs/{run}?project=nlp")).await.0, StatusCode::NOT_FOUND);
    let cancel = async |path: &str| app.post(path, &()).await.0;
    assert_eq!(cancel("/sweeps/t/cancel").await, StatusCode::NOT_FOUND);
    assert_eq!(cancel("/sweeps/t/cancel?project=nlp").await, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(view(&app, "/sweeps/s").await.summary.counts.cancelled, 0);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn points_are_drawn_for_those_alone_who_may_see_their_runs(db: PgPool) {
    let mut app = with_nlp(db, 8).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    app.succeed("s", 1).await;
    app.succeed("s", 2).await;
    let mut worker = app.worker("s", 3).await;
    worker.start(&[]).await.unwrap();
    let report = worker.points("train/loss", &[(1, 3.0)]);
    worker.send(None, vec![report]).await.unwrap();
    let run = app.row("s", 3).await.run_id;
    let nlp = token(&app, "nlp", Role::Admin, Some("nlp")).await;
    let both = token(&app, "both", Role::Viewer, None).await;
    let app = serving(app);
    let query = json!({"runs": [run], "names": ["train/loss"], "buckets": 10});
    let series = async |who: &str, path: &str| {
        let answer = ask(&app, who, Method::POST, path, &query).await;
        TestApp::read::<SeriesAnswer>(answer).unwrap().series.len()
    };
    assert_eq!(series(&both, "/series/query").await, 1);
    assert_eq!(series(&both, "/series/query?project=nlp").await, 0);
    assert_eq!(series(&nlp, "/series/query").await, 0);
    for path in [format!("/runs/{run}"), format!("/runs/{run}/logs")] {
        let (status, text) = look::<serde_json::Value>(&app, &nlp, &path).await.unwrap_err();
        assert_eq!((status, text.as_str()), (StatusCode::NOT_FOUND, "no such run"));
    }
    let cancel = ask(&app, &nlp, Method::POST, &format!("/runs/{run}/cancel"), &()).await;
    assert_eq!(cancel.0, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_token_may_do_in_its_project_what_its_role_says_and_nothing_elsewhere(db: PgPool) {
    let app = with_nlp(db, 1).await;
    app.apply(&sweep("s")).await.unwrap();
    let editor = token(&app, "editor", Role::Editor, Some("nlp")).await;
    let viewer = token(&app, "viewer", Role::Viewer, None).await;
    let app = serving(app);

    // its project is meant where none is named
    assert_eq!(look::<Vec<SweepSummary>>(&app, &editor, "/sweeps").await.unwrap().len(), 0);
    let file = app.request(&sweep("mine"));
    let applied = ask(&app, &editor, Method::POST, "/sweeps/apply", &file).await;
    assert_eq!(applied.0, StatusCode::OK);
    let mine = look::<Vec<SweepSummary>>(&app, &editor, "/sweeps").await.unwrap();
    assert_eq!((mine[0].name.as_str(), mine[0].project.as_str()), ("mine", "nlp"));

    for path in ["/sweeps?project=default", "/sweeps/s?project=default", "/sweeps?project=no"] {
        let (status, text) = look::<serde_json::Value>(&app, &editor, path).await.unwrap_err();
        assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
        assert!(text.ends_with("but in `nlp`"), "{text}");
    }
    let (status, text) = TestApp::read::<()>(
        ask(&app, &viewer, Method::POST, "/sweeps/mine/pause?project=nlp", &()).await,
    )
    .unwrap_err();
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(text, "viewer is a viewer in project `nlp`: this takes an editor");
    let twice = look::<serde_json::Value>(&app, &viewer, "/sweeps?project=nlp&project=default");
    assert_eq!(twice.await.unwrap_err().0, StatusCode::UNPROCESSABLE_ENTITY);

    // what is of no project, both may look at
    for who in [&editor, &viewer] {
        look::<serde_json::Value>(&app, who, "/pools").await.unwrap();
    }
    let projects = async |who: &str| {
        let list = look::<Vec<ProjectView>>(&app, who, "/projects").await.unwrap();
        list.into_iter().map(|project| (project.name, project.role)).collect::<Vec<_>>()
    };
    assert_eq!(projects(&editor).await, [("nlp".to_owned(), Role::Editor)]);
    let both = ["default", "nlp"].map(|name| (name.to_owned(), Role::Viewer));
    assert_eq!(projects(&viewer).await, both);
    let session: SessionView = look(&app, &editor, "/session").await.unwrap();
    assert_eq!((session.project.as_deref(), session.projects.len()), (Some("nlp"), 1));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_admin_of_a_project_gives_roles_in_it_and_sees_who_did_what_there(db: PgPool) {
    let app = with_nlp(db, 1).await;
    let all = token(&app, "all", Role::Admin, None).await;
    let admin = token(&app, "admin", Role::Admin, Some("nlp")).await;
    let app = serving(app);
    let create = async |who: &str, path: &str, name: &str| {
        let asked = json!({"name": name, "role": "admin"});
        TestApp::read::<TokenSecret>(ask(&app, who, Method::POST, path, &asked).await)
    };
    let made = create(&admin, "/tokens", "theirs").await.unwrap();
    assert_eq!(made.token.project.as_deref(), Some("nlp"), "no more than they have");
    assert_eq!(create(&all, "/tokens", "mine").await.unwrap().token.project, None);
    let limited = create(&all, "/tokens?project=nlp", "limited").await.unwrap();
    assert_eq!(limited.token.project.as_deref(), Some("nlp"));
    let refused = create(&admin, "/tokens?project=default", "more").await.unwrap_err();
    assert_eq!(refused.0, StatusCode::FORBIDDEN);

    let tokens = async |who: &str, path: &str| {
        let list = look::<Vec<TokenView>>(&app, who, path).await.unwrap();
        list.into_iter().map(|token| token.name).collect::<Vec<_>>()
    };
    assert_eq!(tokens(&admin, "/tokens").await, ["admin", "limited", "theirs"]);
    assert_eq!(tokens(&all, "/tokens?project=nlp").await, ["admin", "limited", "theirs"]);
    assert_eq!(tokens(&all, "/tokens").await, ["admin", "all", "limited", "mine", "theirs"]);
    let revoke = async |who: &str, name: &str| {
        ask(&app, who, Method::DELETE, &format!("/tokens/{name}"), &()).await.0
    };
    assert_eq!(revoke(&admin, "mine").await, StatusCode::NOT_FOUND);
    assert_eq!(revoke(&admin, "theirs").await, StatusCode::NO_CONTENT);
    let rotate =
        ask(&app, &admin, Method::POST, "/tokens/all/rotate", &json!({"grace_s": 0})).await;
    assert_eq!(rotate.0, StatusCode::NOT_FOUND);

    for (method, path) in [
        (Method::POST, "/projects"),
        (Method::DELETE, "/projects/nlp"),
        (Method::PUT, "/projects/nlp/quotas/local"),
    ] {
        let (status, body) =
            ask(&app, &admin, method, path, &json!({"name": "x", "slots": 9})).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        let why = "admin has a role in `nlp` alone: this takes an admin of all projects";
        assert_eq!(body["error"], why);
    }
    let audit = async |who: &str| {
        let page: AuditPage = look(&app, who, "/audit").await.unwrap();
        let row = page.rows.into_iter().rev();
        row.map(|row| (row.actor, row.action, row.project)).collect::<Vec<_>>()
    };
    let row = |who: &str, what: &str| (who.to_owned(), what.to_owned(), Some("nlp".to_owned()));
    let theirs = [
        row("admin", "create_token"),
        row("all", "create_token"),
        row("admin", "revoke_token"),
        row("admin", "revoke_token"),
        row("admin", "rotate_token"),
    ];
    assert_eq!(audit(&admin).await, theirs);
    assert_eq!(audit(&all).await.len(), theirs.len() + 2, "and what was done in none");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_project_is_deleted_once_it_is_empty_with_its_tokens(db: PgPool) {
    let app = with_nlp(db, 1).await;
    let editor = token(&app, "editor", Role::Editor, Some("nlp")).await;
    for (name, status) in [
        ("nlp", StatusCode::CONFLICT),
        ("a b", StatusCode::UNPROCESSABLE_ENTITY),
        ("", StatusCode::UNPROCESSABLE_ENTITY),
        ("a\u{0}b", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(app.post("/projects", &json!({"name": name})).await.0, status, "{name:?}");
    }
    let delete = async |name: &str| {
        let request = Request::delete(format!("/api/v1/projects/{name}")).body(Body::empty());
        TestApp::read::<serde_json::Value>(app.send(request.unwrap()).await)
    };
    let file = app.request(&sweep("s"));
    assert_eq!(app.post("/sweeps/apply?project=nlp", &file).await.0, StatusCode::OK);
    let night = sweep("night").replacen("base:", "schedule: 0 0 29 2 *\nbase:", 1);
    let night = app.post("/sweeps/apply?project=nlp", &app.request(&night)).await;
    assert_eq!(night.0, StatusCode::OK, "{}", night.1);
    let webhook = WebhookRequest {
        name: "chat".to_owned(),
        url: "https://example.com/".to_owned(),
        events: vec![WebhookEvent::SweepFinished],
    };
    assert_eq!(app.post("/webhooks?project=nlp", &webhook).await.0, StatusCode::CREATED);
    assert_eq!(app.get("/webhooks").await.1, json!([]), "of another project");
    assert_eq!(app.get("/schedules").await.1, json!([]), "of another project");

    let (status, text) = delete("nlp").await.unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    let held = "project `nlp` has 1 sweep, 1 schedule, 1 webhook: delete them first";
    assert!(text.starts_with(held), "{text}");
    assert_eq!(delete("default").await.unwrap_err().0, StatusCode::CONFLICT);
    assert_eq!(delete("no").await.unwrap_err().0, StatusCode::NOT_FOUND);

    for path in ["/webhooks/chat", "/schedules/night", "/sweeps/s?cancel=true"] {
        let first = if path.contains('?') { '&' } else { '?' };
        let path = format!("/api/v1{path}{first}project=nlp");
        let request = Request::delete(path).body(Body::empty()).unwrap();
        assert!(app.send(request).await.0.is_success());
    }
    let mut app = app;
    app.settle().await;
    let request = Request::delete("/api/v1/projects/nlp").body(Body::empty()).unwrap();
    assert_eq!(app.send(request).await.0, StatusCode::NO_CONTENT);
    let app = serving(app);
    let (status, text) = look::<serde_json::Value>(&app, &editor, "/sweeps").await.unwrap_err();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
}

/// Goal: what comes too late is told so, and is no fault. Method: the project is found, and gone before what is
/// asked for is stored.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_added_to_a_project_that_was_just_deleted_is_refused(db: PgPool) {
    let app = with_nlp(db.clone(), 1).await;
    let nlp = project::find(&db, "nlp").await.unwrap().unwrap();
    project::delete(&db, nlp.project_id).await.unwrap();
    let asked = TokenRequest { name: "late".to_owned(), role: Role::Viewer, expires_in_s: None };
    let webhook = WebhookRequest {
        name: "late".to_owned(),
        url: "https://example.com/".to_owned(),
        events: vec![WebhookEvent::SweepFinished],
    };
    let file = app.request(&sweep("late"));
    let night = app.request(&sweep("late").replacen("base:", "schedule: 0 0 29 2 *\nbase:", 1));
    let refusals = [
        access::create(&db, Some(&nlp), &asked, "the test").await.map(drop),
        webhook::add(&app.app, &nlp, &webhook, "the test").await.map(drop),
        apply::apply(&app.app, &nlp, &file, "the test").await.map(drop),
        apply::apply(&app.app, &nlp, &night, "the test").await.map(drop),
    ];
    for refused in refusals {
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_quota_holds_a_project_back_and_lets_it_go_when_it_is_raised(db: PgPool) {
    let mut app = with_nlp(db, 8).await;
    let file = app.request(&sweep("s"));
    assert_eq!(app.post("/sweeps/apply?project=nlp", &file).await.0, StatusCode::OK);
    let put = async |app: &TestApp, path: &str, slots: u32| {
        let request =
            Request::put(format!("/api/v1{path}")).header("content-type", "application/json");
        let body = json!({"slots": slots}).to_string();
        app.send(request.body(body.into()).unwrap()).await.0
    };
    let quota = "/projects/nlp/quotas/local";
    assert_eq!(put(&app, quota, 1).await, StatusCode::NO_CONTENT);
    assert_eq!(put(&app, "/projects/no/quotas/local", 1).await, StatusCode::NOT_FOUND);
    assert_eq!(put(&app, "/projects/nlp/quotas/no", 1).await, StatusCode::NOT_FOUND);
    assert_eq!(put(&app, quota, u32::MAX).await, StatusCode::UNPROCESSABLE_ENTITY);

    app.settle().await;
    let rows = view(&app, "/sweeps/s?project=nlp").await.runs;
    let why = "project nlp uses 1 of the 1 slot of pool local that it may, and it takes 1";
    assert_eq!((rows[0].waiting.as_deref(), rows[1].waiting.as_deref()), (None, Some(why)));
    let quotas = async |app: &TestApp| {
        let list: Vec<ProjectView> = TestApp::read(app.get("/projects").await).unwrap();
        list.into_iter().find(|project| project.name == "nlp").unwrap().quotas
    };
    let used = QuotaView { pool: "local".to_owned(), slots: 1, used: 1 };
    assert_eq!(quotas(&app).await, [used]);

    // another project's runs are not held back
    app.apply(&sweep("others")).await.unwrap();
    app.settle().await;
    assert_eq!(app.sweep("others").await.summary.counts.leased, 2);

    let delete = Request::delete(format!("/api/v1{quota}")).body(Body::empty()).unwrap();
    assert_eq!(app.send(delete).await.0, StatusCode::NO_CONTENT);
    app.settle().await;
    assert_eq!(quotas(&app).await, []);
    assert_eq!(view(&app, "/sweeps/s?project=nlp").await.summary.counts.leased, 2);
}
