//! A whole sweep on a GPU, by the real programs: `make test-gpu`.

use assay_api::KillPoint;
use assay_api::view::{Outcome, RunKind, RunRow, RunState, SweepView};
use assay_tests::{Corpus, Machine, until};

/// A base and two runs from it: 800 steps each, a checkpoint at every 40th.
const SWEEP: &str = "
assay: v1
sweep: small
first:
  base:
    model: {preset: llama-300k}
    tokenizer: bytes
    data: {sources: {general: {path: general.jsonl}}}
    train: {tokens: 204800, context: 64, batch: 256, engine: cuda-bf16, lr: {peak: 3e-3, warmup: 2 steps}}
base:
  model: {run: base}
  tokenizer: bytes
  data:
    heldout: {share: 5%, tokens: 1k}
    sources: {general: {path: general.jsonl}, commerce: {path: commerce.jsonl, group_by: product_id}}
    mixture: {general: 0.5, commerce: 0.5}
  train: {tokens: 204800, context: 64, batch: 256, engine: cuda-bf16, lr: {peak: 1e-3, warmup: 2 steps}}
  eval: {tasks: {color: {path: color.yaml, every: 50%}}}
limits: {epochs: 10000}
axes:
  lr: [1e-3, 3e-3]
";

/// One pass of 134M tokens: 785 GB, even if only the input of each block is kept.
const TOO_LARGE: &str = "
assay: v1
sweep: large
base:
  model: {preset: llama-1m}
  tokenizer: bytes
  data:
    heldout: {share: 5%, tokens: 1k}
    sources: {general: {path: general.jsonl}}
  train: {tokens: 134217728, context: 2048, batch: 134217728, micro_batch: 65536, engine: cuda-bf16, lr: {peak: 1e-3}}
limits: {epochs: 10000}
";

/// A checkpoint is written, and nobody knows of it yet.
const SAVED: KillPoint = KillPoint::CheckpointReported;

/// What is the same again, whoever is killed.
const LEARNED: [&str; 5] = [
    "train/loss",
    "train/grad_norm",
    "heldout/general/bits_per_byte",
    "heldout/commerce/bits_per_byte",
    "task/color/acc",
];
/// What the card's driver says, and between what it must lie.
const TOLD: [(&str, f64, f64); 6] = [
    ("system/gpu_utilization", 0.0, 1.0),
    ("system/gpu_memory_bytes", 1e8, 1e12),
    ("system/gpu_power_watts", 10.0, 2000.0),
    ("system/gpu_celsius", 10.0, 110.0),
    ("system/gpu_throttled", 0.0, 1.0),
    ("system/gpu_ecc_errors", 0.0, 0.0),
];

fn trained(view: &SweepView) -> impl Iterator<Item = &RunRow> {
    view.runs.iter().filter(|run| run.kind == RunKind::Train)
}

async fn everything(machine: &Machine, view: &SweepView) -> Vec<(String, Vec<(String, u64, u64)>)> {
    let mut all = Vec::new();
    for run in trained(view) {
        all.push((run.label.clone(), machine.points(run, &LEARNED).await));
    }
    all
}

/// Goal: a run on a GPU is a run like any other: it learns, tells how the card fares, and is the same, bit for bit,
/// if its worker is killed in the middle. Method: a sweep undisturbed, two runs at a time on the card; and one whose
/// worker is killed where it has saved and nobody knows. The base is the first to be held there, and goes on; the next
/// is a run from it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a GPU"]
async fn a_sweep_on_a_gpu_survives_a_kill() {
    let calm = Machine::start();
    calm.apply(SWEEP).await;
    let view = calm.until_ended("small").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    let expected = everything(&calm, &view).await;
    assert_eq!(expected.len(), 3, "{expected:?}");
    for (label, points) in &expected {
        let losses: Vec<f64> = points
            .iter()
            .filter(|point| point.0 == "train/loss")
            .map(|point| f64::from_bits(point.2))
            .collect();
        assert_eq!(losses.len(), 800, "{label}");
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[700..]) < mean(&losses[..100]), "{label} learned nothing");
    }
    for run in trained(&view) {
        let log = calm.client.logs(run.run_id, 0).await.unwrap().rows;
        let is_told =
            |text: &str| text.starts_with("engine: ") && text.contains("exact f32 masters");
        assert!(log.iter().any(|row| is_told(&row.text)), "{}: {log:?}", run.label);
        for (name, least, most) in TOLD {
            let points = calm.points(run, &[name]).await;
            let values = points.iter().map(|point| f64::from_bits(point.2));
            let outside: Vec<f64> =
                values.filter(|value| !(least..=most).contains(value)).collect();
            assert!(outside.is_empty() && !points.is_empty(), "{}: {name} {outside:?}", run.label);
        }
    }

    let one_at_a_time = vec!["--slots".to_owned(), "1".to_owned()];
    let mut hurt = Machine::switched_off(Corpus::make(), one_at_a_time);
    hurt.set_hold(SAVED);
    hurt.restart_controller();
    hurt.apply(SWEEP).await;
    until("the base has saved", async || hurt.is_sprung(SAVED).then_some(())).await;
    hurt.let_go(SAVED);
    until("a run from it has saved", async || hurt.is_sprung(SAVED).then_some(())).await;
    let view = hurt.client.sweep("small").await.unwrap();
    let held = view.runs.into_iter().find(|run| run.state == RunState::Leased).expect("it is held");
    assert!(held.label.starts_with("lr"), "{held:?}");
    hurt.kill_worker(&held);
    let view = hurt.until_ended("small").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    let attempts = hurt.client.run(held.run_id).await.unwrap().attempts;
    let [_, second] = attempts.as_slice() else { panic!("{attempts:?}") };
    assert_eq!(second.resumed_from, Some(40));
    assert_eq!(everything(&hurt, &view).await, expected);
}

/// Goal: what does not fit is not tried again, and says what would. Method: a small model, whose weights are drawn at
/// once, with more sequences of a pass than any card holds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a GPU"]
async fn a_run_that_is_too_large_for_the_card_fails_for_good() {
    let machine = Machine::start();
    machine.apply(TOO_LARGE).await;
    let view = machine.until_ended("large").await;
    let run = trained(&view).next().expect("one is to train");
    assert_eq!((run.outcome, run.attempt, run.step), (Some(Outcome::Failed), 1, 0), "{run:?}");
    let reason = run.reason.as_deref().unwrap();
    let (before, after) = reason.split_once(" GB are needed on the GPU, which has ").expect(reason);
    let needed: f64 = before.rsplit(' ').next().unwrap().parse().expect(reason);
    assert!((700.0..900.0).contains(&needed), "{reason}");
    assert!(after.contains("lower `train.micro_batch` or `train.context`"), "{reason}");
}
