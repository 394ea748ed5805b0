//! Points of many series at once.

use assay_api::view::{Problem, SeriesAnswer, SeriesQuery};
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use super::extract::{InProject, Json};
use super::limits::{QUERY_BUCKETS_MAX, QUERY_NAMES_MAX, QUERY_RUNS_MAX, QUERY_SERIES_MAX};
use crate::app::App;
use crate::metrics;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(query))
}

/// Points of many runs and series of a project, downsampled.
#[utoipa::path(post, operation_id = "query_series", path = "/series/query", tag = "series", request_body = SeriesQuery,
    responses((status = 200, body = SeriesAnswer), (status = 422, body = Problem)))]
async fn query(
    State(app): State<App>,
    InProject(project): InProject,
    Json(query): Json<SeriesQuery>,
) -> Result<Json<SeriesAnswer>, Error> {
    check(&query)?;
    Ok(Json(metrics::query(&app, project.project_id, &query).await?))
}

fn check(query: &SeriesQuery) -> Result<(), Error> {
    let SeriesQuery { runs, names, buckets, .. } = query;
    let few = |what: &str, n, max| match n <= max {
        true => Ok(()),
        false => {
            Err(Error::Limit(format!("{n} {what} asked for; the limit is {max}: ask in parts")))
        }
    };
    few("runs", runs.len(), QUERY_RUNS_MAX)?;
    few("series names", names.len(), QUERY_NAMES_MAX)?;
    few("series (runs times names)", runs.len() * names.len(), QUERY_SERIES_MAX)?;
    if let Some(name) = names.iter().find(|name| name.contains('\0')) {
        return Err(Error::Invalid(format!(
            "no series is called {name:?}: it holds a NUL character"
        )));
    }
    if !(2..=QUERY_BUCKETS_MAX).contains(buckets) {
        return Err(Error::Limit(format!(
            "`buckets` is {buckets}; it must be 2 to {QUERY_BUCKETS_MAX}"
        )));
    }
    Ok(())
}
