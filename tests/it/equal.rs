//! Runs compared after the same number of tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_api::view::{EqualTokens, RunKind};
use assay_controller::metrics;
use assay_controller::pool::AttemptKey;
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use axum::http::StatusCode;
use serde_json::json;
use sqlx::PgPool;

const BITS: &str = "heldout/general/bits_per_byte";
/// Of the test worker: tokens of a step.
const TOKENS: u64 = 256;

/// Both datasets are there, and all four points of the sweep are leased.
async fn leased(db: PgPool) -> (TestApp, Vec<u32>) {
    let mut app = TestApp::new(db, 4).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    let runs = app.sweep("s").await.runs;
    let of_kind = |kind| runs.iter().filter(move |run| run.kind == kind).map(|run| run.number);
    for number in of_kind(RunKind::Prepare) {
        app.succeed("s", number).await;
    }
    let trained = of_kind(RunKind::Train).collect();
    (app, trained)
}

/// A worker begins, and reports these scores in one report each.
async fn scored(app: &TestApp, run: u32, scores: &[(u64, f64)]) {
    let mut worker = app.worker("s", run).await;
    worker.start(&[]).await.unwrap();
    for score in scores {
        let report = worker.points(BITS, &[*score]);
        worker.send(None, vec![report]).await.unwrap();
    }
}

/// The count of tokens, and by the run's number the step and the score there.
async fn equal(app: &TestApp, asked: &str) -> (Option<u64>, BTreeMap<u32, Option<(u64, f64)>>) {
    let path = format!("/sweeps/s/equal{asked}");
    let answer: EqualTokens = TestApp::read(app.get(&path).await).unwrap();
    let runs = app.sweep("s").await.runs;
    let number = |id| runs.iter().find(|run| run.run_id == id).unwrap().number;
    let each = answer.runs.iter().map(|row| {
        (number(row.run_id), row.values.get(BITS).map(|score| (score.step, score.value)))
    });
    (answer.tokens, each.collect())
}

/// Goal: a run is compared by the last score that it had at so many tokens, and only if it came so far,
/// whether its points are folded or not.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn at_equal_tokens_each_run_shows_its_last_score_until_there(db: PgPool) {
    let (app, runs) = leased(db).await;
    assert_eq!(equal(&app, "").await, (None, BTreeMap::new()), "nothing has begun");
    let [far, near, short, waiting] = runs[..] else { panic!("four points: {runs:?}") };
    scored(&app, far, &[(0, 8.0), (4, 3.0), (8, 2.0), (12, 1.0)]).await;
    scored(&app, near, &[(0, 8.0), (4, 3.5), (9, 2.5)]).await;
    scored(&app, short, &[(0, 8.0), (6, 2.75)]).await;
    app.worker("s", waiting).await.start(&[]).await.unwrap();

    let row = |number, step, value| (number, Some((step, value)));
    for folded in [false, true] {
        if folded {
            for number in [far, near, short] {
                let id = app.row("s", number).await.run_id;
                let mut tx = app.app.store.begin().await.unwrap();
                metrics::fold(&mut tx, id).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
        let all = [row(far, 4, 3.0), row(near, 4, 3.5), row(short, 6, 2.75)];
        assert_eq!(equal(&app, "").await, (Some(6 * TOKENS), BTreeMap::from(all)));
        // one token before the ninth step is over
        let asked = 9 * TOKENS - 1;
        let two = [row(far, 8, 2.0), row(near, 4, 3.5)];
        let answer = equal(&app, &format!("?tokens={asked}")).await;
        assert_eq!(answer, (Some(asked), BTreeMap::from(two)));
        let none = equal(&app, "?tokens=1000000").await;
        assert_eq!(none, (Some(1_000_000), BTreeMap::new()));
    }

    let short_id = app.row("s", short).await.run_id;
    let because = json!({"because": "the disk was failing", "author": "anna"});
    let (status, _) = app.post(&format!("/runs/{short_id}/exclude"), &because).await;
    assert!(status.is_success(), "{status}");
    let two = [row(far, 8, 2.0), row(near, 9, 2.5)];
    assert_eq!(equal(&app, "").await, (Some(9 * TOKENS), BTreeMap::from(two)), "it is left out");
}

/// Goal: what ended early leaves the others something to be compared at. Method: of two runs the shorter one is
/// cancelled, and then the longer one.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_run_that_ended_early_holds_nobody_down(db: PgPool) {
    let (mut app, runs) = leased(db).await;
    let (far, short) = (runs[0], runs[1]);
    scored(&app, far, &[(0, 8.0), (4, 3.0), (12, 1.0)]).await;
    scored(&app, short, &[(0, 8.0), (4, 3.5)]).await;
    let row = |number, step, value| (number, Some((step, value)));
    let both = (Some(4 * TOKENS), BTreeMap::from([row(far, 4, 3.0), row(short, 4, 3.5)]));
    assert_eq!(equal(&app, "").await, both);
    let mut cancel = async |number| {
        let row = app.row("s", number).await;
        app.post(&format!("/runs/{}/cancel", row.run_id), &()).await;
        app.pool.end(AttemptKey { run: row.run_id, attempt: row.attempt }, Exit::Signal(9));
        app.settle().await;
        equal(&app, "").await
    };
    assert_eq!(cancel(short).await, (Some(12 * TOKENS), BTreeMap::from([row(far, 12, 1.0)])));
    assert_eq!(cancel(far).await, both, "no other has begun");
}

/// Goal: scores that a resume took back count no more. Method: a run dies and goes on from a checkpoint
/// before its last score.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_score_that_a_resume_took_back_is_none_at_equal_tokens(db: PgPool) {
    let (mut app, runs) = leased(db.clone()).await;
    let run = runs[0];
    scored(&app, run, &[(0, 8.0), (4, 3.0), (8, 2.0), (12, 1.0)]).await;
    let key = app.worker("s", run).await.key;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    sqlx::query("update run set not_before = null").execute(&db).await.unwrap();
    app.settle().await;
    let mut worker = app.worker("s", run).await;
    worker.start(&[(1, 6)]).await.unwrap();
    let next = worker.points(BITS, &[(10, 1.5), (16, 1.25)]);
    worker.send(None, vec![next]).await.unwrap();
    metrics::keep(&app.app, Duration::from_secs(60)).await.unwrap();
    for (step, expected) in [(4, (4, 3.0)), (9, (4, 3.0)), (12, (10, 1.5)), (16, (16, 1.25))] {
        let (_, rows) = equal(&app, &format!("?tokens={}", step * TOKENS)).await;
        assert_eq!(rows[&run], Some(expected), "at step {step}");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_no_count_of_tokens_is_refused(db: PgPool) {
    let (app, _) = leased(db).await;
    let (status, _) = app.get("/sweeps/s/equal?tokens=200k").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = app.get("/sweeps/none/equal").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
