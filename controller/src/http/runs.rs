//! Runs: shown, their logs, cancelled, retried, extended.

use assay_api::RunId;
use assay_api::view::{ExtendAnswer, ExtendRequest, ExtendsView, LogPage, Problem, RunView};
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{Json, Path, Query};
use super::limits::LOG_LINES_MAX;
use crate::app::App;
use crate::store::{self, view};
use crate::{extension, intent};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(logs))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(extend))
}

/// One run, with everything about it but its points and lines.
#[utoipa::path(get, operation_id = "show_run", path = "/runs/{run_id}", tag = "runs", params(("run_id" = RunId, Path)),
    responses((status = 200, body = RunView), (status = 404, body = Problem)))]
async fn show(State(app): State<App>, Path(run): Path<RunId>) -> Result<Json<RunView>, Error> {
    let mut tx = store::snapshot(&app.store.db).await?;
    let missing = || Error::NotFound(format!("no run {run}"));
    let row = view::runs(&mut tx, view::Rows::One(run)).await?.pop().ok_or_else(missing)?;
    let asked = store::run::asked(&mut *tx, run).await?;
    Ok(Json(RunView {
        row,
        sweep: asked.sweep,
        spec: serde_json::from_value(asked.spec).map_err(anyhow::Error::from)?,
        point: asked.point,
        needs: view::needs(&mut *tx, run).await?,
        attempts: store::attempt::of_run(&mut *tx, run).await?,
        checkpoints: store::evaluation::checkpoints(&mut *tx, run).await?,
        evaluations: store::evaluation::of_run(&mut *tx, run).await?,
        events: view::events(&mut *tx, run).await?,
        series: store::series::names_of_run(&mut *tx, run).await?,
        extends: store::extension::of(&mut *tx, run).await?.map(|earlier| ExtendsView {
            number: earlier.number.unsigned_abs(),
            step: earlier.step.unsigned_abs(),
        }),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Only lines after this one; 0: from the beginning.
    #[serde(default)]
    after: i64,
    /// At most so many.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

/// What the run's workers printed, oldest first.
#[utoipa::path(get, operation_id = "run_logs", path = "/runs/{run_id}/logs", tag = "runs", params(("run_id" = RunId, Path), Page),
    responses((status = 200, body = LogPage)))]
async fn logs(
    State(app): State<App>,
    Path(run): Path<RunId>,
    Query(page): Query<Page>,
) -> Result<Json<LogPage>, Error> {
    let limit = page.limit.unwrap_or(1000);
    if !(1..=LOG_LINES_MAX).contains(&limit) {
        return Err(Error::Limit(format!("`limit` is {limit}; it must be 1 to {LOG_LINES_MAX}")));
    }
    Ok(Json(store::log_line::page(&app.store.db, run, page.after, limit.into()).await?))
}

/// Cancels a run that has not ended.
#[utoipa::path(post, operation_id = "cancel_run", path = "/runs/{run_id}/cancel", tag = "runs", params(("run_id" = RunId, Path)),
    responses((status = 202), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn cancel(State(app): State<App>, Path(run): Path<RunId>) -> Result<StatusCode, Error> {
    intent::cancel_run(&app, run).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Queues a run again that ended without success, with new budgets.
#[utoipa::path(post, operation_id = "retry_run", path = "/runs/{run_id}/retry", tag = "runs", params(("run_id" = RunId, Path)),
    responses((status = 202), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn retry(State(app): State<App>, Path(run): Path<RunId>) -> Result<StatusCode, Error> {
    intent::retry_run(&app, run).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Adds a run that goes on where a finished one was before its decay, for longer.
#[utoipa::path(post, operation_id = "extend_run", path = "/runs/{run_id}/extend", tag = "runs", params(("run_id" = RunId, Path)),
    request_body = ExtendRequest,
    responses((status = 201, body = ExtendAnswer), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn extend(
    State(app): State<App>,
    Path(run): Path<RunId>,
    Json(asked): Json<ExtendRequest>,
) -> Result<(StatusCode, Json<ExtendAnswer>), Error> {
    let answer = extension::extend(&app, run, &asked).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}
