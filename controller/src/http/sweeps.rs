//! Sweeps: listed, shown, planned, applied, paused, resumed, cancelled, deleted.

use assay_api::SweepId;
use assay_api::sweep;
use assay_api::view::{
    ApplyAnswer, ApplyRequest, DeletionView, EqualTokens, ForkRequest, PlanView, Problem,
    SweepSummary, SweepView,
};
use assay_api::worker::limits::COUNT_MAX;
use assay_scheduler::Pause;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{InProject, Json, Path, Query};
use super::guard::{Caller, Detail};
use crate::app::App;
use crate::deletion::{self, Open};
use crate::store::project::Project;
use crate::store::{self, view};
use crate::{apply, intent, metrics};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(equal))
        .routes(routes!(plan))
        .routes(routes!(apply_file))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(fork))
        .routes(routes!(show_deletion))
        .routes(routes!(delete))
}

/// Every sweep of the project, newest first.
#[utoipa::path(get, operation_id = "list_sweeps", path = "/sweeps", tag = "sweeps", responses((status = 200, body = [SweepSummary])))]
async fn list(
    State(app): State<App>,
    InProject(project): InProject,
) -> Result<Json<Vec<SweepSummary>>, Error> {
    Ok(Json(
        view::sweeps(&mut *app.store.db.acquire().await?, view::Which::Of(project.project_id))
            .await?,
    ))
}

/// One sweep with all its runs, and the cursor of the changes that follow.
#[utoipa::path(get, operation_id = "show_sweep", path = "/sweeps/{name}", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 200, body = SweepView), (status = 404, body = Problem)))]
async fn show(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<Json<SweepView>, Error> {
    let sweep = find(&app, &project, &name).await?;
    Ok(Json(read(&app, sweep).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EqualQuery {
    /// Tokens trained on; none: as many as every run has reached that has begun, did not end without success,
    /// and is not excluded.
    #[param(maximum = 9_007_199_254_740_992_i64)]
    tokens: Option<u64>,
}

/// What the runs of a sweep had come to after the same number of tokens.
#[utoipa::path(get, operation_id = "at_equal_tokens", path = "/sweeps/{name}/equal", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), EqualQuery),
    responses((status = 200, body = EqualTokens), (status = 404, body = Problem)))]
async fn equal(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Query(at): Query<EqualQuery>,
) -> Result<Json<EqualTokens>, Error> {
    if let Some(tokens) = at.tokens.filter(|tokens| COUNT_MAX < *tokens) {
        return Err(Error::Limit(format!("`tokens` is {tokens}; the limit is {COUNT_MAX}")));
    }
    let sweep = find(&app, &project, &name).await?;
    Ok(Json(metrics::at_equal_tokens(&app, sweep, at.tokens).await?))
}

/// What apply would do.
#[utoipa::path(post, operation_id = "plan_sweep", path = "/sweeps/plan", tag = "sweeps", request_body = ApplyRequest,
    responses((status = 200, body = PlanView), (status = 422, body = Problem)))]
async fn plan(
    State(app): State<App>,
    InProject(project): InProject,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<PlanView>, Error> {
    Ok(Json(apply::plan(&app, &project, &request).await?))
}

/// Stores the sweep's runs, in one transaction. Twice does nothing the second time. A file with a
/// `schedule` is kept, and applied at its times.
#[utoipa::path(post, operation_id = "apply_sweep", path = "/sweeps/apply", tag = "sweeps", request_body = ApplyRequest,
    responses((status = 200, body = ApplyAnswer), (status = 422, body = Problem)))]
