//! Scores weights that exist: an exam without a training around it.

use std::path::PathBuf;

use assay_api::spec::TrainSpec;
use assay_api::worker::Wish;

use crate::evaluate::Patience;
use crate::open;
use crate::watcher::{Inputs, Phase, TrainError, Watcher};

/// Scores a linear mean of weights, by folder and share, on whatever the spec's `eval` names at its last
/// step, and tells the watcher. None: it was asked to stop before it was done; begun again, it gives the same scores.
///
/// # Errors
/// The weights or the tasks cannot be read, or are not those that the spec says.
pub fn score(
    spec: &TrainSpec,
    weights: &[(PathBuf, f64)],
    inputs: &Inputs,
    watcher: &mut dyn Watcher,
) -> Result<Option<u64>, TrainError> {
    watcher.phase(Phase::Loading);
    let (mut engine, exam) = open::weights(spec, weights, inputs)?;
    watcher.opened(&engine.facts());
    let step = spec.train.steps();
    watcher.phase(Phase::Evaluating);
    let patience = || match watcher.wish() {
        Wish::Continue => Patience::Continue,
        Wish::CheckpointAndStop | Wish::Stop => Patience::GiveUp,
    };
    let Some(measurements) = exam.take(engine.as_mut(), step, patience)? else {
        return Ok(None);
    };
    watcher.measured(step, &measurements);
    Ok(Some(step))
}
