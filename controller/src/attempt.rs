//! What workers say: start, report, finish. Each is one transaction that locks its run first.
//!
//! **Invariant:** acknowledged means committed, and sent twice means stored once. A message of an
//! attempt that is not the run's current one, or of a second instance of it, is refused.

use std::collections::BTreeMap;

use assay_api::spec::{EvaluateSpec, Model, RunSpec, TrainSpec};
use assay_api::worker::limits::{REPORTS_MAX, SERIES_MAX};
use assay_api::worker::{
    CANARY_STEPS, DatasetInput, Earlier, Finish, FinishRequest, FoundCheckpoint, Lease, Progress,
    ReportAnswer, ReportRequest, StartAnswer, StartRequest, Weights, Wish, layout,
};
use assay_api::{KillPoint, RunId, SweepId, kill_point};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::http::{Error, Speaker};
use crate::metrics::{self, TAIL_BYTES, TAIL_REPORTS};
use crate::store::attempt::{Current, Start};
use crate::store::report::Stored;
use crate::store::run::NeededResult;
use crate::store::world::{self, Told};
use crate::store::{self, attempt, evaluation};

/// Begins an attempt: picks the checkpoint to go on from, and hides what it overtakes.
///
/// # Errors
/// 409: another instance runs this attempt, or it is no longer wanted.
pub async fn start(
    app: &App,
    speaker: Speaker,
    request: &StartRequest,
) -> Result<StartAnswer, Error> {
    request.check()?;
    let mut tx = app.store.begin().await?;
    let current = current(&mut tx, speaker).await?;
    let lease = Lease { lease_ms: app.lease_ms };
    let (run, number) = (speaker.run, speaker.attempt.cast_signed());
    let resume = match current.instance {
        Some(instance) if instance == request.instance.0 => {
            // its first start's answer was lost
            attempt::resumed(&mut *tx, run, number).await?
        }
        Some(_) => {
            return Err(refused(speaker, "another process runs it"));
        }
        None => {
            let resume = latest(request, speaker.attempt);
            let place = format!("{}, process {}", request.host, request.pid);
            let row = Start { instance: request.instance, place, lease_ms: app.lease_ms, resume };
            begin(&mut tx, speaker, &row).await?;
            row.resume
        }
    };
    let mut answer = inputs(&mut tx, run, resume, lease).await?;
    answer.is_canary = current.is_awaited
        && has_to_rehearse(&answer)
        && store::canary::is_one(&mut *tx, run).await?;
    kill_point(KillPoint::StartStoredCommitted);
    tx.commit().await?;
    app.news.tell(SweepId(current.sweep_id));
    kill_point(KillPoint::StartCommittedAnswered);
    Ok(answer)
}

/// The step and its consequences for what earlier attempts reported.
async fn begin(tx: &mut PgConnection, speaker: Speaker, row: &Start) -> Result<(), Error> {
    let (run, number) = (speaker.run, speaker.attempt.cast_signed());
    world::tell(tx, run, &Told::started(speaker.attempt)).await?;
    attempt::start(&mut *tx, run, number, row).await?;
    let resume = row.resume.as_ref();
    if let Some(found) = resume {
        let path = layout::checkpoint(run, found.attempt, found.step);
        let from = (found.attempt.cast_signed(), found.step.cast_signed());
        let news = evaluation::accept_checkpoint(&mut *tx, run, from, &path).await?;
        if news {
            world::tell(tx, run, &Told::checkpoint_accepted(speaker.attempt, found.step)).await?;
        }
    }
    // step 0 itself was measured before the first update: from scratch hides it too
    let visible_to = resume.map_or(-1, |found| found.step.cast_signed());
    if metrics::hide(tx, run, number, visible_to).await? {
        store::run::rewritten(&mut *tx, run).await?;
    }
    Ok(())
}

