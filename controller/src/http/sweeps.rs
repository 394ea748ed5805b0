//! Sweeps: listed, shown, planned, applied, paused, resumed, cancelled.

use assay_api::SweepId;
use assay_api::sweep;
use assay_api::view::{ApplyAnswer, ApplyRequest, PlanView, Problem, SweepSummary, SweepView};
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{Json, Path};
use crate::app::App;
use crate::store::{self, view};
use crate::{apply, intent};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(plan))
        .routes(routes!(apply_file))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// Every sweep, newest first.
#[utoipa::path(get, operation_id = "list_sweeps", path = "/sweeps", tag = "sweeps", responses((status = 200, body = [SweepSummary])))]
async fn list(State(app): State<App>) -> Result<Json<Vec<SweepSummary>>, Error> {
    Ok(Json(view::sweeps(&app.store.db, view::Which::All).await?))
}

/// One sweep with all its runs, and the cursor of the changes that follow.
#[utoipa::path(get, operation_id = "show_sweep", path = "/sweeps/{name}", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 200, body = SweepView), (status = 404, body = Problem)))]
async fn show(State(app): State<App>, Path(name): Path<String>) -> Result<Json<SweepView>, Error> {
    let sweep = find(&app, &name).await?;
    Ok(Json(read(&app, sweep).await?))
}

/// What apply would do.
#[utoipa::path(post, operation_id = "plan_sweep", path = "/sweeps/plan", tag = "sweeps", request_body = ApplyRequest,
    responses((status = 200, body = PlanView), (status = 422, body = Problem)))]
async fn plan(
    State(app): State<App>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<PlanView>, Error> {
    Ok(Json(apply::plan(&app, &request).await?))
}

/// Stores the sweep's runs, in one transaction. Twice does nothing the second time.
#[utoipa::path(post, operation_id = "apply_sweep", path = "/sweeps/apply", tag = "sweeps", request_body = ApplyRequest,
    responses((status = 200, body = ApplyAnswer), (status = 422, body = Problem)))]
async fn apply_file(
    State(app): State<App>,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyAnswer>, Error> {
    Ok(Json(apply::apply(&app, &request).await?))
}

/// Places nothing new.
#[utoipa::path(post, operation_id = "pause_sweep", path = "/sweeps/{name}/pause", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 202), (status = 404, body = Problem)))]
async fn pause(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Error> {
    store::sweep::pause(&app.store.db, find(&app, &name).await?, true).await?;
    app.wake().await?;
    Ok(StatusCode::ACCEPTED)
}

/// Goes on placing. Errors that runs have in common are counted anew.
#[utoipa::path(post, operation_id = "resume_sweep", path = "/sweeps/{name}/resume", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 202), (status = 404, body = Problem)))]
async fn resume(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Error> {
    intent::resume_sweep(&app, find(&app, &name).await?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Cancels every run that has not ended.
#[utoipa::path(post, operation_id = "cancel_sweep", path = "/sweeps/{name}/cancel", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    responses((status = 202), (status = 404, body = Problem)))]
async fn cancel(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Error> {
    intent::cancel_sweep(&app, find(&app, &name).await?).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn find(app: &App, name: &str) -> Result<SweepId, Error> {
    let missing = || Error::NotFound(format!("no sweep `{name}`: `ctl sweep ls` lists them"));
    if !sweep::is_name(name) {
        return Err(missing()); // Postgres would refuse some of these, and none was ever stored
    }
    store::sweep::find(&app.store.db, name).await?.ok_or_else(missing)
}

async fn read(app: &App, sweep: SweepId) -> Result<SweepView, Error> {
    let mut tx = view::snapshot(&app.store.db).await?;
    let cursor = view::horizon(&mut *tx).await?.to_string();
    let file = view::sweep_file(&mut *tx, sweep).await?;
    Ok(SweepView {
        summary: view::sweeps(&mut *tx, view::Which::One(sweep)).await?.remove(0),
        file: file.file,
        folder: file.folder,
        axes: serde_json::from_value(file.axes).map_err(anyhow::Error::from)?,
        runs: view::runs(&mut tx, view::Rows::All(sweep)).await?,
        series: store::series::names_of_sweep(&mut *tx, sweep).await?,
        cursor,
    })
}
