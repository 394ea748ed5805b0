//! Points of many series at once.

use assay_api::view::{Problem, SeriesAnswer, SeriesQuery};
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Error;
use crate::app::App;
use crate::metrics;

/// A chart of more runs than this is no chart.
const RUNS_MAX: usize = 1000;
const NAMES_MAX: usize = 100;
/// Two points for every pixel column of a wide screen would be 5,000; a chart gets one for two.
const BUCKETS_MAX: u32 = 1000;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(query))
}

/// Points of many runs and series, downsampled.
#[utoipa::path(post, operation_id = "query_series", path = "/series/query", tag = "series", request_body = SeriesQuery,
    responses((status = 200, body = SeriesAnswer), (status = 422, body = Problem)))]
async fn query(
    State(app): State<App>,
    Json(query): Json<SeriesQuery>,
) -> Result<Json<SeriesAnswer>, Error> {
    check(&query)?;
    Ok(Json(metrics::query(&app, &query).await?))
}

fn check(query: &SeriesQuery) -> Result<(), Error> {
    let SeriesQuery { runs, names, buckets, .. } = query;
    let over = |what, n, max| {
        Error::Invalid(format!("{n} {what} asked for; the limit is {max}: ask in parts"))
    };
    if RUNS_MAX < runs.len() {
        return Err(over("runs", runs.len(), RUNS_MAX));
    }
    if NAMES_MAX < names.len() {
        return Err(over("series names", names.len(), NAMES_MAX));
    }
    if !(2..=BUCKETS_MAX).contains(buckets) {
        return Err(Error::Invalid(format!(
            "`buckets` is {buckets}; it must be 2 to {BUCKETS_MAX}"
        )));
    }
    Ok(())
}
