//! A finished run goes on from the state before its decay: as a new run of its sweep, with a point of
//! its own. It is the point of a run that is as long from the beginning, whose bits it gives.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assay_api::RunId;
use assay_api::expand::{point_of, source_tokens_needed};
use assay_api::extension::{Extended, extended};
use assay_api::spec::{Model, RunSpec, TrainSpec};
use assay_api::view::{ExtendAnswer, ExtendRequest};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::http::Error;
use crate::store;
use crate::store::extension::{self, Source};
use crate::store::run::{NeededResult, NewRun};

/// # Errors
/// 404: there is no such run. 409: it has not succeeded, keeps no state, or is extended so already.
/// 422: the wish cannot be read, is not longer, or passes over a source too often.
pub async fn extend(app: &App, run: RunId, asked: &ExtendRequest) -> Result<ExtendAnswer, Error> {
    let mut tx = app.store.begin().await?;
    extension::lock_sweep(&mut *tx, run).await?;
    let missing = || Error::NotFound(format!("no run {run}"));
    let source = extension::source(&mut *tx, run).await?.ok_or_else(missing)?;
    let spec = finished(&source)?;
    let Extended { spec, step } =
        extended(&spec, &asked.tokens, asked.decay.as_deref()).map_err(Error::Invalid)?;
    let lost = || Error::Conflict(format!("its checkpoint of step {step} was never reported"));
    let kept = extension::kept(&mut *tx, run, step.cast_signed()).await?.ok_or_else(lost)?;

    let results = store::run::needed_results(&mut *tx, run).await?;
    within_epochs(&source, &spec, &results)?;
    let earlier = extension::of(&mut *tx, run).await?.map(|earlier| earlier.of_run_id);
    let new = new_run(&source, run, &spec, (&results, earlier));
    unknown(&mut tx, &source, &new.point).await?;
    let sweep = assay_api::SweepId(source.sweep_id);
    store::run::insert(&mut tx, sweep, std::slice::from_ref(&new)).await?;
    extension::insert(&mut *tx, new.run_id, (run, kept, step.cast_signed())).await?;
    tx.commit().await?;
    app.wake().await?;
    let number = new.number.unsigned_abs();
    Ok(ExtendAnswer { run_id: RunId(new.run_id), number, label: new.label, step })
}

fn finished(source: &Source) -> Result<TrainSpec, Error> {
    let spec = serde_json::from_value(source.spec.clone()).map_err(anyhow::Error::from)?;
    let RunSpec::Train(spec) = spec else {
        return Err(Error::Conflict(format!(
            "a `{}` run trains nothing to go on with",
            source.kind
        )));
    };
    same_name(source)?;
    match (source.state.as_str(), source.outcome.as_deref()) {
        ("done", Some("succeeded")) => Ok(spec),
        (state, outcome) => Err(Error::Conflict(format!(
            "the run is {state}{}: only one that succeeded can be extended",
            outcome.map_or_else(String::new, |outcome| format!(" ({outcome})")),
        ))),
    }
}

/// A checkpoint is gone on from by a run that says the same of what it began as.
fn same_name(source: &Source) -> Result<(), Error> {
    match (&source.reused, &source.reused_model) {
        (Some(original), Some(model)) if source.spec.get("model") != Some(model) => {
            Err(Error::Conflict(format!(
                "it is reused from {original}, whose file gives the run that both began as another name: \
                 extend {original}, or give it that name in a new sweep"
            )))
        }
        _ => Ok(()),
    }
}

/// By what was prepared, of which the held-out part is not trained on.
fn within_epochs(source: &Source, spec: &TrainSpec, results: &[NeededResult]) -> Result<(), Error> {
    // a file that an older controller took is not judged anew
    let Ok(file) = assay_api::sweep::parse(&source.file) else { return Ok(()) };
    let limit = file.limits.epochs;
    let prepared = prepared(results);
    for (name, needed) in source_tokens_needed(spec) {
        let files = serde_json::to_value(&spec.data.sources[&name]).expect("plain data");
        let Some(tokens) = prepared.iter().find(|(known, _)| **known == files).map(|(_, n)| *n)
        else {
            continue;
        };
        let epochs = ratio(needed, tokens, 1.0 - spec.data.heldout.share);
        if limit < epochs {
            return Err(Error::Invalid(format!(
                "it would see `{name}` {epochs:.1} times, over `limits.epochs` = {limit}: ask for fewer \
                 tokens, or apply the sweep with a higher limit first"
            )));
        }
    }
    Ok(())
}

fn prepared(results: &[NeededResult]) -> Vec<(&Value, i64)> {
    let of = |result: &NeededResult| result.kind == "prepare";
    let results = results.iter().filter(|result| of(result));
    results.filter_map(|result| Some((result.spec.get("files")?, result.tokens))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "compared with a limit of two digits")]
fn ratio(needed: u64, tokens: i64, share: f64) -> f64 {
    needed as f64 / (tokens.max(1) as f64 * share)
}

/// It needs what the shorter run needed, and that run itself.
fn new_run(
    source: &Source,
    run: RunId,
    spec: &TrainSpec,
    (results, earlier): (&[NeededResult], Option<Uuid>),
) -> NewRun<'static> {
    let needs = results.iter().filter(|result| Some(result.run_id) != earlier);
    let base = needs.clone().find(|result| result.kind == "train");
    let base_point = match &spec.model {
        Model::Run(_) => base.map(|base| base.point.as_str()),
        Model::Preset(_) | Model::From(_) => None,
    };
    let steps = spec.train.steps();
    let spec = RunSpec::Train(spec.clone());
    let RunSpec::Train(TrainSpec { train, .. }) = &spec else { unreachable!("it was just made") };
    let mut axes: BTreeMap<String, Value> =
        serde_json::from_value(source.axes.clone()).unwrap_or_default();
    // its row is another arm than that of the shorter run
    axes.insert("train.tokens".to_owned(), Value::from(train.tokens));
    NewRun {
        run_id: Uuid::now_v7(),
        number: source.number_max + 1,
        point: point_of(&spec, base_point),
        kind: "train",
        label: format!("{} · {} tokens, from run {}", source.label, train.tokens, source.number),
        axes: Cow::Owned(axes),
        is_baseline: false,
        slots: source.slots,
        // one of its shape has succeeded
        shape: None,
        queue_order: source.queue_order_max + 1,
        steps: steps.cast_signed(),
        needs: needs.map(|result| result.run_id).chain([run.0]).collect(),
        of_run_id: None,
        priority: source.priority,
        // all of them have succeeded, or the shorter run would not have
        is_blocked: false,
        origin: format!("goes on from run {}, for {} tokens in all", source.number, train.tokens),
        spec: Cow::Owned(spec),
    }
}

async fn unknown(tx: &mut PgConnection, source: &Source, point: &str) -> Result<(), Error> {
    let sweep = assay_api::SweepId(source.sweep_id);
    let stored = store::run::of_sweep(&mut *tx, sweep).await?;
    if let Some(same) = stored.iter().find(|run| run.point == point) {
        return Err(Error::Conflict(format!(
            "{}/{} ({}) is that run already",
            source.sweep, same.number, same.label
        )));
    }
    if store::deletion::is_marked(tx, sweep).await? {
        return Err(Error::Conflict(format!("{} is being deleted", source.sweep)));
    }
    Ok(())
}
