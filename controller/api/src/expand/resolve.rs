//! A draft becomes a spec: every default of `assay: v1` is written out here.
//!
//! **Invariant:** defaults never change within `assay: v1`: the same file gives the same points.

mod eval;
mod mixture;
mod peak;
mod schedule;

use std::collections::BTreeMap;

use super::Context;
use crate::preset::{self, Preset};
use crate::spec::{AdamW, Data, Engine, Heldout, Model, Source, Tokenizer, Train, TrainSpec};
use crate::sweep::Placed;
use crate::sweep::draft::{DataDraft, RunDraft, SourceDraft, TrainDraft};
use crate::sweep::errors::Errors;

pub(super) use mixture::Pins;

/// A longer context is never a default (2402.13991 trains at 4,096 and masks documents).
const CONTEXT_MAX: u32 = 4_096;
const BATCH_MAX: u64 = 512_000;
/// With so many batches in a run, warmup and decay are smooth, and the noise scale of small models
/// is respected.
const STEPS_WANTED: u64 = 1_000;
/// Tokens of one forward pass: enough to keep a core's matrix products busy, little enough for its
/// caches.
const PASS_TOKENS: u32 = 2_048;
/// The same of a GPU, which has more to keep busy, and memory for it.
const GPU_PASS_TOKENS: u32 = 8_192;
pub(super) const HELDOUT_SHARE: f64 = 0.01;
const HELDOUT_TOKENS: u64 = 1_000_000;
const JSON_FIELD: &str = "text";

/// What a model brings to the runs that train it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) preset: Option<&'static Preset>,
    /// The context it was made for or trained with.
    pub(super) context: Option<u32>,
    /// The peak of the rate that its weights were trained with.
    pub(super) peak: Option<f64>,
}

/// What a run may take from around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'s> {
    pub(super) context: &'s Context,
    /// The runs that a model can come from, resolved.
    pub(super) origins: &'s BTreeMap<String, Origin>,
    /// Whose held-out part holds where a run says nothing: the base's.
    pub(super) base: &'s DataDraft,
}

/// The path in the file of what is resolved, for errors.
pub(super) fn resolve(
    draft: &RunDraft,
    pins: &Pins<'_>,
    around: Surroundings<'_>,
    path: &str,
    errors: &mut Errors,
) -> Option<(TrainSpec, Origin)> {
    let mut origin = origin(draft, around.origins);
    let data = data(&draft.data, pins, around, errors);
    let train = train(draft, origin, around.context, path, errors);
    let (data, train) = (data?, train?);
    eval::check(&draft.eval, train.steps(), &format!("{path}.eval"), errors)?;
    let eval = eval::eval(&draft.eval, train.steps(), &around.context.folder);
    let model = match &draft.model.value {
        Model::From(folder) => Model::From(absolute(folder, &around.context.folder)),
        model @ (Model::Preset(_) | Model::Run(_)) => model.clone(),
    };
    (origin.context, origin.peak) = (Some(train.context), Some(train.lr.peak));
    let tokenizer = draft.tokenizer.unwrap_or(Tokenizer::Bytes);
    Some((TrainSpec { model, tokenizer, data, train, eval }, origin))
}

fn origin(draft: &RunDraft, origins: &BTreeMap<String, Origin>) -> Origin {
    let written = draft.pretraining_lr;
    match &draft.model.value {
        Model::Preset(name) => {
            let preset = preset::find(name);
            Origin { preset, context: preset.map(|preset| preset.context), peak: None }
        }
        Model::From(folder) => {
            Origin { preset: None, context: None, peak: written.or_else(|| peak::known(folder)) }
        }
        Model::Run(name) => {
            let origin =
                origins.get(name).expect("names of runs were checked, and are resolved in order");
            Origin { peak: written.or(origin.peak), ..*origin }
        }
    }
}

