//! A finished run goes on from before its decay, and is the longer run, bit for bit.

use assay_api::view::{ExtendAnswer, ExtendRequest, Outcome, RunState, SweepView};
use assay_api::worker::{CheckpointSaved, Earlier, Finish, Report, layout};
use assay_scheduler::Exit;
use assay_tests::{Machine, TestApp, sweep};
use axum::http::StatusCode;
use sqlx::PgPool;

fn longer(tokens: &str) -> ExtendRequest {
    ExtendRequest { tokens: tokens.to_owned(), decay: None }
}

async fn extend(
    app: &TestApp,
    number: u32,
    tokens: &str,
) -> Result<ExtendAnswer, (StatusCode, String)> {
    let run = app.row("s", number).await.run_id;
    TestApp::read(app.post(&format!("/runs/{run}/extend"), &longer(tokens)).await)
}

/// 16 steps of 256 tokens, of which the last 3 are the decay.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn an_extension_is_a_run_of_its_own_that_begins_at_the_state_before_the_decay(db: PgPool) {
    let mut app = TestApp::new(db, 2).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    for (number, why) in [(1, "trains nothing"), (3, "the run is queued: only one that succeeded")]
    {
        let (status, error) = extend(&app, number, "2x").await.unwrap_err();
        assert!(status == StatusCode::CONFLICT && error.contains(why), "{error}");
    }
    app.succeed("s", 1).await;
    app.succeed("s", 2).await;

    let worker = app.worker("s", 3).await;
    worker.start(&[]).await.unwrap();
    let (run, key) = (worker.key.run, worker.key);
    let saved = CheckpointSaved { step: 13, path: layout::checkpoint(run, 1, 13), bytes: 1000 };
    let report = Report { seq: 1, checkpoints: vec![saved], ..Report::default() };
    worker.send(None, vec![report]).await.unwrap();
    let path = layout::checkpoint(run, 1, 16);
    let finish = Finish::Succeeded { step: 16, path, fingerprint: "f".to_owned(), tokens: 4096 };
    worker.finish(finish).await.unwrap();
    app.pool.end(key, Exit::Code(0));
    app.settle().await;

    for (tokens, status, why) in [
        ("1x", StatusCode::UNPROCESSABLE_ENTITY, "ask for more"),
        ("1000x", StatusCode::UNPROCESSABLE_ENTITY, "over `limits.epochs` = 4"),
        ("twice", StatusCode::UNPROCESSABLE_ENTITY, "found `twice`"),
    ] {
        let refused = extend(&app, 3, tokens).await.unwrap_err();
        assert!(refused.0 == status && refused.1.contains(why), "{refused:?}");
    }
    let answer = extend(&app, 3, "2x").await.unwrap();
    assert_eq!((answer.number, answer.step), (7, 13));
    assert!(answer.label.ends_with("8000 tokens, from run 3"), "{}", answer.label);
    let again = extend(&app, 3, "8k").await.unwrap_err();
    assert!(again.1.contains("s/7 ("), "{again:?}");

    let view = app.run("s", 7).await;
    assert_eq!(view.extends.unwrap().step, 13);
    let needs: Vec<u32> = view.needs.iter().map(|need| need.number).collect();
    assert_eq!(needs, [1, 2, 3]);
    assert_eq!(view.events[0].text, "goes on from run 3, for 8000 tokens in all");

    // a file that does not know it neither drops nor prunes it
    let mut request = app.request(&sweep("s"));
    request.prune = true;
    app.post("/sweeps/apply", &request).await;
    for number in [4, 5, 6] {
        app.settle().await;
        app.succeed("s", number).await;
    }
    assert_eq!(app.row("s", 7).await.state, RunState::Leased);
    let start = app.worker("s", 7).await.start(&[]).await.unwrap();
    let path = layout::checkpoint(run, 1, 13);
    assert_eq!(start.extends, Some(Earlier { path, tokens: 4000, decay_steps: 3 }));
    assert_eq!((start.base, start.datasets.len()), (None, 2));
}

fn file(name: &str, tokens: &str) -> String {
    format!(
        "
assay: v1
sweep: {name}
first:
  base:
    model: {{preset: llama-300k}}
    tokenizer: bytes
    data: {{sources: {{general: {{path: general.jsonl}}}}}}
    train: {{tokens: 4k, context: 64, batch: 256, lr: {{peak: 3e-3, warmup: 2 steps}}}}
base:
  model: {{run: base}}
  tokenizer: bytes
  data:
    heldout: {{share: 5%, tokens: 1k}}
    sources: {{general: {{path: general.jsonl}}}}
  train: {{tokens: {tokens}, context: 64, batch: 256, lr: {{peak: 1e-3, warmup: 2 steps, decay: 20%}}}}
limits: {{epochs: 10}}
"
    )
}

fn trained(view: &SweepView) -> Vec<&assay_api::view::RunRow> {
    view.runs.iter().filter(|run| run.label.starts_with("base") && run.is_baseline).collect()
}

/// Goal: an extension gives the points of a run that was asked for its tokens from the beginning.
/// Method: 40 steps, extended to 80; and 80 from the beginning; by real workers, bit for bit.
#[tokio::test(flavor = "multi_thread")]
async fn an_extended_run_gives_the_points_of_one_that_was_longer_from_the_beginning() {
    const SERIES: [&str; 4] =
        ["train/loss", "train/grad_norm", "train/lr", "heldout/general/bits_per_byte"];
    let machine = Machine::start();
    machine.apply(&file("short", "10240")).await;
    let short = machine.until_ended("short").await;
    let run = trained(&short)[0].run_id;
    let asked = ExtendRequest { tokens: "2x".to_owned(), decay: Some("20%".to_owned()) };
    let answer = machine.client.extend_run(run, &asked).await.unwrap();
    assert_eq!(answer.step, 32);
    machine.apply(&file("long", "20480")).await;
    let (short, long) = (machine.until_ended("short").await, machine.until_ended("long").await);

    let extended = short.runs.iter().find(|run| run.number == answer.number).unwrap();
    let whole = trained(&long)[0];
    assert_eq!([extended.outcome, whole.outcome], [Some(Outcome::Succeeded); 2], "{extended:?}");
    let late = |points: Vec<(String, u64, u64)>| -> Vec<_> {
        points.into_iter().filter(|(_, step, _)| 32 < *step).collect()
    };
    let points = late(machine.points(extended, &SERIES).await);
    assert!(3 * 48 < points.len(), "{}", points.len());
    assert_eq!(points, late(machine.points(whole, &SERIES).await));
    let (extended, whole) = (
        machine.client.run(extended.run_id).await.unwrap(),
        machine.client.run(whole.run_id).await.unwrap(),
    );
    assert_eq!(extended.point, whole.point, "applied so long, the file finds it trained");
}
