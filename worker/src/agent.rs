//! The life of one attempt: start, work, flush, finish.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_api::client::{Error, WorkerClient};
use assay_api::result_key::recorded_key;
use assay_api::spec::{Engine, EvaluateSpec, PrepareSpec, RunSpec, TrainSpec};
use assay_api::worker::{
    CANARY_STEPS, DatasetInput, EXIT_PREEMPTED, Finish, FinishRequest, FoundCheckpoint, LogLevel,
    StartAnswer, StartRequest, Wish, layout,
};
use assay_api::{InstanceId, KillPoint, kill_point};
use assay_cuda::Cards;
use assay_trainer::checkpoint::{self, CheckpointError};
use assay_trainer::data::{self, Dataset};
use assay_trainer::{Gpu, Inputs, Outcome, SEMANTICS, Shorter, TrainError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::card;
use crate::config::Attempt;
use crate::memory;
use crate::portion;
use crate::recorder::{Recorder, relative};
use crate::reporter::{self, Carried, Shared, Standing};
use crate::spool::Spool;

/// An error of the run's own was recorded.
const EXIT_ERROR: i32 = 1;
/// The controller does not want this attempt: nothing was recorded.
const EXIT_REFUSED: i32 = 3;
/// How long a worker that was told to leave tries to hand over its last reports. They lie in the
/// checkpoint as well.
const LEAVING: Duration = Duration::from_secs(10);
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs the attempt to its end; returns the exit status.
///
/// # Errors
/// The worker's own surroundings fail it: no scratch folder, no controller at the URL at all.
pub fn run(attempt: &Attempt) -> anyhow::Result<i32> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the reporting thread")?;
    let Attempt { controller, run, attempt: number, secret, .. } = attempt;
    let client = WorkerClient::new(controller, *run, *number, secret.clone())?;
    let instance = InstanceId(uuid::Uuid::new_v4());

    let storage = absolute(&attempt.storage)?;
    let run_folder = storage.join(layout::run(*run));
    let found = checkpoint::list(&run_folder).context("cannot look for checkpoints")?;
    let spool = Spool::open(&attempt.scratch.join("reports.spool"))?;
    let shared = Shared::new(spool);
    hear_signals(&runtime, &shared)?;

    let request = StartRequest {
        instance,
        checkpoints: found
            .iter()
            .map(|c| FoundCheckpoint { attempt: c.attempt, step: c.step })
            .collect(),
        host: portion::name(&attempt.host.clone().unwrap_or_else(host)),
        pid: std::process::id(),
    };
    let start = reporter::insist(&shared, instance, || client.start(&request));
    let answer = match runtime.block_on(start) {
        Ok(answer) => answer,
        Err(error) => return leave(&error, &shared),
    };

    kill_point(KillPoint::AnsweredWorks);
    let resume = answer.resume.as_ref().map(|f| checkpoint::folder(&run_folder, f.attempt, f.step));
    let place = Place { attempt, storage, run_folder, resume };
    let carried = place.carried().map(|reports| shared.carry(reports));
    let lease = Duration::from_millis(answer.lease.lease_ms);
    runtime.spawn(reporter::send(shared.clone(), client.clone(), instance, lease));

    let finish = work(&answer, &place, carried, &shared);
    Ok(end(&runtime, &client, (instance, &shared), finish))
}

/// Where an attempt reads and writes.
struct Place<'a> {
    attempt: &'a Attempt,
    storage: PathBuf,
    run_folder: PathBuf,
    resume: Option<PathBuf>,
}

