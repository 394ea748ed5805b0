//! From a sweep file to stored runs: plan says what would happen, apply does it in one transaction.
//!
//! Twice does nothing the second time: a run is its point, and `(sweep, point)` is unique.

mod diff;
mod estimate;
mod evaluate;
mod fork;
mod repin;
mod reuse;
mod sources;

pub use fork::fork;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use assay_api::expand::{self, Expansion, PlannedRun};
use assay_api::spec::Engine;
use assay_api::sweep::{self, Timetable};
use assay_api::view::{ApplyAnswer, ApplyRequest, FileError, PlanView};
use assay_api::{KillPoint, ProjectId, SweepId, kill_point};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::calendar;
use crate::http::Error;
use crate::http::limits::SWEEPS_MAX;
use crate::intent;
use crate::project;
use crate::store;
use crate::store::project::Project;
use crate::store::run::{NewRun, Stored};
use crate::store::sweep::Asked;

use diff::{Change, Diff};
use estimate::Estimate;
pub(crate) use evaluate::{Later, Weights};

/// What apply would do.
///
/// # Errors
/// The file's errors, each with its place.
pub async fn plan(app: &App, project: &Project, request: &ApplyRequest) -> Result<PlanView, Error> {
    let expansion = read(app, request)?;
    match &expansion.schedule {
        Some(timetable) => plan_times(app, project, (request, &expansion), timetable).await,
        None => plan_runs(app, project, (request, &expansion)).await,
    }
}

async fn plan_runs(
    app: &App,
    project: &Project,
    (request, expansion): (&ApplyRequest, &Expansion),
) -> Result<PlanView, Error> {
    let found = store::sweep::find(&app.store.db, project.project_id, &expansion.name).await?;
    let (mut stored, mut later) = (Vec::new(), Vec::new());
    if let Some(sweep) = found {
        let pool = store::sweep::pool(&app.store.db, sweep).await?;
        stays_in(&pool, expansion, request)?;
        stored = store::run::of_sweep(&app.store.db, sweep).await?;
        let scored = store::run::scored(&app.store.db, sweep).await?;
        later = evaluate::missing(expansion, &stored, scored);
    }
    let diff = Diff::new(expansion, &stored, &later, request);
    let mut db = app.store.db.acquire().await?;
    let trained = reuse::trained(&mut db, project.project_id, expansion).await?;
    let estimate = Estimate::of(app, &mut *db, expansion).await?;
    let uses = (sources::uses(expansion), &trained);
    Ok(diff.view(expansion, found.is_none(), uses, &estimate))
}

/// What each of its times would do: a sweep of its own is new.
async fn plan_times(
    app: &App,
    project: &Project,
    (request, expansion): (&ApplyRequest, &Expansion),
    timetable: &Timetable,
) -> Result<PlanView, Error> {
    let diff = Diff::new(expansion, &[], &[], request);
    let mut db = app.store.db.acquire().await?;
    let trained = reuse::trained(&mut db, project.project_id, expansion).await?;
    let estimate = Estimate::of(app, &mut *db, expansion).await?;
    drop(db);
    let (times, is_known) = calendar::times(app, project, (&expansion.name, timetable)).await?;
    let uses = (sources::uses(expansion), &trained);
    let plan = diff.view(expansion, !is_known, uses, &estimate);
    Ok(PlanView { schedule: Some(times), ..plan })
}

/// Does what [`plan`] says. A file with a schedule is kept, and applied at its times.
///
/// # Errors
/// The file's errors, each with its place; nothing is stored then.
pub async fn apply(
    app: &App,
    project: &Project,
    request: &ApplyRequest,
    by: &str,
) -> Result<ApplyAnswer, Error> {
    let expansion = read(app, request)?;
    let Some(timetable) = &expansion.schedule else {
        return store_file(app, project, (request, &expansion), Onto::Anything).await;
    };
    let plan = plan_times(app, project, (request, &expansion), timetable).await?;
    calendar::put(app, project, (&expansion.name, timetable), request, by).await?;
    Ok(ApplyAnswer { plan, sweep_id: None })
}

/// The same for a file without a schedule, within a transaction of somebody else's.
pub(crate) async fn apply_in(
    app: &App,
    tx: &mut PgConnection,
    project: &Project,
    request: &ApplyRequest,
) -> Result<SweepId, Error> {
    let expansion = read(app, request)?;
    let (_, sweep) = store_in(app, (tx, project), (request, &expansion), Onto::Anything).await?;
    Ok(sweep)
}

/// What a file may be applied onto.
#[derive(Clone, Copy, Debug)]
enum Onto {
    Anything,
    /// No sweep has its name; the new one is about the same data as this one.
    Nothing {
        pinned_as: SweepId,
    },
}

