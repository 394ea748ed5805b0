//! What a worker on this machine printed last is kept with how its attempt ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use assay_api::view::{RunRow, RunState};
use assay_tests::{Corpus, Machine, program};

const SWEEP: &str = "
assay: v1
sweep: s
base:
  model: {preset: llama-300k}
  tokenizer: bytes
  data: {sources: {general: {path: general.jsonl}}}
  train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 3e-3}}
";

/// Supervises as the worker does, and prints instead of working.
fn scripted(script: &str) -> String {
    let worker = program("assay-worker");
    format!(
        "#!/bin/sh\nif [ \"$1\" != run ]; then exec {} \"$@\"; fi\n{script}\n",
        worker.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_lines_of_both_streams_are_told_with_the_end_of_an_attempt() {
    let corpus = Corpus::make();
    let worker = corpus.path().join("worker");
    let script =
        "i=1; while [ $i -le 29 ]; do echo line $i; i=$((i+1)); done; echo line 30 >&2; exit 3";
    fs::write(&worker, scripted(script)).unwrap();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    let options = ["--slots", "1", "--worker", worker.to_str().unwrap()].map(str::to_owned);
    let machine = Machine::serving(corpus, options.to_vec());
    machine.apply(SWEEP).await;
    let has_ended = |run: &RunRow| run.state == RunState::Queued && 1 <= run.attempt;
    machine.until("s", |view| view.runs.iter().any(has_ended)).await;

    let end = machine.client.run_of("s", 1).await.unwrap().attempts.remove(0);
    let reason = end.reason.unwrap();
    assert!(reason.contains("exited with status 3"), "{reason}");
    let expected: Vec<String> = (11..=30).map(|i| format!("line {i}")).collect();
    assert_eq!(end.output, expected);
}