impl Place<'_> {
    /// Compiled kernels lie beside all runs: the next one finds them.
    fn gpu(&self) -> Box<dyn Gpu> {
        Box::new(Cards { kept_kernels: Some(self.storage.join("kernels")) })
    }

    /// Reports of earlier attempts that the checkpoint carries.
    fn carried(&self) -> Result<Vec<Carried>, Failure> {
        let Some(folder) = &self.resume else { return Ok(Vec::new()) };
        let bytes = checkpoint::carried(folder).map_err(|error| self.failure(error.into(), 0))?;
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let reports = serde_json::from_slice(&bytes).context("the checkpoint carries no reports");
        reports.map_err(|error| Failure { error, is_final: false, step: 0 })
    }

    /// A checkpoint that cannot be gone on from is not to be picked again.
    fn failure(&self, error: TrainError, step: u64) -> Failure {
        let is_final = error.is_final();
        let Some(folder) = error.unusable() else {
            return Failure { error: error.into(), is_final, step };
        };
        let told = if self.resume.as_deref() != Some(folder) {
            "restore it, or train that run again"
        } else if self.set_aside(&error, folder).is_ok() {
            "it is set aside, and the next attempt goes on without it"
        } else {
            "it cannot be set aside: delete the folder, and retry"
        };
        Failure { error: anyhow::anyhow!("{error}; {told}"), is_final, step }
    }

    /// Where the data was given up, all checkpoints were: one at an attempt would use up the tries.
    fn set_aside(&self, error: &TrainError, folder: &Path) -> Result<(), CheckpointError> {
        if !matches!(error, TrainError::OtherData { .. }) {
            return checkpoint::set_aside(folder);
        }
        let all = checkpoint::list(&self.run_folder)?;
        all.iter().try_for_each(|found| checkpoint::set_aside(&found.folder))
    }
}

/// None: asked to stop at once.
fn work(
    answer: &StartAnswer,
    place: &Place<'_>,
    carried: Result<(), Failure>,
    shared: &Arc<Shared>,
) -> Option<Finish> {
    let steps = match &answer.spec {
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => 0,
        RunSpec::Train(spec) => spec.train.steps(),
    };
    let number = place.attempt.attempt;
    let mut recorder = Recorder::new(shared.clone(), number, &place.storage, steps);
    // an engine of the CPU leaves the machine's GPU to others
    if answer.spec.engine() == Some(Engine::CudaBf16) {
        recorder.watch_card();
    }
    let done = carried.and_then(|()| match &answer.spec {
        RunSpec::Prepare(spec) => prepare(spec, &answer.point, place, &mut recorder, shared),
        RunSpec::Train(spec) => train(spec, answer, place, &mut recorder),
        RunSpec::Evaluate(EvaluateSpec { of, .. }) => {
            score(of, answer, place, &mut recorder, shared)
        }
    });
    let finish = match done {
        Ok(finish) => finish,
        Err(Failure { error, is_final, step }) => {
            let message = card::explained(&error, || recorder.take_xid());
            recorder.log(LogLevel::Error, message.clone());
            Some(Finish::Error { step, message, is_final })
        }
    };
    recorder.flush();
    match recorder.take_trouble() {
        Some(trouble) => {
            let message = format!("{trouble:#}: is the disk full?");
            let step = recorder.step();
            Some(Finish::Error { step, message, is_final: false })
        }
        None => finish,
    }
}

struct Failure {
    error: anyhow::Error,
    is_final: bool,
    step: u64,
}