async fn store_file(
    app: &App,
    project: &Project,
    file: (&ApplyRequest, &Expansion),
    onto: Onto,
) -> Result<ApplyAnswer, Error> {
    let mut tx = app.store.begin().await?;
    let (plan, sweep) = store_in(app, (&mut tx, project), file, onto).await?;
    kill_point(KillPoint::ApplyStoredCommitted);
    tx.commit().await?;
    kill_point(KillPoint::ApplyCommittedAnswered);
    app.wake().await?;
    Ok(ApplyAnswer { plan, sweep_id: Some(sweep) })
}

async fn store_in(
    app: &App,
    (tx, project): (&mut PgConnection, &Project),
    (request, expansion): (&ApplyRequest, &Expansion),
    onto: Onto,
) -> Result<(PlanView, SweepId), Error> {
    project::hold(&mut *tx, project).await?;
    let project_id = project.project_id;
    let found = store::sweep::find(&mut *tx, project_id, &expansion.name).await?;
    let is_new = found.is_none();
    if is_new && SWEEPS_MAX <= store::sweep::count(&mut *tx, project_id).await? {
        let message =
            format!("the project has {SWEEPS_MAX} sweeps, which is the limit: delete some");
        return Err(Error::Limit(message));
    }
    let last_priority = store::sweep::priority(&mut *tx, project_id, &expansion.name).await?;
    let sweep = upsert((&mut *tx, project_id), expansion, request, app).await?;
    if let Onto::Nothing { pinned_as } = onto {
        if !is_new || !store::run::of_sweep(&mut *tx, sweep).await?.is_empty() {
            let name = &expansion.name;
            let message =
                format!("there is a sweep `{name}` already: give the new one another name");
            return Err(Error::Conflict(message));
        }
        store::sweep::copy_pins(&mut *tx, pinned_as, sweep).await?;
    }
    stays_in(&store::sweep::pool(&mut *tx, sweep).await?, expansion, request)?;
    if store::deletion::is_marked(&mut *tx, sweep).await? {
        let name = &expansion.name;
        return Err(Error::Conflict(format!(
            "{name} is being deleted: apply it again in a moment"
        )));
    }
    let stored = store::run::of_sweep(&mut *tx, sweep).await?;
    let scored = store::run::scored(&mut *tx, sweep).await?;
    let later = evaluate::missing(expansion, &stored, scored);
    let diff = Diff::new(expansion, &stored, &later, request);
    let trained = reuse::trained(&mut *tx, project_id, expansion).await?;
    store_runs(&mut *tx, sweep, expansion, (&stored, &later)).await?;
    if wants_canaries(app, expansion) {
        store::canary::plan(&mut *tx, sweep).await?;
    } else {
        store::canary::give_up(&mut *tx, sweep).await?;
    }
    // what somebody said of single runs since stands, unless the file says something new
    let priority = expansion.resources.priority;
    if last_priority.is_some_and(|last| last != priority) {
        store::run::prioritize_all(&mut *tx, sweep, priority).await?;
    }
    if request.repin {
        repin::unpin(&mut *tx, (sweep, expansion), &stored).await?;
    }
    for run in diff.to(Change::Cancelled) {
        intent::cancel_in(&mut *tx, run).await?;
    }
    for run in diff.to(Change::Retried) {
        intent::retry_in(&mut *tx, run).await?;
    }
    for run in diff.to(Change::Renewed) {
        intent::renew_in(&mut *tx, run).await?;
    }
    store::outbox::ended(&mut *tx, &[sweep]).await?;
    let estimate = Estimate::of(app, &mut *tx, expansion).await?;
    let uses = (sources::uses(expansion), &trained);
    Ok((diff.view(expansion, is_new, uses, &estimate), sweep))
}