fn data(
    draft: &DataDraft,
    pins: &Pins<'_>,
    around: Surroundings<'_>,
    errors: &mut Errors,
) -> Option<Data> {
    let mixture = mixture::resolve(draft, pins, errors)?;
    let source = |source: &SourceDraft| Source {
        path: absolute(&source.path, &around.context.folder),
        field: source.field.clone().unwrap_or_else(|| JSON_FIELD.to_owned()),
        group_by: source.group_by.clone(),
        slices: source.slices.clone(),
    };
    Some(Data {
        heldout: Heldout {
            share: draft.heldout_share.or(around.base.heldout_share).unwrap_or(HELDOUT_SHARE),
            tokens: draft.heldout_tokens.or(around.base.heldout_tokens).unwrap_or(HELDOUT_TOKENS),
        },
        sources: draft.sources.iter().map(|(name, draft)| (name.clone(), source(draft))).collect(),
        mixture,
        document_masks: draft.document_masks.unwrap_or(true),
    })
}

fn train(
    run: &RunDraft,
    origin: Origin,
    context: &Context,
    path: &str,
    errors: &mut Errors,
) -> Option<Train> {
    let draft: &TrainDraft = &run.train;
    let default = origin.context.map(|context| context.min(CONTEXT_MAX));
    let Some(length) = draft.context.or(default) else {
        let Placed { value: _, place } = run.model;
        let message = "no default for context with a model from a folder yet: write for example \
                       `context: 2048`";
        errors.add(place, &format!("{path}.train.context"), message);
        return None;
    };
    let wanted = draft.batch.unwrap_or_else(|| BATCH_MAX.min(draft.tokens / STEPS_WANTED));
    let sequences = (wanted / u64::from(length)).max(1);
    let batch = sequences * u64::from(length);
    let engine = draft.engine.unwrap_or(context.engine);
    let pass = if engine == Engine::CudaBf16 { GPU_PASS_TOKENS } else { PASS_TOKENS };
    let fitting = draft.micro_batch.unwrap_or_else(|| (pass / length).max(1));
    let steps = draft.tokens.div_ceil(batch).max(1);
    let lr_path = format!("{path}.train.lr");
    let peak = peak::resolve(&draft.lr.peak, &run.model.value, origin.peak, &lr_path, errors)?;
    let lr = schedule::lr(&draft.lr, peak, steps, &lr_path, errors)?;
    Some(Train {
        tokens: draft.tokens,
        context: length,
        batch,
        micro_batch: largest_divisor(sequences, fitting),
        lr,
        adamw: AdamW {
            beta1: draft.beta1.unwrap_or(0.9),
            beta2: draft.beta2.unwrap_or(0.95),
            eps: draft.eps.unwrap_or(1e-8),
            weight_decay: draft.weight_decay.unwrap_or(0.1),
        },
        clip: draft.clip.unwrap_or(1.0),
        z_loss: draft.z_loss.unwrap_or(0.0),
        engine,
        devices: draft.devices.unwrap_or(1),
        seed: draft.seed.unwrap_or(1),
    })
}

/// The largest divisor of `number` that is at most `limit`: passes are then equally long.
fn largest_divisor(number: u64, limit: u32) -> u32 {
    let divides = |divisor: &u32| number.is_multiple_of(u64::from(*divisor));
    (1..=limit).rev().find(divides).unwrap_or(1)
}

/// `.` is dropped; `..` stays, because behind a symbolic link its meaning is the file system's.
pub(super) fn absolute(path: &str, folder: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let parts: Vec<&str> =
        whole.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{absolute, largest_divisor};

    #[test]
    fn paths_become_absolute_without_dots() {
        assert_eq!(absolute("./a//b.txt", "/x/y/"), "/x/y/a/b.txt");
        assert_eq!(absolute("/a/./b.txt", "/x"), "/a/b.txt");
        assert_eq!(absolute("../b.txt", "/x/y"), "/x/y/../b.txt");
    }

    #[test]
    fn a_micro_batch_divides_the_batch() {
        assert_eq!(largest_divisor(12, 8), 6);
        assert_eq!(largest_divisor(7, 4), 1);
        assert_eq!(largest_divisor(8, 100), 8);
    }
}
