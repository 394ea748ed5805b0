//! Projects: listed, made, deleted, given quotas.

use assay_api::view::{Problem, ProjectRequest, ProjectView, QuotaRequest};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{Json, Path};
use super::guard::{Caller, Detail};
use crate::app::App;
use crate::project;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(delete))
        .routes(routes!(set_quota, remove_quota))
}

/// Every project that whoever asks may look at, by name, with what it may use.
#[utoipa::path(get, operation_id = "list_projects", path = "/projects", tag = "projects",
    responses((status = 200, body = [ProjectView])))]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<ProjectView>>, Error> {
    Ok(Json(project::list(&app, &caller.actor).await?))
}

/// Makes a project: the scope of names, tokens and quotas.
#[utoipa::path(post, operation_id = "create_project", path = "/projects", tag = "projects", request_body = ProjectRequest,
    responses((status = 201), (status = 409, body = Problem)))]
async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Json(ProjectRequest { name }): Json<ProjectRequest>,
) -> Result<(StatusCode, Extension<Detail>), Error> {
    project::create(&app, &name, &caller.actor.name).await?;
    Ok((StatusCode::CREATED, Extension(Detail(format!("project {name}")))))
}

/// Deletes a project that holds no sweep, schedule or webhook, with its tokens.
#[utoipa::path(delete, operation_id = "delete_project", path = "/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "name of the project")),
    responses((status = 204), (status = 409, body = Problem)))]
async fn delete(State(app): State<App>, Path(name): Path<String>) -> Result<StatusCode, Error> {
    project::delete(&app, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many slots of a pool the project's active runs may take. What is active goes on.
#[utoipa::path(put, operation_id = "set_quota", path = "/projects/{project}/quotas/{pool}", tag = "projects",
    params(("project" = String, Path, description = "name of the project"), ("pool" = String, Path, description = "name of the pool")),
    request_body = QuotaRequest, responses((status = 204)))]
async fn set_quota(
    State(app): State<App>,
    Path((name, pool)): Path<(String, String)>,
    Json(QuotaRequest { slots }): Json<QuotaRequest>,
) -> Result<(StatusCode, Extension<Detail>), Error> {
    project::set_quota(&app, (&name, &pool), slots).await?;
    Ok((StatusCode::NO_CONTENT, Extension(Detail(format!("at most {slots}")))))
}

/// The project may take all of a pool again.
#[utoipa::path(delete, operation_id = "remove_quota", path = "/projects/{project}/quotas/{pool}", tag = "projects",
    params(("project" = String, Path, description = "name of the project"), ("pool" = String, Path, description = "name of the pool")),
    responses((status = 204)))]
async fn remove_quota(
    State(app): State<App>,
    Path((name, pool)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    project::remove_quota(&app, (&name, &pool)).await?;
    Ok(StatusCode::NO_CONTENT)
}
