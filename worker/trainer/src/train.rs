//! The training loop. It reads top to bottom, and there is only one.

use assay_api::spec::TrainSpec;
use assay_api::worker::{CANARY_STEPS, Wish};
use assay_api::{KillPoint, kill_point};

use crate::checkpoint::{self, Contents, Progress};
use crate::data::{Mixture, Sequence};
use crate::engine::{Batch, Numbers, Update};
use crate::evaluate::Patience;
use crate::open::{self, Opened};
use crate::schedule::{lr_at, state_to_keep};
use crate::watcher::{Inputs, Outcome, Phase, Saved, Stepped, TrainError, Watcher};

/// Checkpoints of a run, about: what a dead worker costs is one part of so many.
const CHECKPOINTS: u64 = 20;
/// The latest, and one more in case the latest turns out to be damaged.
const KEPT_WHILE_TRAINING: usize = 2;

/// Trains one run to its end, or until it is asked to stop.
pub fn train(
    spec: &TrainSpec,
    inputs: &Inputs,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, TrainError> {
    // set up
    watcher.phase(Phase::Loading);
    checkpoint::clear_unfinished(&inputs.run_folder)?;
    let mut run = open::open(spec, inputs)?;
    watcher.opened(&run.engine.facts());
    let steps = spec.train.steps();
    let before_decay = state_to_keep(&spec.train.lr, steps);

    loop {
        let step = run.progress.step;

        // once in a while: measure, save, and see whether we should go on
        if !run.progress.is_measured {
            run.progress.is_measured = measure(&mut run, watcher)?;
        }
        let mut wish = watcher.wish();
        if wish == Wish::Continue && inputs.is_canary && step == CANARY_STEPS {
            wish = rehearse(&mut run, watcher)?;
        }
        let is_due = step == steps || Some(step) == before_decay || is_save_due(step, steps);
        if wish != Wish::Stop && (is_due || wish == Wish::CheckpointAndStop) {
            save(spec, inputs, &mut run, watcher)?;
        }
        match (wish, &run.saved) {
            (_, Some((_, folder))) if step == steps && run.progress.is_measured => {
                checkpoint::prune(&inputs.run_folder, 1, before_decay)?;
                let (checkpoint, tokens) = (folder.clone(), run.progress.tokens);
                return Ok(Outcome::Finished { step, checkpoint, tokens });
            }
            (Wish::CheckpointAndStop, Some((_, folder))) => {
                return Ok(Outcome::Preempted { step, checkpoint: folder.clone() });
            }
            (Wish::Stop, _) => return Ok(Outcome::Stopped { step }),
            // Asked to stop while measuring, and then not to.
            (_, _) if !run.progress.is_measured => continue,
            (_, _) => watcher.phase(Phase::Training),
        }

        // forward and backward, micro-batch by micro-batch
        let batches = batches(spec, &run.mixture, step);
        let scored: usize = batches.iter().map(Batch::scored).sum();
        #[expect(clippy::cast_precision_loss, reason = "a step has fewer than 2^52 targets")]
        let weight = 1.0 / scored.max(1) as f64;
        for batch in &batches {
            run.engine.accumulate(batch, weight).map_err(TrainError::Engine)?;
        }

        // clip and update
        let lr = lr_at(&spec.train.lr, steps, step);
        let step = step + 1;
        let numbers = run.engine.update(Update { step, lr }).map_err(TrainError::Engine)?;
        run.progress.step = step;
        run.progress.tokens = step * spec.train.batch;
        run.progress.is_measured = !run.exam.is_due(step);

        // log; before anything else looks at the model, what the engine still owes as well
        let mut owed = None;
        if step == steps || !run.progress.is_measured || is_save_due(step, steps) {
            owed = run.engine.settle().map_err(TrainError::Engine)?;
        }
        for numbers in numbers.into_iter().chain(owed) {
            if let Some(reason) = log(spec, &mut run.progress, numbers, watcher) {
                return Ok(Outcome::Diverged { step: numbers.step, reason });
            }
        }
    }
}

fn is_save_due(step: u64, steps: u64) -> bool {
    0 < step && step.is_multiple_of((steps / CHECKPOINTS).max(1))
}

/// The micro-batches of a step: a function of the spec and the step alone.
fn batches(spec: &TrainSpec, mixture: &Mixture<'_>, step: u64) -> Vec<Batch> {
    let sequences = spec.train.sequences();
    let all: Vec<Sequence> = (step * sequences..(step + 1) * sequences)
        .map(|at| {
            let mut sequence = mixture.sequence(at);
            if !spec.data.document_masks {
                sequence.documents.fill(0);
            }
            sequence
        })
        .collect();
    all.chunks(spec.train.micro_batch as usize).map(Batch::new).collect()
}

/// Measures what is due; false if it was asked to stop before it was done.
fn measure(run: &mut Opened<'_>, watcher: &mut dyn Watcher) -> Result<bool, TrainError> {
    let step = run.progress.step;
    if !run.exam.is_due(step) {
        return Ok(true);
    }
    watcher.phase(Phase::Evaluating);
    let taken = run.exam.take(run.engine.as_mut(), step, || patience(watcher))?;
    let Some(measurements) = taken else {
        return Ok(false);
    };
    watcher.measured(step, &measurements);
    Ok(true)
}

/// Measures everything once, as the run's end will, and asks to be saved: what comes after the first
/// steps is tried before others depend on it. Nothing is told, so the run's points are those of any other.
fn rehearse(run: &mut Opened<'_>, watcher: &mut dyn Watcher) -> Result<Wish, TrainError> {
    let engine = run.engine.as_mut();
    watcher.phase(Phase::Evaluating);
    if run.exam.heldout(engine, &mut || patience(watcher))?.is_none() {
        return Ok(watcher.wish());
    }
    watcher.phase(Phase::Scoring);
    if run.exam.tasks(engine, None, &mut || patience(watcher))?.is_none() {
        return Ok(watcher.wish());
    }
    Ok(Wish::CheckpointAndStop)
}

fn patience(watcher: &mut dyn Watcher) -> Patience {
    match watcher.wish() {
        Wish::Continue => Patience::Continue,
        Wish::CheckpointAndStop | Wish::Stop => Patience::GiveUp,
    }
}

/// Writes a checkpoint, unless the last one holds this very step.
fn save(
    spec: &TrainSpec,
    inputs: &Inputs,
    run: &mut Opened<'_>,
    watcher: &mut dyn Watcher,
) -> Result<(), TrainError> {
    let step = run.progress.step;
    if run.saved.as_ref().is_some_and(|(saved, _)| *saved == step) {
        return Ok(());
    }
    watcher.phase(Phase::Saving);
    // A run that has diverged by what is owed here will have by its next step as well.
    if let Some(numbers) = run.engine.settle().map_err(TrainError::Engine)? {
        let _noted_again_later = log(spec, &mut run.progress, numbers, watcher);
    }
    let (weights, optimizer) = (run.engine.weights(), run.engine.optimizer());
    let folder = checkpoint::folder(&inputs.run_folder, inputs.attempt, step);
    let contents = Contents {
        spec: &open::key(spec),
        data: &open::fingerprints(inputs),
        progress: &run.progress,
        weights: &weights,
        optimizer: &optimizer,
        config: &run.config,
        carried: &watcher.carried().map_err(TrainError::Carried)?,
    };
    let bytes = checkpoint::write(&folder, &contents)?;
    kill_point(KillPoint::CheckpointReported);
    run.saved = Some((step, folder.clone()));
    watcher.saved(&Saved { step, folder, bytes });
    let pinned = state_to_keep(&spec.train.lr, spec.train.steps());
    checkpoint::prune(&inputs.run_folder, KEPT_WHILE_TRAINING, pinned)?;
    Ok(())
}

/// Tells the watcher; returns why the run has diverged, if it has.
fn log(
    spec: &TrainSpec,
    progress: &mut Progress,
    numbers: Numbers,
    watcher: &mut dyn Watcher,
) -> Option<String> {
    let Numbers { step, loss, z, grad_norm, param_norm, update_norm, verdict } = numbers;
    let reason = progress.skips.note(step, verdict);
    watcher.stepped(&Stepped {
        step,
        tokens: step * spec.train.batch,
        loss,
        z,
        grad_norm,
        param_norm,
        update_norm,
        lr: lr_at(&spec.train.lr, spec.train.steps(), step - 1),
        verdict,
        skipped: progress.skips.total,
    });
    reason
}