fn prepare(
    spec: &PrepareSpec,
    point: &str,
    place: &Place<'_>,
    recorder: &mut Recorder,
    shared: &Shared,
) -> Result<Option<Finish>, Failure> {
    let path = layout::dataset(point);
    let folder = place.storage.join(&path);
    recorder.log(LogLevel::Info, format!("preparing {} from {}", spec.source, spec.files.path));
    let mut progress = |at: data::Progress| {
        recorder.progressed(at.bytes, at.bytes_total, at.tokens);
        match shared.wish() {
            Wish::Continue => ControlFlow::Continue(()),
            Wish::CheckpointAndStop | Wish::Stop => ControlFlow::Break(()),
        }
    };
    let done = fs::create_dir_all(folder.parent().unwrap_or(&folder))
        .map_err(|error| Failure { error: error.into(), is_final: false, step: 0 })
        .map(|()| data::prepare(spec, &folder, &mut progress))?;
    match done {
        Ok(prepared) => {
            let data::Prepared { tokens, documents, documents_heldout, .. } = prepared;
            recorder.progressed(1, 1, tokens);
            recorder.log(
                LogLevel::Info,
                format!(
                    "{documents} documents, {tokens} tokens; {documents_heldout} documents held out"
                ),
            );
            let fingerprint = prepared.fingerprint;
            Ok(Some(Finish::Succeeded { step: 0, path, fingerprint, tokens }))
        }
        Err(_) if shared.wish() == Wish::CheckpointAndStop => {
            Ok(Some(Finish::Preempted { step: 0, pace: None }))
        }
        Err(_) if shared.wish() == Wish::Stop => Ok(None),
        Err(error) => {
            let is_final = error.is_final();
            Err(Failure { error: error.into(), is_final, step: 0 })
        }
    }
}

fn train(
    spec: &TrainSpec,
    answer: &StartAnswer,
    place: &Place<'_>,
    recorder: &mut Recorder,
) -> Result<Option<Finish>, Failure> {
    let from = answer.resume.as_ref().map_or(0, |found| found.step);
    let data = |error: data::DataError| {
        let is_final = error.is_final();
        Failure { error: error.into(), is_final, step: from }
    };
    let datasets = datasets(answer, place).map_err(data)?;
    recorder.log(LogLevel::Info, greeting(spec, answer));
    let inputs = Inputs {
        datasets,
        base: answer.base.as_ref().map(|path| place.storage.join(path)),
        run_folder: place.run_folder.clone(),
        attempt: place.attempt.attempt,
        extends: answer.extends.as_ref().map(|earlier| Shorter {
            checkpoint: place.storage.join(&earlier.path),
            tokens: earlier.tokens,
            decay_steps: earlier.decay_steps,
        }),
        resume: place.resume.clone(),
        is_canary: answer.is_canary,
        threads: spec.train.devices as usize,
        memory: memory::limit(),
        gpu: Some(place.gpu()),
    };
    let outcome = assay_trainer::train(spec, &inputs, recorder)
        .map_err(|error| place.failure(error, recorder.step()))?;
    Ok(match outcome {
        Outcome::Finished { step, checkpoint, tokens } => {
            let path = relative(&place.storage, &checkpoint);
            let fingerprint = recorded_key(place.attempt.run, answer);
            Some(Finish::Succeeded { step, path, fingerprint, tokens })
        }
        Outcome::Diverged { step, reason } => Some(Finish::Diverged { step, reason }),
        Outcome::Preempted { step, .. } => {
            let has_rehearsed = answer.is_canary && step == CANARY_STEPS;
            let pace = if has_rehearsed { recorder.pace() } else { None };
            Some(Finish::Preempted { step, pace })
        }
        Outcome::Stopped { .. } => None,
    })
}

fn datasets(
    answer: &StartAnswer,
    place: &Place<'_>,
) -> Result<BTreeMap<String, Dataset>, data::DataError> {
    let open = |(name, input): (&String, &DatasetInput)| {
        let folder = place.storage.join(&input.path);
        Ok((name.clone(), Dataset::open_pinned(&folder, &input.fingerprint)?))
    };
    answer.datasets.iter().map(open).collect()
}

