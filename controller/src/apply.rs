//! From a sweep file to stored runs: plan says what would happen, apply does it in one transaction.
//!
//! Twice does nothing the second time: a run is its point, and `(sweep, point)` is unique.

mod diff;
mod sources;

use std::collections::{HashMap, HashSet};

use assay_api::SweepId;
use assay_api::expand::{self, Expansion, PlannedRun};
use assay_api::sweep;
use assay_api::view::{ApplyAnswer, ApplyRequest, FileError, PlanView};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::http::Error;
use crate::intent;
use crate::store;
use crate::store::run::{NewRun, Stored};
use crate::store::sweep::Asked;

use diff::{Change, Diff};

/// What apply would do.
///
/// # Errors
/// The file's errors, each with its place.
pub async fn plan(app: &App, request: &ApplyRequest) -> Result<PlanView, Error> {
    let expansion = read(app, request)?;
    let stored = match store::sweep::find(&app.store.db, &expansion.name).await? {
        Some(sweep) => {
            let pool = store::sweep::pool(&app.store.db, sweep).await?;
            stays_in(&pool, &expansion, request)?;
            Some(store::run::of_sweep(&app.store.db, sweep).await?)
        }
        None => None,
    };
    let diff = Diff::new(&expansion, stored.as_deref().unwrap_or_default(), request);
    Ok(diff.view(&expansion, stored.is_none(), sources::uses(&expansion)))
}

/// Does what [`plan`] says.
///
/// # Errors
/// The file's errors, each with its place; nothing is stored then.
pub async fn apply(app: &App, request: &ApplyRequest) -> Result<ApplyAnswer, Error> {
    let expansion = read(app, request)?;
    let mut tx = app.store.db.begin().await?;
    let is_new = store::sweep::find(&mut *tx, &expansion.name).await?.is_none();
    let sweep = upsert(&mut tx, &expansion, request, app).await?;
    stays_in(&store::sweep::pool(&mut *tx, sweep).await?, &expansion, request)?;
    let stored = store::run::of_sweep(&mut *tx, sweep).await?;
    let diff = Diff::new(&expansion, &stored, request);
    store_runs(&mut tx, sweep, &expansion, &stored).await?;
    for run in diff.to(Change::Cancelled) {
        intent::cancel_in(&mut tx, run).await?;
    }
    for run in diff.to(Change::Retried) {
        intent::retry_in(&mut tx, run).await?;
    }
    tx.commit().await?;
    app.wake().await?;
    let plan = diff.view(&expansion, is_new, sources::uses(&expansion));
    Ok(ApplyAnswer { plan, sweep_id: sweep })
}

/// Parses and expands the file, looks at the files that it names, and pins its tasks.
fn read(app: &App, request: &ApplyRequest) -> Result<Expansion, Error> {
    let folder = request.folder.as_deref().unwrap_or(&app.folder);
    if !folder.starts_with('/') {
        return Err(Error::Invalid(format!("`folder` is `{folder}`; it must be absolute")));
    }
    let sweep = sweep::parse(&request.file).map_err(Error::File)?;
    let context = expand::Context { folder: folder.to_owned(), engine: app.engine };
    let mut expansion = expand::expand(&sweep, &context).map_err(Error::File)?;
    let mut errors = sources::check(&expansion, &request.file);
    errors.extend(sources::pin_tasks(&mut expansion, &request.file));
    errors.extend(pool_errors(app, &expansion, &request.file));
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(expansion) } else { Err(Error::File(errors)) }
}

/// A pool that there is, that gives what the sweep asks for and whose workers see its files, and runs
/// that fit into it at all.
fn pool_errors(app: &App, expansion: &Expansion, file: &str) -> Vec<FileError> {
    let asked = &expansion.resources.pool;
    let Some(pool) = app.pools.named(asked) else {
        let names = app.pools.names().join("`, `");
        let message = format!("there is no pool `{asked}`; there is `{names}`");
        return vec![sources::at(file, "resources.pool", asked, message)];
    };
    let refusals = pool.refusals(&expansion.resources).into_iter();
    let mut errors: Vec<_> = refusals
        .map(|refusal| sources::at(file, refusal.path, &refusal.value, refusal.why))
        .collect();
    errors.extend(sources::unreadable(expansion, file, |path| pool.cannot_read(path)));
    let capacity = pool.capacity();
    let largest = expansion.runs.iter().map(|run| run.slots).max().unwrap_or(0);
    if capacity < largest {
        let message = format!(
            "a run takes {largest} slots, and the pool `{asked}` has {capacity}: it would wait for ever; \
             lower `train.devices`"
        );
        errors.push(sources::at(file, "base.train.devices", "devices", message));
    }
    errors
}

