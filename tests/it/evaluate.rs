//! A task that is added to a finished sweep is scored from the weights that there are.

use std::collections::BTreeMap;
use std::fs;

use assay_api::view::{Outcome, RunKind, RunState, RunView, SweepView};
use assay_scheduler::Exit;
use assay_tests::{Machine, TestApp, sweep};
use sqlx::PgPool;

const TASKS: &str = "\n  eval: {tasks: {color: {path: color.yaml}}}";

fn file(name: &str, tasks: &str) -> String {
    format!(
        "
assay: v1
sweep: {name}
base:
  model: {{preset: llama-300k}}
  tokenizer: bytes
  data:
    heldout: {{share: 5%, tokens: 1k}}
    sources: {{general: {{path: general.jsonl}}}}
  train: {{tokens: 4k, context: 64, batch: 256, lr: {{peak: 1e-3, warmup: 2 steps}}}}{tasks}
axes:
  lr: [1e-3, 3e-3]
"
    )
}

/// The scores of a task at the end of training, by metric, as bits.
fn scores(run: &RunView, task: &str) -> BTreeMap<String, (u64, u64)> {
    let steps = run.row.steps;
    let last = run.evaluations.iter().filter(|score| score.task == task && score.step == steps);
    last.map(|score| (score.metric.clone(), (score.value.to_bits(), score.n))).collect()
}

fn of_kind(view: &SweepView, kind: RunKind) -> Vec<u32> {
    view.runs.iter().filter(|run| run.kind == kind).map(|run| run.number).collect()
}

/// Goal: what is scored later is scored as it would have been at once, and trains nothing. Method: real
/// workers train one sweep with the task and one without, which gets it afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_added_to_a_finished_sweep_is_scored_as_if_it_had_always_been_there() {
    let machine = Machine::start();
    machine.apply(&file("early", TASKS)).await;
    machine.apply(&file("late", "")).await;
    let early = machine.until_ended("early").await;
    let before = machine.until_ended("late").await;
    assert!(of_kind(&before, RunKind::Evaluate).is_empty());

    machine.apply(&file("late", TASKS)).await;
    let view = machine.until_ended("late").await;
    let trained = of_kind(&view, RunKind::Train);
    assert_eq!(of_kind(&view, RunKind::Evaluate).len(), trained.len());
    for (run, twin) in trained.iter().zip(of_kind(&early, RunKind::Train)) {
        let late = machine.client.run_of("late", *run).await.unwrap();
        let twin = machine.client.run_of("early", twin).await.unwrap();
        let found = scores(&late, "color");
        assert!(!found.is_empty() && found == scores(&twin, "color"), "{found:?}");
        assert_eq!(late.row.latest["task/color/acc"], twin.row.latest["task/color/acc"]);
        assert_eq!((late.row.attempt, late.row.step), (1, 16), "it was not trained again");
    }
    let tokens = |view: &SweepView| view.runs.iter().map(|run| run.tokens).sum::<u64>();
    assert_eq!(tokens(&view), tokens(&before));
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");

    machine.apply(&file("late", TASKS)).await;
    let again = machine.until_ended("late").await;
    assert_eq!(again.runs.len(), view.runs.len(), "all of it is scored");

    // other questions under the same name are another task
    let path = machine.corpus.path().join("color.jsonl");
    let questions = fs::read_to_string(&path).unwrap();
    let half: Vec<&str> = questions.lines().take(questions.lines().count() / 2).collect();
    fs::write(&path, half.join("\n")).unwrap();
    machine.apply(&file("late", TASKS)).await;
    let other = machine.until_ended("late").await;
    assert_eq!(other.runs.len(), view.runs.len() + trained.len());
    let late = machine.client.run_of("late", trained[0]).await.unwrap();
    let n = scores(&late, "color")["acc"].1;
    assert_eq!(n, half.len() as u64, "the later score counts");
}

