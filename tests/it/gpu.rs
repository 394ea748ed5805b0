//! A whole sweep on a GPU, by the real programs: `make test-gpu`.

use assay_api::view::{Outcome, RunState, SweepView};
use assay_tests::Machine;

/// A base and two runs from it: 800 steps each, so that one can be killed in the middle.
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

async fn everything(machine: &Machine, view: &SweepView) -> Vec<(String, Vec<(String, u64, u64)>)> {
    let mut all = Vec::new();
    for run in view.runs.iter().filter(|run| 0 < run.steps) {
        all.push((run.label.clone(), machine.points(run, &LEARNED).await));
    }
    all
}

/// Goal: a run on a GPU is a run like any other: it learns, tells how the card fares, and is the same, bit for bit,
/// if its worker is killed in the middle. Method: a sweep undisturbed, and one with a worker killed.
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
    for run in view.runs.iter().filter(|run| 0 < run.steps) {
        for (name, least, most) in TOLD {
            let points = calm.points(run, &[name]).await;
            let values = points.iter().map(|point| f64::from_bits(point.2));
            let outside: Vec<f64> =
                values.filter(|value| !(least..=most).contains(value)).collect();
            assert!(outside.is_empty() && !points.is_empty(), "{}: {name} {outside:?}", run.label);
        }
    }

    let hurt = Machine::start();
    hurt.apply(SWEEP).await;
    let is_amid = |view: &SweepView| {
        let mut runs = view.runs.iter().filter(|run| run.label.starts_with("lr"));
        runs.find(|run| run.state == RunState::Leased && 100 <= run.step && run.step < 700).cloned()
    };
    let view = hurt.until("small", |view| is_amid(view).is_some()).await;
    hurt.kill_worker(&is_amid(&view).expect("it was found"));
    let view = hurt.until_ended("small").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    assert!(view.runs.iter().any(|run| run.attempt == 2), "one was killed: {view:?}");
    assert_eq!(everything(&hurt, &view).await, expected);
}
