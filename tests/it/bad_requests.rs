//! What no client should send: refused with a [`Problem`] that says why, never with a fault of the
//! controller's own, and nothing of it is stored.

use assay_api::view::{Problem, SeriesQuery};
use assay_api::worker::limits;
use assay_api::worker::{Finish, Progress, Report};
use assay_tests::{TestApp, TestWorker, sweep};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// The kind of a refusal, whose body has to be a problem with a sentence.
fn kind(what: &str, (status, body): (StatusCode, Value)) -> (u16, String) {
    assert!(status.is_client_error(), "{what}: {status} {body}");
    let problem: Problem =
        serde_json::from_value(body).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!problem.error.is_empty(), "{what}");
    (status.as_u16(), problem.kind)
}

async fn raw(
    app: &TestApp,
    method: &str,
    path: &str,
    kind: &str,
    body: &str,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn whatever_cannot_be_read_is_a_problem_in_json(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    app.apply(&sweep("s")).await.unwrap();
    let run = app.row("s", 1).await.run_id.to_string();
    let json = "application/json";
    let cases = [
        ("GET", "/api", "", "", 404, "not_found"),
        ("GET", "/api/v1/nothing", "", "", 404, "not_found"),
        ("GET", "/api/v2/sweeps", "", "", 404, "not_found"),
        ("DELETE", "/api/v1/pools", "", "", 405, "malformed"),
        ("GET", "/api/v1/sweeps/apply/x", "", "", 404, "not_found"),
        ("GET", "/api/v1/sweeps/a%00b", "", "", 404, "not_found"),
        ("GET", "/api/v1/sweeps/%ff", "", "", 404, "not_found"),
        ("GET", "/api/v1/sweeps/%F0%9F%98%80", "", "", 404, "not_found"),
        ("GET", "/api/v1/sweeps/a%00b/stream", "", "", 404, "not_found"),
        ("POST", "/api/v1/sweeps/a%2Fb/cancel", "", "", 404, "not_found"),
        ("POST", "/api/v1/sweeps/a/pause?nwo=true", "", "", 422, "invalid"),
        ("DELETE", "/api/v1/sweeps/a?cancle=true", "", "", 422, "invalid"),
        ("GET", "/api/v1/runs/17", "", "", 404, "not_found"),
        ("GET", "/api/v1/runs/00000000-0000-0000-0000-000000000000", "", "", 404, "not_found"),
        ("GET", "/api/v1/runs/RUN/logs?after=x", "", "", 422, "invalid"),
        ("GET", "/api/v1/runs/RUN/logs?limit=0", "", "", 422, "limit"),
        ("GET", "/api/v1/runs/RUN/logs?limit=5001", "", "", 422, "limit"),
        ("GET", "/api/v1/runs/RUN/logs?lines=5", "", "", 422, "invalid"),
        ("POST", "/api/v1/sweeps/plan", "text/plain", "{}", 415, "malformed"),
        ("POST", "/api/v1/sweeps/plan", "", "{}", 415, "malformed"),
        ("POST", "/api/v1/sweeps/plan", json, "{", 400, "malformed"),
        ("POST", "/api/v1/sweeps/plan", json, "", 400, "malformed"),
        ("POST", "/api/v1/sweeps/plan", json, "[]", 422, "invalid"),
        ("POST", "/api/v1/sweeps/plan", json, "{\"file\": 1}", 422, "invalid"),
        ("POST", "/api/v1/sweeps/plan", json, "{\"file\": \"\", \"prun\": true}", 422, "invalid"),
        (
            "POST",
            "/api/v1/sweeps/plan",
            json,
            "{\"file\": \"\", \"folder\": \"here\"}",
            422,
            "invalid",
        ),
        (
            "POST",
            "/api/v1/sweeps/apply",
            json,
            "{\"file\": \"\", \"folder\": \"/\\u0000\"}",
            422,
            "invalid",
        ),
        ("POST", "/api/v1/sweeps/apply", json, "{\"file\": \"a: \\u0000\"}", 422, "invalid"),
        ("POST", "/api/v1/sweeps/apply", json, "{\"file\": \"\\ud800\"}", 400, "malformed"),
        (
            "POST",
            "/api/v1/series/query",
            json,
            "{\"runs\": [\"x\"], \"names\": [], \"buckets\": 2}",
            422,
            "invalid",
        ),
        (
            "POST",
            "/api/v1/series/query",
            json,
            "{\"runs\": [], \"names\": [\"\\u0000\"], \"buckets\": 2}",
            422,
            "invalid",
        ),
        (
            "POST",
            "/api/v1/series/query",
            json,
            "{\"runs\": [], \"names\": [], \"buckets\": 1e99}",
            422,
            "invalid",
        ),
        (
            "POST",
            "/api/v1/series/query",
            json,
            "{\"runs\": [], \"names\": [], \"buckets\": -1}",
            422,
            "invalid",
        ),
        ("POST", "/api/v1/worker/start", json, "{}", 401, "unauthorized"),
    ];
    for (method, path, kind_sent, body, status, expected) in cases {
        let path = &path.replace("RUN", &run);
        let what = format!("{method} {path} {body}");
        let found = kind(&what, raw(&app, method, path, kind_sent, body).await);
        assert_eq!(found, (status, expected.to_owned()), "{what}");
    }
    // steps beyond what a database counts are just far away
    let far = json!({ "runs": [], "names": ["a"], "from": u64::MAX, "to": 0, "buckets": 2 });
    assert_eq!(app.post("/series/query", &far).await.0, StatusCode::OK);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_request_over_a_limit_is_told_the_limit(db: PgPool) {
    let app = TestApp::new(db.clone(), 2).await;
    let query = |runs: usize, names: usize, buckets| SeriesQuery {
        runs: (0..runs).map(|_| assay_api::RunId(Uuid::nil())).collect(),
        names: (0..names).map(|i| format!("n{i}")).collect(),
        from: None,
        to: None,
        buckets,
    };
    let cases =
        [(1_001, 1, 2, "1000"), (1, 101, 2, "100"), (1_000, 6, 2, "5000"), (1, 1, 1_001, "1000")];
    for (runs, names, buckets, limit) in cases {
        let (status, body) = app.post("/series/query", &query(runs, names, buckets)).await;
        assert_eq!(kind(limit, (status, body.clone())), (422, "limit".to_owned()));
        assert!(body["error"].as_str().unwrap().contains(limit), "{body}");
    }
    let large = app.request(&"x".repeat(9 << 20));
    let (status, body) = app.post("/sweeps/plan", &large).await;
    assert_eq!(kind("a large file", (status, body.clone())), (413, "too_large".to_owned()));
    assert!(body["error"].as_str().unwrap().contains("8388608"), "{body}");

    app.apply(&sweep("s")).await.unwrap();
    let open = app.app.streams.clone().acquire_many_owned(100).await.unwrap();
    let refused = app.get("/sweeps/s/stream").await;
    assert_eq!(kind("one stream more", refused), (429, "busy".to_owned()));
    drop(open);

    sqlx::query(
        "insert into sweep (sweep_id, project_id, name, file, folder, axes, pool, resources)
         select gen_random_uuid(), project_id, 'n' || i, '', '', '[]', 'local', '{}'
         from project, generate_series(1, 9999) as n (i)",
    )
    .execute(&db)
    .await
    .unwrap();
    app.apply(&sweep("s")).await.expect("it is there already");
    let (status, text) = app.apply(&sweep("one-more")).await.unwrap_err();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text.contains("10000 sweeps"), "{text}");
}

/// Sums of absurd numbers end a debug build where they overflow, and panics end the controller.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn absurd_amounts_are_planned_or_refused_and_never_overflow(db: PgPool) {
    let app = TestApp::new(db, 2).await;
    let seeds: Vec<String> = (1..=3_000).map(|seed| seed.to_string()).collect();
    let absurd = sweep("absurd")
        .replace("tokens: 4k", "tokens: 9000T")
        .replace("lr: [1e-3, 3e-3]", &format!("seed: [{}]", seeds.join(", ")))
        .replace("axes:", "limits: {epochs: 1e300}\naxes:");
    let (status, body) = app.post("/sweeps/plan", &app.request(&absurd)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["tokens"].as_u64(), Some(u64::MAX));
    let refused =
        app.apply(&sweep("p").replace("axes:", "limits: {parallel: 3000000000}\naxes:")).await;
    assert_eq!(refused.unwrap_err().0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_message_of_a_worker_over_a_limit_stores_nothing(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 4).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    let worker = app.worker("s", 1).await;
    for (attempt, step) in [(0, u64::MAX), (u32::MAX, 1)] {
        let refused = worker.start(&[(attempt, step)]).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.1);
    }
    worker.start(&[]).await.unwrap();

    let good = TestWorker::new(&app, worker.key).points("train/loss", &[(1, 1.0), (2, 2.0)]);
    let with = |change: &dyn Fn(&mut Report)| {
        let mut report = good.clone();
        change(&mut report);
        report
    };
    let progress =
        |step, phase: &str| Some(Progress { step, steps: 1, tokens: 1, phase: phase.to_owned() });
    let bad = [
        with(&|report| report.seq = 0),
        with(&|report| report.seq = u64::MAX),
        with(&|report| report.seq = 1 << 63),
        with(&|report| report.progress = progress(u64::MAX, "training")),
        with(&|report| report.progress = progress(1, "tra\0ning")),
        with(&|report| report.metrics[0].steps = vec![2, 1]),
        with(&|report| report.metrics[0].steps = vec![1, u64::MAX]),
        with(&|report| report.metrics[0].times = vec![1, i64::MIN]),
        with(&|report| report.metrics[0].values.truncate(1)),
        with(&|report| report.metrics[0].name = "a\0".to_owned()),
        with(&|report| report.metrics[0].name = "n".repeat(limits::NAME_BYTES_MAX + 1)),
        with(&|report| report.metrics.push(report.metrics[0].clone())),
    ];
    for report in bad {
        let (status, text) = worker.send(None, vec![report.clone()]).await.unwrap_err();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}: {report:?}");
    }
    let many = vec![good.clone(); limits::REPORTS_MAX + 1];
    let (_, text) = worker.send(None, many).await.unwrap_err();
    assert!(text.contains("the limit is 1000"), "{text}");
    let refused = worker.send(Some(u32::MAX), vec![good.clone()]).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);

    // one series more than a run may have
    sqlx::query("insert into series (run_id, name) select $1, 'n' || i from generate_series(1, 5000) as n (i)")
        .bind(worker.key.run.0)
        .execute(&db)
        .await
        .unwrap();
    let (_, text) = worker.send(None, vec![good]).await.unwrap_err();
    assert!(text.contains("the limit is 5000"), "{text}");

    for finish in [
        Finish::Diverged { step: u64::MAX, reason: "x".to_owned() },
        Finish::Diverged { step: 1, reason: "a\0".to_owned() },
        Finish::Error {
            step: 1,
            message: "x".repeat(limits::REASON_BYTES_MAX + 1),
            is_final: true,
        },
    ] {
        let refused = worker.finish(finish).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.1);
    }
    let stored: (i64, i64) =
        sqlx::query_as("select (select count(*) from chunk), (select count(*) from result)")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(stored, (0, 0));
    assert_eq!(app.row("s", 1).await.step, 0);
}