/// The furthest complete checkpoint of an earlier attempt; of two at one step, the later attempt's.
fn latest(request: &StartRequest, attempt: u32) -> Option<FoundCheckpoint> {
    let earlier = request.checkpoints.iter().filter(|found| found.attempt < attempt);
    earlier.max_by_key(|found| (found.step, found.attempt)).cloned()
}

/// What the run reads: its datasets, pinned, and the checkpoint that it begins from.
async fn inputs(
    tx: &mut PgConnection,
    run: RunId,
    resume: Option<FoundCheckpoint>,
    lease: Lease,
) -> Result<StartAnswer, Error> {
    let asked = store::run::asked(&mut *tx, run).await?;
    let spec: RunSpec = serde_json::from_value(asked.spec).map_err(anyhow::Error::from)?;
    let results = store::run::needed_results(&mut *tx, run).await?;
    let extended = store::extension::of(&mut *tx, run).await?;
    let shorter = extended.as_ref().map(|earlier| earlier.of_run_id);
    let (mut data, mut begin_from, mut weights) = (BTreeMap::new(), None, Vec::new());
    let mut base_key = None;
    match &spec {
        RunSpec::Prepare(_) => (),
        RunSpec::Train(train) => {
            data = datasets(train, &results)?;
            begin_from = base(train, &results, shorter);
            base_key = base_run(&results, shorter).map(|base| base.fingerprint.clone());
        }
        RunSpec::Evaluate(EvaluateSpec { of, merge }) => {
            data = datasets(of, &results)?;
            weights = scored_weights(of, *merge, &results)?;
        }
    }
    let extends = extended.as_ref().map(earlier).transpose()?.flatten();
    Ok(StartAnswer {
        spec,
        point: asked.point,
        datasets: data,
        base: begin_from,
        base_key,
        weights,
        extends,
        resume,
        is_canary: false,
        lease,
    })
}

/// A canary stops after its first steps and goes on from there; a run that has no more of them proves
/// the same by its end.
fn has_to_rehearse(answer: &StartAnswer) -> bool {
    let RunSpec::Train(spec) = &answer.spec else { return false };
    let from = answer.resume.as_ref().map_or(0, |found| found.step);
    from < CANARY_STEPS && CANARY_STEPS < spec.train.steps()
}

/// Each source's dataset, of a run that needs these results.
pub(crate) fn datasets(
    train: &TrainSpec,
    results: &[NeededResult],
) -> Result<BTreeMap<String, DatasetInput>, Error> {
    let mut datasets = BTreeMap::new();
    for result in results.iter().filter(|result| result.kind == "prepare") {
        let spec = serde_json::from_value(result.spec.clone()).map_err(anyhow::Error::from)?;
        let RunSpec::Prepare(prepare) = spec else { continue };
        for (name, _) in train.data.sources.iter().filter(|(_, files)| **files == prepare.files) {
            let (path, fingerprint) = (result.path.clone(), result.fingerprint.clone());
            datasets.insert(name.clone(), DatasetInput { path, fingerprint });
        }
    }
    Ok(datasets)
}

/// What its model comes from.
fn base(train: &TrainSpec, results: &[NeededResult], other: Option<Uuid>) -> Option<String> {
    if let Model::From(folder) = &train.model {
        return Some(folder.clone());
    }
    base_run(results, other).map(|base| base.path.clone())
}

/// The run that its model comes from. Another run that is needed as well is not meant: the shorter one that
/// it goes on from, or itself where its weights are merged.
pub(crate) fn base_run(results: &[NeededResult], other: Option<Uuid>) -> Option<&NeededResult> {
    let mut trained = results.iter().filter(|result| result.kind == "train");
    trained.find(|result| Some(result.run_id) != other)
}

