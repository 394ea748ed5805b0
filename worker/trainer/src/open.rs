//! From a spec and its inputs to a run that can take its next step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_api::spec::{Engine as EngineName, Model, TrainSpec};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::checkpoint::{self, Progress};
use crate::cpu::{Cpu, NO_BF16, Products};
use crate::data::{Dataset, Mixture, hex, vocabulary_size};
use crate::engine::{Engine, Settings};
use crate::evaluate::Exam;
use crate::hugging_face::{self, Loaded};
use crate::initial::Drawing;
use crate::merge;
use crate::model::{EMBEDDING, preset, presets};
use crate::planned::{Planned, Shape};
use crate::reference::Reference;
use crate::schedule::decay_begin;
use crate::watcher::{Inputs, Shorter, TrainError};

/// A run, ready to go on.
pub(crate) struct Opened<'a> {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) mixture: Mixture<'a>,
    pub(crate) exam: Exam,
    /// `config.json` of every checkpoint.
    pub(crate) config: Map<String, Value>,
    pub(crate) progress: Progress,
    /// The checkpoint that holds exactly this state.
    pub(crate) saved: Option<(u64, PathBuf)>,
}

pub(crate) fn open<'a>(spec: &TrainSpec, inputs: &'a Inputs) -> Result<Opened<'a>, TrainError> {
    check(spec, inputs)?;
    let earlier = match (&inputs.resume, &inputs.extends) {
        (Some(folder), _) => Some((folder, resumable(spec, inputs, folder)?)),
        (None, Some(shorter)) => Some((&shorter.checkpoint, continued(spec, inputs, shorter)?)),
        (None, None) => None,
    };
    let model = match earlier {
        // A checkpoint holds all of its model: what it once began from need not exist any more.
        Some((folder, _)) => hugging_face::load(folder).map_err(TrainError::Base)?,
        None => begin(spec, inputs)?,
    };
    let (mut engine, exam, Loaded { config, json, weights }) = engine(spec, inputs, model)?;
    let (mut progress, mut saved) = (Progress::default(), None);
    if let Some((folder, reached)) = earlier {
        progress = reached;
        engine.load(&weights, &checkpoint::optimizer(folder)?).map_err(TrainError::Engine)?;
        if inputs.resume.is_some() {
            saved = Some((progress.step, folder.clone()));
        } else {
            progress.is_measured = !exam.is_due(progress.step);
        }
    }
    let is_bf16 = engine.weights().is_bf16(EMBEDDING);
    let dtype = if is_bf16 { "bfloat16" } else { "float32" };
    let datasets: BTreeMap<String, &Dataset> =
        inputs.datasets.iter().map(|(name, dataset)| (name.clone(), dataset)).collect();
    Ok(Opened {
        engine,
        mixture: Mixture::new(&datasets, &spec.data.mixture, spec.train.seed, spec.train.context)?,
        exam,
        config: hugging_face::json(&config, dtype, &json),
        progress,
        saved,
    })
}

/// A linear mean of weights that exist, ready to be scored.
pub(crate) fn weights(
    spec: &TrainSpec,
    weights: &[(PathBuf, f64)],
    inputs: &Inputs,
) -> Result<(Box<dyn Engine>, Exam), TrainError> {
    let mut models = Vec::new();
    for (folder, share) in weights {
        models.push((read(folder)?, *share));
    }
    let model = merge::linear(models).map_err(refused)?;
    let (engine, exam, _) = engine(spec, inputs, model)?;
    Ok((engine, exam))
}

/// The engine that the spec names, around a model, and what it is asked.
fn engine(
    spec: &TrainSpec,
    inputs: &Inputs,
    model: Loaded,
) -> Result<(Box<dyn Engine>, Exam, Loaded), TrainError> {
    check_model(spec, &model)?;
    if spec.train.engine == EngineName::CpuBf16 && !Products::Bf16.are_possible_here() {
        return Err(refused(NO_BF16.to_owned()));
    }
    let settings = Settings {
        adamw: spec.train.adamw,
        clip: spec.train.clip,
        z_loss: spec.train.z_loss,
        threads: inputs.threads,
    };
    let Loaded { config, weights, .. } = &model;
    let longest = u32::try_from(config.context).unwrap_or(u32::MAX);
    let exam = Exam::new(spec, &inputs.datasets, longest)?;
    let engine: Box<dyn Engine> = match spec.train.engine {
        EngineName::Reference => {
            Box::new(Reference::new(config, settings, weights).map_err(TrainError::Engine)?)
        }
        EngineName::CpuF32 => on_cpu(spec, inputs, settings, Products::F32, &exam, &model)?,
        EngineName::CpuBf16 => on_cpu(spec, inputs, settings, Products::Bf16, &exam, &model)?,
        EngineName::CudaBf16 => {
            let gpu = inputs.gpu.as_ref().ok_or_else(|| {
                refused("this program was built without the engine `cuda-bf16`".to_owned())
            })?;
            gpu.open(config, settings, &shape(spec, inputs, &exam), weights)?
        }
    };
    Ok((engine, exam, model))
}

fn shape(spec: &TrainSpec, inputs: &Inputs, exam: &Exam) -> Shape {
    Shape {
        rows: spec.train.micro_batch as usize,
        context: spec.train.context as usize,
        longest: exam.longest(),
        threads: inputs.threads,
    }
}

fn on_cpu(
    spec: &TrainSpec,
    inputs: &Inputs,
    settings: Settings,
    products: Products,
    exam: &Exam,
    Loaded { config, weights, .. }: &Loaded,
) -> Result<Box<dyn Engine>, TrainError> {
    let plan = Cpu::plan(config, &shape(spec, inputs, exam), inputs.memory)?;
    let engine = Planned::on_cpu(config, settings, products, plan, weights);
    Ok(Box::new(engine.map_err(TrainError::Engine)?))
}