/// Goal: merged weights are scored, between what a run began from and what it trained. Method: shares so
/// near to either end that its scores are known; a third in the middle is neither.
#[tokio::test(flavor = "multi_thread")]
async fn merged_weights_lie_between_those_that_a_run_began_from_and_those_that_it_trained() {
    let machine = Machine::start();
    let base = "first:\n  base:\n    model: {preset: llama-300k}\n    tokenizer: bytes\n    \
                data: {sources: {general: {path: general.jsonl}}}\n    \
                train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 3e-3, warmup: 2 steps}}\nbase:";
    let merged = file("merged", TASKS).replace("base:", base).replacen(
        "base:\n  model: {preset: llama-300k}",
        "base:\n  model: {run: base}",
        1,
    ) + "merge: {weights: [0.0000001, 50%, 0.9999999]}\n";
    machine.apply(&merged).await;
    let view = machine.until_ended("merged").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    let name = "heldout/general/bits_per_byte";
    let trained = view.runs.iter().filter(|run| run.kind == RunKind::Train && !run.axes.is_empty());
    let mut n = 0;
    for run in trained {
        let of_run = |share: f64| {
            let found = view.runs.iter().find(|merged| {
                merged.axes.get("train.lr.peak") == run.axes.get("train.lr.peak")
                    && merged.axes.get("merge").and_then(serde_json::Value::as_f64) == Some(share)
            });
            found.map(|merged| merged.latest[name])
        };
        let points = machine.points(run, &[name]).await;
        let (first, last) = (f64::from_bits(points[0].2), run.latest[name]);
        let (begin, half, end) = (of_run(0.000_000_1), of_run(0.5), of_run(0.999_999_9));
        assert!((begin.unwrap() - first).abs() < 1e-5, "{begin:?} is not {first}");
        assert!((end.unwrap() - last).abs() < 1e-5, "{end:?} is not {last}");
        assert!((half.unwrap() - first).abs() > 1e-4 && (half.unwrap() - last).abs() > 1e-4);
        assert_eq!(run.axes["merge"], 1);
        n += 1;
    }
    assert_eq!((n, of_kind(&view, RunKind::Evaluate).len()), (2, 6));

    // a task that comes later is scored on them as well
    let renamed = merged.replace(
        "{color: {path: color.yaml}}",
        "{color: {path: color.yaml}, hue: {path: color.yaml}}",
    );
    machine.apply(&renamed).await;
    let later = machine.until_ended("merged").await;
    for run in later.runs.iter().filter(|run| run.axes.contains_key("merge")) {
        assert_eq!(run.latest["task/hue/acc"], run.latest["task/color/acc"], "{}", run.label);
    }
    assert_eq!(later.runs.len(), view.runs.len() + 2 + 6);
}

/// A model from a folder begins as what lies there.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_from_a_folder_begins_with_its_weights() {
    let machine = Machine::start();
    machine.apply(&file("first", "")).await;
    let view = machine.until_ended("first").await;
    let run = view.runs.iter().find(|run| run.is_baseline).unwrap();
    let path = machine.storage().join(format!("runs/{}/attempt-001/step-00000016", run.run_id));
    let from = format!("model: {{from: {}}}", path.display());
    machine.apply(&file("second", "").replace("model: {preset: llama-300k}", &from)).await;
    let second = machine.until_ended("second").await;
    let name = "heldout/general/bits_per_byte";
    for other in second.runs.iter().filter(|run| run.kind == RunKind::Train) {
        let points = machine.points(other, &[name]).await;
        assert_eq!(points[0].2, run.latest[name].to_bits(), "step 0 is where the folder ended");
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_scored_later_waits_for_its_weights_and_is_cancelled_without_them(db: PgPool) {
    let mut app = TestApp::new(db, 8).await;
    app.apply(&sweep("s")).await.unwrap();
    app.settle().await;
    let with_task =
        sweep("s").replace("axes:", "  eval: {tasks: {color: {path: color.yaml}}}\naxes:");
    let plan = app.apply(&with_task).await.unwrap().plan;
    let view = app.sweep("s").await;
    let trained = of_kind(&view, RunKind::Train);
    let scoring = of_kind(&view, RunKind::Evaluate);
    assert!(plan.added as usize == scoring.len() && !scoring.is_empty(), "{plan:?}");
    assert_eq!((plan.tokens, plan.dropped), (0, 0));
    app.settle().await;
    for number in &scoring {
        let run = app.run("s", *number).await;
        assert_eq!(run.row.state, RunState::Queued);
        assert_eq!(run.needs.len(), 1, "{:?}", run.needs);
        assert!(run.row.label.starts_with("color of "), "{}", run.row.label);
    }
    // pruned by a file without the task, they stay: they are no points of a file
    let mut request = app.request(&sweep("s"));
    request.prune = true;
    let (status, answer) = app.post("/sweeps/apply", &request).await;
    assert!(status.is_success() && answer["plan"]["dropped"] == 0, "{answer}");

    app.succeed("s", 1).await;
    app.succeed("s", 2).await;
    let failing = trained.iter().find(|number| !view.runs[**number as usize - 1].axes.is_empty());
    let failing = *failing.unwrap();
    let key = app.worker("s", failing).await.key;
    app.post(&format!("/runs/{}/cancel", key.run), &()).await;
    app.settle().await;
    app.pool.end(key, Exit::Signal(9));
    app.settle().await;
    let cancelled = app
        .sweep("s")
        .await
        .runs
        .into_iter()
        .filter(|run| run.kind == RunKind::Evaluate && run.outcome == Some(Outcome::Cancelled));
    assert_eq!(cancelled.count(), 1, "that of the run whose weights will not come");
}