/// The weights of a run, alone or merged with those that it was trained from.
fn scored_weights(
    of: &TrainSpec,
    merge: Option<f64>,
    results: &[NeededResult],
) -> Result<Vec<Weights>, Error> {
    let is_own = |result: &&NeededResult| {
        // what is evaluated changes no weight
        match serde_json::from_value(result.spec.clone()) {
            Ok(RunSpec::Train(found)) => TrainSpec { eval: of.eval.clone(), ..found } == *of,
            Ok(RunSpec::Prepare(_) | RunSpec::Evaluate(_)) | Err(_) => false,
        }
    };
    let lost = || anyhow::anyhow!("the run whose weights are to be scored is not among its needs");
    let own = results.iter().find(is_own).ok_or_else(lost)?;
    let weights = |path: String, share| Weights { path, share };
    let Some(share) = merge else { return Ok(vec![weights(own.path.clone(), 1.0)]) };
    let base = base(of, results, Some(own.run_id)).ok_or_else(lost)?;
    Ok(vec![weights(base, 1.0 - share), weights(own.path.clone(), share)])
}

fn earlier(found: &store::extension::Earlier) -> Result<Option<Earlier>, Error> {
    let spec = serde_json::from_value(found.spec.clone()).map_err(anyhow::Error::from)?;
    let RunSpec::Train(TrainSpec { train, .. }) = spec else { return Ok(None) };
    let run = RunId(found.trained_by);
    let path = layout::checkpoint(run, found.attempt.unsigned_abs(), found.step.unsigned_abs());
    Ok(Some(Earlier { path, tokens: train.tokens, decay_steps: train.lr.decay_steps }))
}

/// Stores reports, in the order of their numbers, up to the first gap.
///
/// # Errors
/// 409: the attempt is not current, or another instance runs it. 422: a report over a limit.
pub async fn report(
    app: &App,
    speaker: Speaker,
    request: &ReportRequest,
) -> Result<ReportAnswer, Error> {
    check(request)?;
    let mut tx = app.store.begin().await?;
    let current = current(&mut tx, speaker).await?;
    if current.instance != Some(request.instance.0) {
        return Err(refused(speaker, "another process runs it"));
    }
    let (run, number) = (speaker.run, speaker.attempt.cast_signed());
    let (seq_stored, stored) = match request.carried {
        Some(earlier) => {
            let seq = carried(&mut tx, speaker, &current, (earlier, request)).await?;
            (seq, Stored { is_behind: true, ..Stored::default() })
        }
        None => fresh(&mut tx, run, (number, current.seq_stored), request).await?,
    };
    check_series(&mut tx, run, request).await?;
    let own = if request.carried.is_some() { current.seq_stored } else { seq_stored };
    let bytes = i64::try_from(stored.bytes).map_err(anyhow::Error::from)?;
    attempt::reported(&mut *tx, run, number, (own, bytes), app.lease_ms).await?;
    let is_long =
        TAIL_REPORTS <= own - current.seq_folded || TAIL_BYTES <= current.unfolded_bytes + bytes;
    if is_long || stored.is_behind {
        metrics::fold(&mut tx, run).await?;
    }
    let has_passed = goes_on(&current, request) && store::canary::pass(&mut tx, run).await?;
    kill_point(KillPoint::ReportsStoredCommitted);
    tx.commit().await?;
    app.news.tell(SweepId(current.sweep_id));
    kill_point(KillPoint::ReportsCommittedAnswered);
    if has_passed {
        app.wake().await?;
    }
    Ok(ReportAnswer {
        seq_stored: seq_stored.unsigned_abs(),
        lease: Lease { lease_ms: app.lease_ms },
        wish: wish(&current),
    })
}

async fn fresh(
    tx: &mut PgConnection,
    run: RunId,
    (number, mut seq_stored): (i32, i64),
    request: &ReportRequest,
) -> Result<(i64, Stored), Error> {
    let mut all = Stored::default();
    for report in &request.reports {
        match report.seq.cast_signed() - seq_stored {
            ..1 => (), // stored before
            1 => {
                let stored = store::report::insert(tx, run, number, report).await?;
                all.bytes += stored.bytes;
                all.is_behind |= stored.is_behind;
                seq_stored += 1;
            }
            2.. => break, // the worker sends again from what is stored
        }
    }
    store::report::progress(tx, run, last_progress(request)).await?;
    Ok((seq_stored, all))
}