/// Parses and expands the file, looks at the files that it names, and pins its tasks.
fn read(app: &App, request: &ApplyRequest) -> Result<Expansion, Error> {
    let folder = request.folder.as_deref().unwrap_or(&app.folder);
    if !folder.starts_with('/') {
        return Err(Error::Invalid(format!("`folder` is `{folder}`; it must be absolute")));
    }
    if folder.contains('\0') {
        return Err(Error::Invalid("`folder` holds a NUL character".to_owned()));
    }
    let sweep = sweep::parse(&request.file).map_err(Error::File)?;
    // a pool that there is not is said with the other errors
    let pool = app.pools.named(&sweep.resources.pool);
    let engine = pool.map_or(Engine::CpuF32, |pool| pool.engine());
    let context = expand::Context { folder: folder.to_owned(), engine };
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
    let engines: BTreeMap<_, _> = expansion
        .runs
        .iter()
        .filter_map(|run| run.spec.engine())
        .map(|engine| (engine.name(), engine))
        .collect();
    for (name, engine) in engines {
        if let Some(why) = pool.cannot_compute(engine) {
            errors.push(sources::at(file, "base.train.engine", name, why));
        }
    }
    let is_on_gpu = |run: &PlannedRun| run.spec.engine() == Some(Engine::CudaBf16);
    if expansion.runs.iter().any(|run| 1 < run.slots && is_on_gpu(run)) {
        let message =
            "the engine `cuda-bf16` trains on one GPU: write `train.devices: 1`".to_owned();
        errors.push(sources::at(file, "base.train.devices", "devices", message));
    }
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

/// As the file has it, or else the pool: where many machines would fail alike, one tries first.
fn wants_canaries(app: &App, expansion: &Expansion) -> bool {
    let pool = || app.pools.named(&expansion.resources.pool);
    expansion.canary.unwrap_or_else(|| pool().is_some_and(|pool| pool.has_canaries()))
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
    (tx, project): (&mut PgConnection, ProjectId),
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
        slot_ms_max: expansion.limits.slot_ms().map(u64::cast_signed),
        same_error_max: expansion.limits.same_error.map(u32::cast_signed),
        reuse: expansion.reuse,
    };
    Ok(store::sweep::upsert(tx, project, &asked).await?)
}

/// Where runs that nobody needs begin in the queue: behind all that others need, also behind what a changed file
/// adds of that. Whoever goes ahead of the others of its shape waits for nobody who waits for it, then.
const OTHERS_FROM: i32 = 1 << 20;

/// Adds the runs whose points are new, in the file's order, and renames the others.
async fn store_runs(
    tx: &mut PgConnection,
    sweep: SweepId,
    expansion: &Expansion,
    (stored, later): (&[Stored], &[Later]),
) -> Result<(), Error> {
    let mut next = stored.iter().map(|run| run.number).max().unwrap_or(0) + 1;
    let by_point: HashMap<&str, &Stored> =
        stored.iter().map(|run| (run.point.as_str(), run)).collect();
    let needed = expansion.runs.iter().flat_map(|run| &run.needs);
    let needed: HashSet<&str> = needed.map(|&at| expansion.runs[at].point.as_str()).collect();
    let place = |planned: &PlannedRun| {
        let from = if needed.contains(planned.point.as_str()) { 0 } else { OTHERS_FROM };
        from + planned.order.cast_signed()
    };
    let known_needed = needed.iter().filter_map(|point| Some(by_point.get(point)?.run_id));
    let known_needed: Vec<Uuid> =
        known_needed.chain(later.iter().flat_map(|run| run.needs.iter().copied())).collect();
    let succeeded = store::run::hold_succeeded(&mut *tx, &known_needed).await?;
    let mut places: Vec<Placed> = Vec::with_capacity(expansion.runs.len());
    let (mut added, mut known) = (Vec::new(), Vec::new());
    for planned in &expansion.runs {
        if let Some(run) = by_point.get(planned.point.as_str()) {
            known.push(store::run::Shown {
                run_id: run.run_id,
                label: &planned.label,
                axes: serde_json::to_value(&planned.axes).expect("values are plain data"),
                is_baseline: planned.is_baseline,
                queue_order: place(planned),
            });
            let has_succeeded = succeeded.contains(&run.run_id);
            places.push(Placed { run_id: run.run_id, has_succeeded });
            continue;
        }
        let own = (next, place(planned), expansion.resources.priority);
        let new = new_run(planned, own, &places);
        places.push(Placed { run_id: new.run_id, has_succeeded: false });
        added.push(new);
        next += 1;
    }
    let last = OTHERS_FROM
        + i32::try_from(expansion.runs.len()).expect("a sweep has at most 10,000 points");
    for (number, run) in (next..).zip(later) {
        let place = (number, last, expansion.resources.priority);
        let can_begin = run.needs.iter().all(|need| succeeded.contains(need));
        added.push(run.run(place, can_begin, "queued by apply, to score what is trained"));
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
fn new_run<'a>(
    planned: &'a PlannedRun,
    (number, queue_order, priority): (i32, i32, i16),
    places: &[Placed],
) -> NewRun<'a> {
    NewRun {
        run_id: Uuid::now_v7(),
        number,
        point: planned.point.clone(),
        kind: diff::kind_word(planned.kind),
        label: planned.label.clone(),
        spec: Cow::Borrowed(&planned.spec),
        axes: Cow::Borrowed(&planned.axes),
        is_baseline: planned.is_baseline,
        slots: planned.slots.cast_signed(),
        shape: planned.shape.clone(),
        queue_order,
        steps: diff::steps(&planned.spec).cast_signed(),
        needs: planned.needs.iter().map(|&need| places[need].run_id).collect(),
        is_blocked: planned.needs.iter().any(|&need| !places[need].has_succeeded),
        of_run_id: None,
        priority,
        origin: "queued by apply".to_owned(),
    }
}
