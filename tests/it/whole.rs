//! The programs themselves: a small sweep is trained by real workers, and what is killed on the way
//! changes nothing.

use std::collections::BTreeSet;

use assay_api::view::{Outcome, RunState, SweepView};
use assay_tests::Machine;

/// A base, and two runs from it: small enough to train in seconds, long enough to be killed.
const SWEEP: &str = "
assay: v1
sweep: small
first:
  base:
    model: {preset: llama-300k}
    tokenizer: bytes
    data: {sources: {general: {path: general.jsonl}}}
    train: {tokens: 20k, context: 64, batch: 256, lr: {peak: 3e-3, warmup: 2 steps}}
base:
  model: {run: base}
  tokenizer: bytes
  data:
    heldout: {share: 5%, tokens: 1k}
    sources: {general: {path: general.jsonl}, commerce: {path: commerce.jsonl, group_by: product_id}}
    mixture: {general: 0.5, commerce: 0.5}
  train: {tokens: 20k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
  eval: {tasks: {color: {path: color.yaml, every: 50%}}}
axes:
  lr: [1e-3, 3e-3]
";

const SERIES: [&str; 6] = [
    "train/loss",
    "train/grad_norm",
    "train/lr",
    "heldout/general/bits_per_byte",
    "heldout/commerce/bits_per_byte",
    "task/color/acc",
];

/// Every point of every run, by the run's label.
async fn everything(machine: &Machine, view: &SweepView) -> Vec<(String, Vec<(String, u64, u64)>)> {
    let mut all = Vec::new();
    for run in &view.runs {
        all.push((run.label.clone(), machine.points(run, &SERIES).await));
    }
    all
}

/// Goal: no kill loses, doubles or changes a point. Method: the same sweep undisturbed, and with a
/// worker and the controller killed in the middle of the base, a worker in the middle of a run, and
/// a controller stopped in order; then every point of both is compared, bit for bit.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_changes_nothing() {
    let calm = Machine::start();
    calm.apply(SWEEP).await;
    let expected = calm.until_ended("small").await;
    assert!(
        expected.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)),
        "{expected:?}"
    );
    let expected = everything(&calm, &expected).await;
    for (label, points) in &expected[3..] {
        let names: BTreeSet<&str> = points.iter().map(|point| point.0.as_str()).collect();
        assert_eq!(names, BTreeSet::from(SERIES), "{label}");
    }

    let mut machine = Machine::start();
    machine.apply(SWEEP).await;
    let base = |view: &SweepView| view.runs.iter().find(|run| run.label == "base").cloned();
    let view = machine.until("small", |view| base(view).is_some_and(|run| 10 <= run.step)).await;
    machine.kill_worker(&base(&view).expect("it was found"));
    machine.kill_controller();
    let resumed =
        |view: &SweepView| base(view).is_some_and(|run| run.attempt == 2 && 20 <= run.step);
    machine.until("small", resumed).await;
    machine.kill_controller();

    let is_hurt = |view: &SweepView| {
        let mut runs = view.runs.iter().filter(|run| run.label.starts_with("lr"));
        runs.find(|run| run.state == RunState::Leased && 8 <= run.step).cloned()
    };
    let view = machine.until("small", |view| is_hurt(view).is_some()).await;
    machine.kill_worker(&is_hurt(&view).expect("it was found"));
    assert!(machine.stop_controller(), "it lets its workers save a checkpoint, and ends well");
    assert!(machine.processes().is_empty(), "nothing is left: {:?}", machine.processes());
    machine.restart_controller();

    let view = machine.until_ended("small").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    assert_eq!(everything(&machine, &view).await, expected);
    let attempts: u32 = view.runs.iter().map(|run| run.attempt).sum();
    assert!(7 <= attempts, "three kills and a stop made {attempts} attempts of 5 runs");
    assert_eq!(machine.open_attempts(), 0, "every attempt is accounted for");
}