async fn apply_file(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ApplyRequest>,
) -> Result<(Extension<Detail>, Json<ApplyAnswer>), Error> {
    let answer = apply::apply(&app, caller.project(), &request, &caller.actor.name).await?;
    Ok((Extension(detail(&answer)), Json(answer)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct PauseQuery {
    /// What runs saves a checkpoint and is queued again as well, at no charge.
    #[serde(default)]
    now: bool,
}

/// Places nothing new.
#[utoipa::path(post, operation_id = "pause_sweep", path = "/sweeps/{name}/pause", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), PauseQuery),
    responses((status = 202), (status = 404, body = Problem)))]
async fn pause(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Query(how): Query<PauseQuery>,
) -> Result<StatusCode, Error> {
    let pause = if how.now { Pause::Running } else { Pause::Placing };
    store::sweep::pause(&app.store.db, find(&app, &project, &name).await?, Some(pause)).await?;
    app.wake().await?;
    Ok(StatusCode::ACCEPTED)
}

/// Goes on placing. Errors that runs have in common are counted anew.
#[utoipa::path(post, operation_id = "resume_sweep", path = "/sweeps/{name}/resume", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 202), (status = 404, body = Problem)))]
async fn resume(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    intent::resume_sweep(&app, find(&app, &project, &name).await?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Cancels every run that has not ended.
#[utoipa::path(post, operation_id = "cancel_sweep", path = "/sweeps/{name}/cancel", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 202), (status = 404, body = Problem)))]
async fn cancel(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    intent::cancel_sweep(&app, find(&app, &project, &name).await?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Makes a new sweep from a stored one's file, or from a changed one, about the same data.
#[utoipa::path(post, operation_id = "fork_sweep", path = "/sweeps/{name}/fork", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")), request_body = ForkRequest,
    responses((status = 201, body = ApplyAnswer), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn fork(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Json(asked): Json<ForkRequest>,
) -> Result<(StatusCode, Extension<Detail>, Json<ApplyAnswer>), Error> {
    let answer = apply::fork(&app, &project, find(&app, &project, &name).await?, &asked).await?;
    Ok((StatusCode::CREATED, Extension(detail(&answer)), Json(answer)))
}

/// What deleting the sweep would take away.
#[utoipa::path(get, operation_id = "show_deletion", path = "/sweeps/{name}/deletion", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 200, body = DeletionView), (status = 404, body = Problem)))]
async fn show_deletion(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<Json<DeletionView>, Error> {
    Ok(Json(deletion::show(&app, find(&app, &project, &name).await?).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DeleteQuery {
    /// Cancel what has not ended, and delete the sweep once all is gone.
    #[serde(default)]
    cancel: bool,
}

/// Deletes the sweep with its data. Files go a moment later, as far as the controller reaches them.
#[utoipa::path(delete, operation_id = "delete_sweep", path = "/sweeps/{name}", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), DeleteQuery),
    responses((status = 202, body = DeletionView), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn delete(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Query(how): Query<DeleteQuery>,
) -> Result<(StatusCode, Json<DeletionView>), Error> {
    let open = if how.cancel { Open::Cancel } else { Open::Refuse };
    let view = deletion::delete(&app, find(&app, &project, &name).await?, open).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Which sweep a file was of, and what became of it.
fn detail(answer: &ApplyAnswer) -> Detail {
    let plan = &answer.plan;
    if plan.schedule.is_some() {
        return Detail(format!("schedule {}", plan.sweep));
    }
    Detail(format!("{}: {} runs added, {} kept", plan.sweep, plan.added, plan.kept))
}

pub(super) async fn find(app: &App, project: &Project, name: &str) -> Result<SweepId, Error> {
    let missing = || {
        let place = project.place();
        Error::NotFound(format!("no sweep `{name}`{place}: `ctl sweep ls` lists them"))
    };
    if !sweep::is_sweep_name(name) {
        return Err(missing()); // Postgres would refuse some of these, and none was ever stored
    }
    store::sweep::find(&app.store.db, project.project_id, name).await?.ok_or_else(missing)
}

async fn read(app: &App, sweep: SweepId) -> Result<SweepView, Error> {
    let mut tx = store::snapshot(&app.store.db).await?;
    let cursor = view::horizon(&mut *tx).await?.open.to_string();
    let file = view::sweep_file(&mut *tx, sweep).await?;
    Ok(SweepView {
        summary: view::sweeps(&mut tx, view::Which::One(sweep)).await?.remove(0),
        file: file.file,
        folder: file.folder,
        axes: serde_json::from_value(file.axes).map_err(anyhow::Error::from)?,
        runs: view::runs(&mut tx, view::Rows::All(sweep)).await?,
        series: store::series::names_of_sweep(&mut *tx, sweep).await?,
        cursor,
    })
}
