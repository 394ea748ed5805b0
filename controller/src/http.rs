//! The API under `/api/v1`, and the browser's files beside it.
//!
//! **Invariant:** writes intent and wakes the loop; never calls a pool, holds no SQL.

mod assets;
mod error;
mod extract;
pub(crate) mod limits;
mod pools;
mod refusals;
mod remarks;
mod runs;
mod series;
mod stream;
mod sweeps;
mod worker;

pub use error::Error;
pub use worker::Speaker;

use axum::Router;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Assay", description = "Ablation sweeps for continued pretraining"),
    components(schemas(assay_api::view::StreamEvent))
)]
struct Doc;

fn api() -> OpenApiRouter<App> {
    let people = OpenApiRouter::new()
        .merge(sweeps::router())
        .merge(stream::router())
        .merge(runs::router())
        .merge(remarks::router())
        .merge(series::router())
        .merge(pools::router());
    OpenApiRouter::with_openapi(Doc::openapi()).nest("/api/v1", people.merge(worker::router()))
}

/// Everything that the controller answers. A function of `App`, so that tests need no port.
pub fn router(app: App) -> Router {
    let (router, _) = api().split_for_parts();
    router.method_not_allowed_fallback(error::unknown_method).fallback(elsewhere).with_state(app)
}

/// A path that no route has: of the API there is no other, the rest is the browser's.
async fn elsewhere(uri: Uri) -> Response {
    if uri.path() == "/api" || uri.path().starts_with("/api/") {
        return error::unknown_path(uri).await.into_response();
    }
    assets::file(&uri)
}

/// What workers alone may ask for, each with its attempt's secret.
pub fn workers_router(app: App) -> Router {
    let (router, _) = OpenApiRouter::new().nest("/api/v1", worker::router()).split_for_parts();
    router
        .method_not_allowed_fallback(error::unknown_method)
        .fallback(error::unknown_path)
        .with_state(app)
}

/// The contract as JSON, as it is committed for the browser's types.
#[must_use]
pub fn openapi() -> String {
    let (_, mut doc) = api().split_for_parts();
    refusals::add(&mut doc);
    doc.to_pretty_json().expect("the document is plain data")
}
