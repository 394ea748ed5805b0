//! Schedules: listed, shown, paused, run now, removed. Applying a file with a `schedule` makes one.

use assay_api::view::{Problem, ScheduleDetails, ScheduleView};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{InProject, Json, Path};
use super::guard::Detail;
use crate::app::App;
use crate::calendar;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, remove))
        .routes(routes!(run))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// Every schedule of the project, by name.
#[utoipa::path(get, operation_id = "list_schedules", path = "/schedules", tag = "schedules",
    responses((status = 200, body = [ScheduleView])))]
async fn list(
    State(app): State<App>,
    InProject(project): InProject,
) -> Result<Json<Vec<ScheduleView>>, Error> {
    Ok(Json(calendar::list(&app, &project).await?))
}

/// A schedule with its file, and what became of its last hundred times.
#[utoipa::path(get, operation_id = "show_schedule", path = "/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "name of the schedule")),
    responses((status = 200, body = ScheduleDetails), (status = 404, body = Problem)))]
async fn show(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<Json<ScheduleDetails>, Error> {
    Ok(Json(calendar::show(&app, &project, &name).await?))
}

/// Applies its file now, whatever its times are. Returns the name of the sweep.
#[utoipa::path(post, operation_id = "run_schedule", path = "/schedules/{name}/run", tag = "schedules",
    params(("name" = String, Path, description = "name of the schedule")),
    responses((status = 201, body = String, content_type = "application/json"), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn run(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<(StatusCode, Extension<Detail>, Json<String>), Error> {
    let sweep = calendar::run_now(&app, &project, &name).await?;
    Ok((StatusCode::CREATED, Extension(Detail(sweep.clone())), Json(sweep)))
}

/// None of its times comes until it is resumed.
#[utoipa::path(post, operation_id = "pause_schedule", path = "/schedules/{name}/pause", tag = "schedules",
    params(("name" = String, Path, description = "name of the schedule")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn pause(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    calendar::pause(&app, &project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Goes on with the next time from now on.
#[utoipa::path(post, operation_id = "resume_schedule", path = "/schedules/{name}/resume", tag = "schedules",
    params(("name" = String, Path, description = "name of the schedule")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn resume(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    calendar::resume(&app, &project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a schedule with what became of its times. Its sweeps stay.
#[utoipa::path(delete, operation_id = "remove_schedule", path = "/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "name of the schedule")),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    calendar::remove(&app, &project, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