fn last_progress(request: &ReportRequest) -> Option<&Progress> {
    request.reports.iter().rev().find_map(|report| report.progress.as_ref())
}

/// Whether a run that others wait for has gone on from what it saved.
fn goes_on(current: &Current, request: &ReportRequest) -> bool {
    let resumed = current.resumed_step.map(i64::unsigned_abs);
    let from = resumed.filter(|step| current.is_awaited && CANARY_STEPS <= *step);
    let reached = last_progress(request).filter(|_| request.carried.is_none());
    from.zip(reached).is_some_and(|(from, reached)| from < reached.step)
}

/// Reports of an earlier attempt that the checkpoint carried, up to the step that was resumed.
async fn carried(
    tx: &mut PgConnection,
    speaker: Speaker,
    current: &Current,
    (earlier, request): (u32, &ReportRequest),
) -> Result<i64, Error> {
    let Some(resumed) = current.resumed_step.filter(|_| earlier < speaker.attempt) else {
        return Err(Error::Invalid(format!(
            "attempt {} carries no reports of attempt {earlier}",
            speaker.attempt
        )));
    };
    // it is below the speaker's own, which is one that was given out
    let (run, number) = (speaker.run, earlier.cast_signed());
    let missing = || Error::Invalid(format!("there was no attempt {earlier}"));
    let stored = attempt::lock_seq_stored(&mut *tx, run, number).await?.ok_or_else(missing)?;
    let mut highest = stored;
    for report in request.reports.iter().filter(|report| stored < report.seq.cast_signed()) {
        let report = up_to(report.clone(), resumed.unsigned_abs());
        store::report::insert(tx, run, number, &report).await?;
        highest = highest.max(report.seq.cast_signed());
    }
    attempt::store_seq(&mut *tx, run, number, highest).await?;
    Ok(highest)
}

/// A report without its points and scores beyond `step`.
fn up_to(mut report: assay_api::worker::Report, step: u64) -> assay_api::worker::Report {
    for batch in &mut report.metrics {
        let n = batch.steps.partition_point(|&at| at <= step);
        batch.steps.truncate(n);
        batch.values.truncate(n);
        batch.times.truncate(n);
    }
    report.metrics.retain(|batch| !batch.steps.is_empty());
    report.evaluations.retain(|evaluation| evaluation.step <= step);
    report.checkpoints.retain(|saved| saved.step <= step);
    report
}

fn check(request: &ReportRequest) -> Result<(), Error> {
    let n = request.reports.len();
    if REPORTS_MAX < n {
        return Err(Error::Limit(format!(
            "{n} reports; the limit is {REPORTS_MAX}: send them in parts"
        )));
    }
    for report in &request.reports {
        report.check().map_err(|unfit| {
            let text = format!("report {}: {unfit}", report.seq);
            if unfit.is_over_a_limit() { Error::Limit(text) } else { Error::Invalid(text) }
        })?;
    }
    Ok(())
}

/// A run's series are its metrics; thousands more are values that stand in names.
async fn check_series(
    tx: &mut PgConnection,
    run: RunId,
    request: &ReportRequest,
) -> Result<(), Error> {
    if request.reports.iter().all(|report| report.metrics.is_empty()) {
        return Ok(());
    }
    let n = store::series::count(tx, run).await?;
    if n <= SERIES_MAX as i64 {
        return Ok(());
    }
    Err(Error::Limit(format!("run {run} would have {n} series; the limit is {SERIES_MAX}")))
}

/// What is wanted of the worker, as the run's state has it.
fn wish(current: &Current) -> Wish {
    match (current.state.as_str(), current.outcome.as_deref(), current.cause.as_deref()) {
        ("stopping", None, Some("preempted")) => Wish::CheckpointAndStop,
        ("stopping", ..) => Wish::Stop,
        _ => Wish::Continue,
    }
}