/// Scores weights that other runs have trained. It keeps nothing: begun again, it scores all again.
fn score(
    spec: &TrainSpec,
    answer: &StartAnswer,
    place: &Place<'_>,
    recorder: &mut Recorder,
    shared: &Shared,
) -> Result<Option<Finish>, Failure> {
    let failed = |error: data::DataError| {
        let is_final = error.is_final();
        Failure { error: error.into(), is_final, step: 0 }
    };
    let shown =
        answer.weights.iter().map(|weights| format!("{} of {}", weights.share, weights.path));
    let path = shown.collect::<Vec<_>>().join(" and ");
    recorder.log(LogLevel::Info, format!("scoring {path}"));
    let weights: Vec<(PathBuf, f64)> = answer
        .weights
        .iter()
        .map(|weights| (place.storage.join(&weights.path), weights.share))
        .collect();
    let inputs = Inputs {
        datasets: datasets(answer, place).map_err(failed)?,
        base: None,
        run_folder: place.run_folder.clone(),
        attempt: place.attempt.attempt,
        extends: None,
        resume: None,
        is_canary: false,
        threads: spec.train.devices as usize,
        memory: memory::limit(),
        gpu: Some(place.gpu()),
    };
    let done = assay_trainer::score(spec, &weights, &inputs, recorder)
        .map_err(|error| place.failure(error, 0))?;
    Ok(match done {
        Some(step) => {
            let fingerprint = recorded_key(place.attempt.run, answer);
            Some(Finish::Succeeded { step, path, fingerprint, tokens: 0 })
        }
        None if shared.wish() == Wish::CheckpointAndStop => {
            Some(Finish::Preempted { step: 0, pace: None })
        }
        None => None,
    })
}

/// The facts that people look for when two runs that should agree do not.
fn greeting(spec: &TrainSpec, answer: &StartAnswer) -> String {
    let train = &spec.train;
    let from = match (&answer.resume, &answer.extends) {
        (Some(found), _) => format!("from step {} of attempt {}", found.step, found.attempt),
        (None, Some(earlier)) => format!("from {}", earlier.path),
        (None, None) => "from the beginning".to_owned(),
    };
    format!(
        "training {from}: {} steps of {} tokens, engine {}, {} device(s), trainer {} (semantics {SEMANTICS}) on {}",
        train.steps(),
        train.batch,
        train.engine.name(),
        train.devices,
        env!("CARGO_PKG_VERSION"),
        host(),
    )
}

/// Hands over what is left and records the end.
fn end(
    runtime: &Runtime,
    client: &WorkerClient,
    (instance, shared): (InstanceId, &Shared),
    finish: Option<Finish>,
) -> i32 {
    let Some(finish) = finish else {
        return if shared.standing() == Standing::Sending { 0 } else { EXIT_REFUSED };
    };
    let is_leaving = matches!(finish, Finish::Preempted { .. });
    let code = match &finish {
        Finish::Succeeded { .. } | Finish::Diverged { .. } => 0,
        Finish::Error { .. } => EXIT_ERROR,
        Finish::Preempted { .. } => EXIT_PREEMPTED,
    };
    let patience = if is_leaving { LEAVING } else { FOR_EVER };
    let request = FinishRequest { instance, finish: portion::finish(finish) };
    kill_point(KillPoint::WorkedFlushed);
    let recorded = runtime.block_on(async {
        shared.flushed(patience).await;
        kill_point(KillPoint::FlushedFinished);
        reporter::insist(shared, instance, || client.finish(&request)).await
    });
    kill_point(KillPoint::FinishedExits);
    match recorded {
        Err(error) if error.is_conflict() => EXIT_REFUSED,
        // the exit status says that a checkpoint was saved; of other ends nobody knows: tried again
        Err(_) if !is_leaving => EXIT_ERROR,
        _ => code,
    }
}

fn leave(error: &Error, shared: &Shared) -> anyhow::Result<i32> {
    if error.is_conflict() {
        return Ok(EXIT_REFUSED);
    }
    if shared.is_terminated() {
        return Ok(EXIT_PREEMPTED);
    }
    anyhow::bail!("the controller refuses this worker: {error}")
}

fn hear_signals(runtime: &Runtime, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let shared = shared.clone();
    let _inside = runtime.enter();
    let mut terminated = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot hear SIGINT")?;
    runtime.spawn(async move {
        loop {
            tokio::select! { _ = terminated.recv() => (), _ = interrupted.recv() => () }
            shared.terminate();
        }
    });
    Ok(())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("no storage folder at {}", path.display()))
}
