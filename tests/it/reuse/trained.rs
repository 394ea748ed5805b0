//! Real workers: what is linked has the points of what was trained, and its weights.

use std::fs::OpenOptions;
use std::io::Write as _;

use assay_api::view::{ExtendRequest, Outcome, RunKind, RunRow, RunView, SweepView};
use assay_tests::Machine;
use serde_json::json;

const SERIES: [&str; 5] = [
    "train/loss",
    "train/grad_norm",
    "train/lr",
    "heldout/general/bits_per_byte",
    "task/color/acc",
];
const TASKS: &str = "\n  eval: {tasks: {color: {path: color.yaml}}}";

fn file(name: &str, lr: &str, more: &str) -> String {
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
  train: {{tokens: 4k, context: 64, batch: 256, lr: {{peak: 1e-3, warmup: 2 steps}}}}{more}
axes:
  lr: {lr}
limits: {{epochs: 10}}
"
    )
}

fn reusing(name: &str, lr: &str, more: &str) -> String {
    file(name, lr, more) + "reuse: true\n"
}

fn trained(view: &SweepView) -> Vec<&RunRow> {
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    view.runs.iter().filter(|run| run.kind == RunKind::Train).collect()
}

async fn run(machine: &Machine, row: &RunRow) -> RunView {
    machine.client.run(row.run_id).await.unwrap()
}

/// Goal: a sweep with one old and one new point trains the new one alone, and shows the old one's curves
/// bit for bit; its weights are those of the old one, for tasks and for longer runs. Method: real workers, and
/// a third sweep that trains the same without `reuse`.
#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_was_trained_before_is_what_it_would_be_if_it_were_trained_again() {
    let machine = Machine::start();
    machine.apply(&file("one", "[1e-3]", "")).await;
    let one = machine.until_ended("one").await;
    machine.apply(&reusing("two", "[1e-3, 3e-3]", TASKS)).await;
    let two = machine.until_ended("two").await;
    machine.apply(&file("again", "[1e-3, 3e-3]", TASKS)).await;
    let again = machine.until_ended("again").await;

    let attempts: Vec<u32> = trained(&two).iter().map(|run| run.attempt).collect();
    assert_eq!(attempts, [0, 0, 1], "the base and the old point were not trained");
    let names: Vec<_> = trained(&two).iter().map(|run| run.reused.as_deref()).collect();
    assert_eq!(names, [Some("one/2"), Some("one/3"), None]);
    let (old, linked) = (trained(&one)[1], trained(&two)[1]);
    let points = machine.points(linked, &SERIES[..4]).await;
    assert!(3 * 16 < points.len(), "{}", points.len());
    assert_eq!(points, machine.points(old, &SERIES[..4]).await);
    for (run, twin) in trained(&two).into_iter().zip(trained(&again)) {
        assert_eq!(
            machine.points(run, &SERIES[..4]).await,
            machine.points(twin, &SERIES[..4]).await
        );
        assert_eq!(run.latest, twin.latest, "scored from the weights that there are");
        assert_eq!((run.step, run.tokens, twin.attempt), (twin.step, twin.tokens, 1));
    }
    assert!(linked.latest.contains_key("task/color/acc"), "{:?}", linked.latest);
    let [shown, original] = [run(&machine, linked).await, run(&machine, old).await];
    assert_eq!(json!(shown.checkpoints), json!(original.checkpoints));
    assert_eq!(shown.point, original.point);

    let asked = ExtendRequest { tokens: "2x".to_owned(), decay: None };
    let longer = machine.client.extend_run(linked.run_id, &asked).await.unwrap();
    let two = machine.until_ended("two").await;
    let twin = machine.client.extend_run(trained(&again)[1].run_id, &asked).await.unwrap();
    let again = machine.until_ended("again").await;
    let find = |view: &SweepView, number| {
        trained(view).into_iter().find(|run| run.number == number).unwrap().clone()
    };
    let (longer, twin) = (find(&two, longer.number), find(&again, twin.number));
    assert_eq!((longer.step, longer.attempt), (32, 1));
    assert_eq!(machine.points(&longer, &SERIES).await, machine.points(&twin, &SERIES).await);

    let refused = machine.try_to_delete("one").await.unwrap_err().to_string();
    assert!(refused.contains("two/2, two/3"), "{refused}");

    // the same path, and other content
    let path = machine.corpus.path().join("general.jsonl");
    let mut general = OpenOptions::new().append(true).open(path).unwrap();
    writeln!(general, "{}", json!({"text": "One document more than there was before."})).unwrap();
    machine.apply(&reusing("three", "[1e-3]", "")).await;
    let three = machine.until_ended("three").await;
    let found: Vec<_> = trained(&three).iter().map(|run| (run.attempt, &run.reused)).collect();
    assert_eq!(found, [(1, &None), (1, &None)]);
}