/// What a checkpoint must agree with: everything that trains the model, and nothing that only
/// measures it.
pub(crate) fn key(spec: &TrainSpec) -> String {
    let trained = (&spec.model, &spec.tokenizer, &spec.data, &spec.train);
    let text = serde_json::to_vec(&trained).expect("a spec has string keys and finite numbers");
    hex(&Sha256::digest(text))
}

/// The model of step 0.
fn begin(spec: &TrainSpec, inputs: &Inputs) -> Result<Loaded, TrainError> {
    match (&spec.model, &inputs.base) {
        (Model::Preset(name), _) => {
            let config = preset(name).ok_or_else(|| {
                let known: Vec<&str> = presets().collect();
                refused(format!("no preset is called `{name}`; there are {}", known.join(", ")))
            })?;
            let weights = Box::new(Drawing { config, seed: spec.train.seed });
            Ok(Loaded { config, json: hugging_face::bytes_tokens(), weights })
        }
        (Model::From(_) | Model::Run(_), Some(folder)) => read(folder),
        (Model::From(name) | Model::Run(name), None) => {
            Err(refused(format!("the model `{name}` was not found: no folder was given for it")))
        }
    }
}

/// A model of others, or a checkpoint of ours, which must be whole.
fn read(folder: &Path) -> Result<Loaded, TrainError> {
    if folder.join(checkpoint::MANIFEST).exists() {
        checkpoint::verify(folder)?;
    }
    hugging_face::load(folder).map_err(TrainError::Base)
}

/// What the data is, by source.
pub(crate) fn fingerprints(inputs: &Inputs) -> BTreeMap<String, String> {
    let named = |(name, data): (&String, &Dataset)| (name.clone(), data.fingerprint().to_owned());
    inputs.datasets.iter().map(named).collect()
}

fn resumable(spec: &TrainSpec, inputs: &Inputs, folder: &Path) -> Result<Progress, TrainError> {
    let manifest = checkpoint::verify(folder)?;
    if manifest.data != fingerprints(inputs) {
        return Err(TrainError::OtherData { folder: folder.to_owned() });
    }
    let problem = if manifest.spec != key(spec) {
        "it was written for another spec".to_owned()
    } else if manifest.semantics != crate::SEMANTICS {
        format!(
            "it was written by a trainer with semantics {}, and this one has {}",
            manifest.semantics,
            crate::SEMANTICS
        )
    } else {
        return Ok(manifest.progress);
    };
    Err(TrainError::Resume { folder: folder.to_owned(), problem })
}

/// Where a longer run begins: up to there both are the same run.
fn continued(spec: &TrainSpec, inputs: &Inputs, shorter: &Shorter) -> Result<Progress, TrainError> {
    let mut before = spec.clone();
    before.train.tokens = shorter.tokens;
    before.train.lr.decay_steps = shorter.decay_steps;
    let progress = resumable(&before, inputs, &shorter.checkpoint)?;
    let (train, was) = (&spec.train, &before.train);
    let common = decay_begin(&train.lr, train.steps()).min(decay_begin(&was.lr, was.steps()));
    if common < progress.step {
        let folder = shorter.checkpoint.clone();
        let problem = format!("it is of step {}, and a decay began at {common}", progress.step);
        return Err(TrainError::Resume { folder, problem });
    }
    Ok(progress)
}

fn check(spec: &TrainSpec, inputs: &Inputs) -> Result<(), TrainError> {
    let train = &spec.train;
    if train.context == 0 || train.batch == 0 || !train.batch.is_multiple_of(train.context.into()) {
        return Err(refused(format!(
            "train.batch ({}) is no multiple of train.context ({})",
            train.batch, train.context
        )));
    }
    if train.micro_batch == 0 || train.tokens == 0 {
        return Err(refused("train.micro_batch and train.tokens must be at least 1".to_owned()));
    }
    for (name, value) in [
        ("lr.peak", train.lr.peak),
        ("lr.floor", train.lr.floor),
        ("clip", train.clip),
        ("z_loss", train.z_loss),
        ("adamw.eps", train.adamw.eps),
        ("adamw.weight_decay", train.adamw.weight_decay),
    ] {
        if !value.is_finite() || value < 0.0 {
            return Err(refused(format!("train.{name} is {value}; it must be at least 0")));
        }
    }
    for (name, value) in [("beta1", train.adamw.beta1), ("beta2", train.adamw.beta2)] {
        if !(0.0..1.0).contains(&value) {
            return Err(refused(format!("train.adamw.{name} is {value}; it must lie in 0..1")));
        }
    }
    for name in spec.data.sources.keys() {
        if !inputs.datasets.contains_key(name) {
            return Err(refused(format!("no dataset was given for the source `{name}`")));
        }
    }
    Ok(())
}

fn check_model(spec: &TrainSpec, model: &Loaded) -> Result<(), TrainError> {
    let needed = vocabulary_size(spec.tokenizer) as usize;
    if model.config.vocabulary < needed {
        return Err(refused(format!(
            "the model knows {} tokens and the tokenizer has {needed}: they do not belong together",
            model.config.vocabulary
        )));
    }
    if model.config.context < spec.train.context as usize {
        return Err(refused(format!(
            "train.context is {} and the model's longest sequence {}",
            spec.train.context, model.config.context
        )));
    }
    Ok(())
}

fn refused(problem: String) -> TrainError {
    TrainError::Spec(problem)
}