/// Ends an attempt as its worker saw it. Terminal state and reason are stored before anything is
/// deleted.
///
/// # Errors
/// 409: the attempt is not current, or another instance runs it.
pub async fn finish(app: &App, speaker: Speaker, request: &FinishRequest) -> Result<(), Error> {
    request.finish.check()?;
    let mut tx = app.store.begin().await?;
    let current = current(&mut tx, speaker).await?;
    if current.instance != Some(request.instance.0) {
        return Err(refused(speaker, "another process runs it"));
    }
    let run = speaker.run;
    if store::run::has_finished(&mut *tx, run, speaker.attempt.cast_signed()).await? {
        return Ok(()); // its answer was lost
    }
    let told = match &request.finish {
        Finish::Succeeded { step, path, fingerprint, tokens } => {
            let number = speaker.attempt.cast_signed();
            let (what, left) = ((*step, *tokens), (path.as_str(), fingerprint.as_str()));
            store::run::insert_result(&mut *tx, run, number, what, left).await?;
            match pin(&mut tx, run, fingerprint).await? {
                None => Told::succeeded(speaker.attempt, *step),
                Some(mismatch) => Told::failed(speaker.attempt, (*step, true), mismatch),
            }
        }
        Finish::Diverged { step, reason } => Told::diverged(speaker.attempt, *step, reason),
        Finish::Error { step, message, is_final } => {
            Told::failed(speaker.attempt, (*step, *is_final), message.clone())
        }
        Finish::Preempted { step, pace } => Told::preempted(speaker.attempt, *step, pace.as_ref()),
    };
    match &request.finish {
        Finish::Succeeded { .. } if current.is_awaited => {
            store::canary::pass(&mut tx, run).await?;
        }
        Finish::Preempted { pace: Some(pace), .. } if current.is_awaited => {
            store::canary::measured(&mut *tx, run, pace).await?;
        }
        Finish::Succeeded { .. }
        | Finish::Preempted { .. }
        | Finish::Diverged { .. }
        | Finish::Error { .. } => (),
    }
    match world::tell(&mut tx, run, &told).await {
        Ok(_) => (),
        // the run is being cancelled, which stands
        Err(world::TellError::Illegal(_)) if current.state == "stopping" => (),
        Err(error) => return Err(error.into()),
    }
    kill_point(KillPoint::FinishStoredCommitted);
    tx.commit().await?;
    app.news.tell(SweepId(current.sweep_id));
    kill_point(KillPoint::FinishCommittedAnswered);
    app.wake().await?;
    Ok(())
}

/// The data that the sweep is about; a sentence where this run prepared other data.
async fn pin(
    tx: &mut PgConnection,
    run: RunId,
    fingerprint: &str,
) -> Result<Option<String>, Error> {
    let asked = store::run::asked(&mut *tx, run).await?;
    if asked.spec.get("kind").and_then(|kind| kind.as_str()) != Some("prepare") {
        return Ok(None);
    }
    let pinned = store::sweep::pin(&mut *tx, asked.sweep_id, &asked.point, fingerprint).await?;
    let mismatch = "the source has changed since this sweep first read it: a sweep is about one set of data; \
                    put the old file back, or apply the new one as a sweep of its own";
    Ok((pinned != fingerprint).then(|| mismatch.to_owned()))
}

async fn current(tx: &mut PgConnection, speaker: Speaker) -> Result<Current, Error> {
    let current = attempt::lock_current(tx, speaker.run, speaker.attempt.cast_signed()).await?;
    current.ok_or_else(|| refused(speaker, "it is no longer the run's current attempt"))
}

fn refused(speaker: Speaker, why: &str) -> Error {
    Error::Conflict(format!("attempt {} of run {}: {why}", speaker.attempt, speaker.run))
}
