//! Workers speak: a router of its own, each message authenticated by the secret of its attempt.

use assay_api::RunId;
use assay_api::view::Problem;
use assay_api::worker::{
    FinishRequest, HEADER_ATTEMPT, HEADER_RUN, ReportAnswer, ReportRequest, StartAnswer,
    StartRequest,
};
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::Json;
use crate::app::App;
use crate::attempt;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(report)).routes(routes!(finish))
}

/// Who speaks: a run and an attempt, whose secret was shown.
#[derive(Clone, Copy, Debug)]
pub struct Speaker {
    pub run: RunId,
    pub attempt: u32,
}

impl FromRequestParts<App> for Speaker {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let header = |name| parts.headers.get(name)?.to_str().ok();
        let read = || {
            let run: RunId = header(HEADER_RUN)?.parse().ok()?;
            let attempt: u32 = header(HEADER_ATTEMPT)?.parse().ok()?;
            let secret = header(AUTHORIZATION.as_str())?.strip_prefix("Bearer ")?;
            app.key.is_secret_of(run, attempt, secret).then_some(Self { run, attempt })
        };
        read().ok_or(Error::Unauthorized)
    }
}

/// Begins an attempt: the first instance gets its spec, any other 409.
#[utoipa::path(post, operation_id = "start_worker", path = "/worker/start", tag = "worker", request_body = StartRequest,
    responses((status = 200, body = StartAnswer), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn start(
    State(app): State<App>,
    speaker: Speaker,
    Json(request): Json<StartRequest>,
) -> Result<Json<StartAnswer>, Error> {
    Ok(Json(attempt::start(&app, speaker, &request).await?))
}

/// Stores reports. Acknowledged means committed; sent twice means stored once.
#[utoipa::path(post, operation_id = "report_worker", path = "/worker/report", tag = "worker", request_body = ReportRequest,
    responses((status = 200, body = ReportAnswer), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn report(
    State(app): State<App>,
    speaker: Speaker,
    Json(request): Json<ReportRequest>,
) -> Result<Json<ReportAnswer>, Error> {
    Ok(Json(attempt::report(&app, speaker, &request).await?))
}

/// Ends an attempt, as its worker saw it.
#[utoipa::path(post, operation_id = "finish_worker", path = "/worker/finish", tag = "worker", request_body = FinishRequest,
    responses((status = 204), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn finish(
    State(app): State<App>,
    speaker: Speaker,
    Json(request): Json<FinishRequest>,
) -> Result<StatusCode, Error> {
    attempt::finish(&app, speaker, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}
