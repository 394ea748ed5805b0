//! What people say about runs and sweeps: left out, noted, tagged, put before others.

use assay_api::RunId;
use assay_api::sweep::PRIORITIES;
use assay_api::view::{ExcludeRequest, NoteRequest, NoteView, PriorityRequest, Problem};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{InProject, Json, Path};
use super::guard::Caller;
use super::{Error, sweeps};
use crate::app::App;
use crate::{intent, remark};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(exclude))
        .routes(routes!(include))
        .routes(routes!(write_note))
        .routes(routes!(remove_note))
        .routes(routes!(tag_run, untag_run))
        .routes(routes!(tag_sweep, untag_sweep))
        .routes(routes!(prioritize_run))
        .routes(routes!(prioritize_sweep))
}

/// Keeps a run and leaves it out of every comparison; again with another reason changes the reason.
#[utoipa::path(post, operation_id = "exclude_run", path = "/runs/{run_id}/exclude", tag = "runs", params(("run_id" = RunId, Path)),
    request_body = ExcludeRequest,
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn exclude(
    State(app): State<App>,
    Path(run): Path<RunId>,
    Extension(caller): Extension<Caller>,
    Json(why): Json<ExcludeRequest>,
) -> Result<StatusCode, Error> {
    let why = ExcludeRequest { author: caller.signs(why.author), ..why };
    remark::exclude(&app, run, &why).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Compares a run again.
#[utoipa::path(post, operation_id = "include_run", path = "/runs/{run_id}/include", tag = "runs", params(("run_id" = RunId, Path)),
    responses((status = 204), (status = 409, body = Problem)))]
async fn include(State(app): State<App>, Path(run): Path<RunId>) -> Result<StatusCode, Error> {
    remark::include(&app, run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes a note, pinned to a step or to the run as a whole.
#[utoipa::path(post, operation_id = "write_note", path = "/runs/{run_id}/notes", tag = "runs", params(("run_id" = RunId, Path)),
    request_body = NoteRequest,
    responses((status = 201, body = NoteView), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn write_note(
    State(app): State<App>,
    Path(run): Path<RunId>,
    Extension(caller): Extension<Caller>,
    Json(note): Json<NoteRequest>,
) -> Result<(StatusCode, Json<NoteView>), Error> {
    let note = NoteRequest { author: caller.signs(note.author), ..note };
    let written = remark::write_note(&app, run, note).await?;
    Ok((StatusCode::CREATED, Json(written)))
}

/// Takes a note back.
#[utoipa::path(delete, operation_id = "remove_note", path = "/runs/{run_id}/notes/{note_id}", tag = "runs",
    params(("run_id" = RunId, Path), ("note_id" = i64, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
async fn remove_note(
    State(app): State<App>,
    Path((run, note)): Path<(RunId, i64)>,
) -> Result<StatusCode, Error> {
    remark::remove_note(&app, run, note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tags a run; a second time changes nothing.
#[utoipa::path(put, operation_id = "tag_run", path = "/runs/{run_id}/tags/{tag}", tag = "runs",
    params(("run_id" = RunId, Path), ("tag" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn tag_run(
    State(app): State<App>,
    Path((run, tag)): Path<(RunId, String)>,
) -> Result<StatusCode, Error> {
    remark::tag_run(&app, run, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a tag from a run.
#[utoipa::path(delete, operation_id = "untag_run", path = "/runs/{run_id}/tags/{tag}", tag = "runs",
    params(("run_id" = RunId, Path), ("tag" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn untag_run(
    State(app): State<App>,
    Path((run, tag)): Path<(RunId, String)>,
) -> Result<StatusCode, Error> {
    remark::untag_run(&app, run, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tags a sweep; a second time changes nothing.
#[utoipa::path(put, operation_id = "tag_sweep", path = "/sweeps/{name}/tags/{tag}", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), ("tag" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn tag_sweep(
    State(app): State<App>,
    InProject(project): InProject,
    Path((name, tag)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    remark::tag_sweep(&app, sweeps::find(&app, &project, &name).await?, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a tag from a sweep.
#[utoipa::path(delete, operation_id = "untag_sweep", path = "/sweeps/{name}/tags/{tag}", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), ("tag" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn untag_sweep(
    State(app): State<App>,
    InProject(project): InProject,
    Path((name, tag)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    remark::untag_sweep(&app, sweeps::find(&app, &project, &name).await?, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a run before or behind others in the queue. What is active goes on.
#[utoipa::path(post, operation_id = "prioritize_run", path = "/runs/{run_id}/priority", tag = "runs", params(("run_id" = RunId, Path)),
    request_body = PriorityRequest, responses((status = 202), (status = 404, body = Problem)))]
async fn prioritize_run(
    State(app): State<App>,
    Path(run): Path<RunId>,
    Json(PriorityRequest { priority }): Json<PriorityRequest>,
) -> Result<StatusCode, Error> {
    check(priority)?;
    intent::prioritize_run(&app, run, priority).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The same for every run that the sweep has now.
#[utoipa::path(post, operation_id = "prioritize_sweep", path = "/sweeps/{name}/priority", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep")),
    request_body = PriorityRequest, responses((status = 202), (status = 404, body = Problem)))]
async fn prioritize_sweep(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Json(PriorityRequest { priority }): Json<PriorityRequest>,
) -> Result<StatusCode, Error> {
    check(priority)?;
    intent::prioritize_sweep(&app, sweeps::find(&app, &project, &name).await?, priority).await?;
    Ok(StatusCode::ACCEPTED)
}

/// As the sweep file has it.
fn check(priority: i16) -> Result<(), Error> {
    let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
    if PRIORITIES.contains(&priority) {
        return Ok(());
    }
    Err(Error::Invalid(format!("`priority` is {priority}; it must be {least} to {most}")))
}
