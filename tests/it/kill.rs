//! No kill loses or doubles anything: small real sweeps, trained by the real programs, while processes
//! die and freeze. Afterwards every point is compared, bit for bit, with those of a sweep that was left
//! alone, and the machine is searched for what is left over.

mod away;
mod canary;
mod clock;
mod damage;
mod dice;
mod disk;
mod leaders;
mod moments;
mod points;

use assay_tests::{Books, Machine, until};

/// A base and two runs from it, with three datasets: `tokens` of 4k are 16 steps, a checkpoint at each.
fn sweep(name: &str, tokens: &str) -> String {
    format!(
        "
assay: v1
sweep: {name}
first:
  base:
    model: {{preset: llama-300k}}
    tokenizer: bytes
    data: {{sources: {{general: {{path: general.jsonl}}}}}}
    train: {{tokens: {tokens}, context: 64, batch: 256, lr: {{peak: 3e-3, warmup: 2 steps}}}}
base:
  model: {{run: base}}
  tokenizer: bytes
  data:
    heldout: {{share: 5%, tokens: 1k}}
    sources: {{general: {{path: general.jsonl}}, commerce: {{path: commerce.jsonl, group_by: product_id}}}}
    mixture: {{general: 0.5, commerce: 0.5}}
  train: {{tokens: {tokens}, context: 64, batch: 256, lr: {{peak: 1e-3, warmup: 2 steps}}}}
  eval: {{tasks: {{color: {{path: color.yaml, every: 50%}}}}}}
axes:
  lr: [1e-3, 3e-3]
"
    )
}

/// Runs that have not ended.
const OPEN: &str = "select run_id::text from run where state <> 'done'";
/// What was killed is tried again at once: back-offs are the scheduler's, and tested there.
const NO_BACK_OFF: &str =
    "update run set not_before = null where now() < not_before returning run_id::text";

/// Until every run has ended.
async fn until_ended(machine: &mut Machine, books: &mut Books) {
    until("every run ends", async || {
        assert!(machine.has_controller(), "it lives");
        books.read(machine, NO_BACK_OFF).await?;
        books.read(machine, OPEN).await?.is_empty().then_some(())
    })
    .await;
}

/// Nothing is left of what ended, nothing is missing, doubled or changed.
async fn check(machine: &Machine, books: &mut Books) {
    until("no process and no folder is left", async || {
        machine.leftovers().is_empty().then_some(())
    })
    .await;
    let known = books.read(machine, "select run_id::text from run").await.expect("it answers");
    for folder in machine.run_folders() {
        assert!(known.contains(&folder), "{folder} is of a run that was deleted");
    }
    let wrong = books.wrong(machine).await;
    assert!(wrong.is_empty(), "{wrong}");
}