/// What a sweep's runs left lies in its pool's storage.
fn stays_in(pool: &str, expansion: &Expansion, request: &ApplyRequest) -> Result<(), Error> {
    let asked = &expansion.resources.pool;
    if asked == pool {
        return Ok(());
    }
    let message = format!(
        "the sweep lives in pool `{pool}`, where its data and checkpoints are; give it another name to \
         run it in `{asked}`"
    );
    Err(Error::File(vec![sources::at(&request.file, "resources.pool", asked, message)]))
}

async fn upsert(
    tx: &mut PgConnection,
    expansion: &Expansion,
    request: &ApplyRequest,
    app: &App,
) -> Result<SweepId, Error> {
    let asked = Asked {
        name: &expansion.name,
        file: &request.file,
        folder: request.folder.as_deref().unwrap_or(&app.folder),
        axes: serde_json::to_value(&expansion.axes).expect("axes are plain data"),
        pool: &expansion.resources.pool,
        resources: serde_json::to_value(&expansion.resources).expect("resources are plain data"),
        parallel: expansion.limits.parallel.map(u32::cast_signed),
    };
    Ok(store::sweep::upsert(tx, &asked).await?)
}

/// Adds the runs whose points are new, in the file's order, and renames the others.
async fn store_runs(
    tx: &mut PgConnection,
    sweep: SweepId,
    expansion: &Expansion,
    stored: &[Stored],
) -> Result<(), Error> {
    let mut next = stored.iter().map(|run| run.number).max().unwrap_or(0) + 1;
    let by_point: HashMap<&str, &Stored> =
        stored.iter().map(|run| (run.point.as_str(), run)).collect();
    let needed = expansion.runs.iter().flat_map(|run| &run.needs);
    let needed: HashSet<&str> = needed.map(|&at| expansion.runs[at].point.as_str()).collect();
    let needed = needed.iter().filter_map(|point| Some(by_point.get(point)?.run_id));
    let needed: Vec<Uuid> = needed.collect();
    let succeeded = store::run::hold_succeeded(&mut *tx, &needed).await?;
    let mut places: Vec<Placed> = Vec::with_capacity(expansion.runs.len());
    let (mut added, mut known) = (Vec::new(), Vec::new());
    for planned in &expansion.runs {
        if let Some(run) = by_point.get(planned.point.as_str()) {
            known.push(store::run::Shown {
                run_id: run.run_id,
                label: &planned.label,
                axes: serde_json::to_value(&planned.axes).expect("values are plain data"),
                is_baseline: planned.is_baseline,
                queue_order: planned.order.cast_signed(),
            });
            let has_succeeded = succeeded.contains(&run.run_id);
            places.push(Placed { run_id: run.run_id, has_succeeded });
            continue;
        }
        let new = new_run(planned, next, &places);
        places.push(Placed { run_id: new.run_id, has_succeeded: false });
        added.push(new);
        next += 1;
    }
    store::run::relabel(&mut *tx, &known).await?;
    store::run::insert(tx, sweep, &added).await?;
    Ok(())
}

/// A run of the file that has its row.
struct Placed {
    run_id: Uuid,
    has_succeeded: bool,
}

/// `places` are those of the runs before it, which are all that it can need.
fn new_run(planned: &PlannedRun, number: i32, places: &[Placed]) -> NewRun {
    NewRun {
        run_id: Uuid::now_v7(),
        number,
        point: planned.point.clone(),
        kind: diff::kind_word(planned.kind),
        label: planned.label.clone(),
        spec: serde_json::to_value(&planned.spec).expect("specs are plain data"),
        axes: serde_json::to_value(&planned.axes).expect("values are plain data"),
        is_baseline: planned.is_baseline,
        slots: planned.slots.cast_signed(),
        queue_order: planned.order.cast_signed(),
        steps: diff::steps(&planned.spec).cast_signed(),
        needs: planned.needs.iter().map(|&need| places[need].run_id).collect(),
        is_blocked: planned.needs.iter().any(|&need| !places[need].has_succeeded),
    }
}
