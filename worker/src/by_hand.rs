//! `assay-worker train`: one run from a JSON spec, with no controller.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context;
use assay_api::spec::{PrepareSpec, RunSpec, TrainSpec};
use assay_api::worker::Wish;
use assay_cuda::Cards;
use assay_trainer::data::{self, Dataset};
use assay_trainer::{Inputs, Measurement, Outcome, Phase, Saved, Stepped, Watcher, checkpoint};

use crate::config::Train;
use crate::memory;

/// Steps between two lines.
const PRINT_EVERY: u64 = 10;

/// Prepares what is not prepared, trains, prints.
///
/// # Errors
/// The spec, the data or the disk; the message says which.
pub fn run(options: &Train) -> anyhow::Result<()> {
    let Train { spec, storage, base } = options;
    let text =
        fs::read_to_string(spec).with_context(|| format!("cannot read {}", spec.display()))?;
    let RunSpec::Train(spec) = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no spec of a run", spec.display()))?
    else {
        anyhow::bail!(
            "{} is the spec of a `prepare` run: there is nothing to train",
            spec.display()
        );
    };
    let datasets = datasets(&spec, storage)?;
    let run_folder = storage.join("run");
    let resume = checkpoint::list(&run_folder)?.pop();
    if let Some(found) = &resume {
        say(&format!("going on from step {} in {}", found.step, found.folder.display()));
    }
    let inputs = Inputs {
        datasets,
        base: base.clone(),
        run_folder,
        extends: None,
        attempt: resume.as_ref().map_or(1, |found| found.attempt),
        is_canary: false,
        resume: resume.map(|found| found.folder),
        threads: spec.train.devices as usize,
        memory: memory::limit(),
        gpu: Some(Box::new(Cards { kept_kernels: None })),
    };
    match assay_trainer::train(&spec, &inputs, &mut Printer)? {
        Outcome::Finished { step, checkpoint, .. } => {
            say(&format!("finished at step {step}: {}", checkpoint.display()));
            Ok(())
        }
        Outcome::Diverged { step, reason } => anyhow::bail!("diverged at step {step}: {reason}"),
        Outcome::Preempted { .. } | Outcome::Stopped { .. } => unreachable!("nobody asks it to"),
    }
}

fn datasets(spec: &TrainSpec, storage: &Path) -> anyhow::Result<BTreeMap<String, Dataset>> {
    let mut datasets = BTreeMap::new();
    for (name, files) in &spec.data.sources {
        let folder = storage.join("datasets").join(name);
        fs::create_dir_all(storage.join("datasets"))?;
        let prepare = PrepareSpec {
            source: name.clone(),
            tokenizer: spec.tokenizer,
            files: files.clone(),
            heldout: spec.data.heldout,
        };
        let prepared = data::prepare(&prepare, &folder, &mut |_| ControlFlow::Continue(()))?;
        say(&format!("{name}: {} documents, {} tokens", prepared.documents, prepared.tokens));
        datasets.insert(name.clone(), Dataset::open(&folder)?);
    }
    Ok(datasets)
}

/// Tells a terminal what it hears.
struct Printer;

impl Watcher for Printer {
    fn phase(&mut self, _phase: Phase) {}

    fn opened(&mut self, facts: &str) {
        say(facts);
    }

    fn stepped(&mut self, stepped: &Stepped) {
        let Stepped { step, tokens, loss, grad_norm, lr, .. } = stepped;
        if step % PRINT_EVERY == 0 {
            say(&format!(
                "step {step:>6}  tokens {tokens:>9}  loss {loss:.4}  grad {grad_norm:.3}  lr {lr:.2e}"
            ));
        }
    }

    fn measured(&mut self, step: u64, measurements: &[Measurement]) {
        for Measurement { task, metric, value, .. } in measurements {
            say(&format!("step {step:>6}  {task}/{metric} {value:.4}"));
        }
    }

    fn carried(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn saved(&mut self, _saved: &Saved) {}

    fn wish(&mut self) -> Wish {
        Wish::Continue
    }
}

#[expect(clippy::print_stdout, reason = "what is trained is this command's result")]
fn say(line: &str) {
    println!("{line}");
}
