//! The API under `/api/v1`, and the browser's files beside it.
//!
//! **Invariant:** writes intent and wakes the loop; never calls a pool, holds no SQL.

mod assets;
mod error;
mod extract;
mod guard;
mod headers;
pub(crate) mod limits;
mod pools;
mod projects;
mod provider;
mod refusals;
mod remarks;
mod runs;
mod schedules;
mod scope;
mod series;
mod session;
mod stream;
mod sweeps;
mod tagged;
mod tokens;
mod webhooks;
mod worker;

pub use error::Error;
pub use worker::Speaker;

use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use self::guard::Guard;
use crate::app::App;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Assay", description = "Ablation sweeps for continued pretraining"),
    components(schemas(assay_api::view::StreamEvent, assay_api::view::WebhookMessage))
)]
struct Doc;

/// What people ask for.
fn people() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(sweeps::router())
        .merge(stream::router())
        .merge(runs::router())
        .merge(remarks::router())
        .merge(schedules::router())
        .merge(series::router())
        .merge(pools::router())
        .merge(projects::router())
        .merge(session::router())
        .merge(tokens::router())
        .merge(webhooks::router())
}

fn api(people: OpenApiRouter<App>) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Doc::openapi()).nest("/api/v1", people.merge(worker::router()))
}

/// Everything that the controller answers. A function of `App`, so that tests need no port.
pub fn router(app: App) -> Router {
    let guard = Guard::new(app.clone(), &document());
    let guarded = people().route_layer(from_fn_with_state(guard, guard::guard));
    let (router, _) = api(guarded).split_for_parts();
    router
        .method_not_allowed_fallback(error::unknown_method)
        .merge(provider::router())
        .fallback(elsewhere)
        .layer(from_fn_with_state(app.clone(), headers::add))
        .with_state(app)
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

fn document() -> OpenApi {
    let (_, mut doc) = api(people()).split_for_parts();
    scope::add(&mut doc);
    refusals::add(&mut doc);
    tagged::open(&mut doc);
    doc
}

/// The contract as JSON, as it is committed for the browser's types.
#[must_use]
pub fn openapi() -> String {
    document().to_pretty_json().expect("the document is plain data")
}

#[cfg(test)]
mod tests {
    /// So that a field which nobody knows is never passed over.
    #[test]
    fn every_body_that_is_asked_for_takes_no_other_fields() {
        let doc: serde_json::Value = serde_json::from_str(&super::openapi()).unwrap();
        let mut n_bodies = 0;
        for (path, methods) in doc["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let Some(name) = body["$ref"].as_str() else { continue };
                let name = name.rsplit('/').next().unwrap();
                let schema = &doc["components"]["schemas"][name];
                assert_eq!(schema["additionalProperties"], false, "{path}: {name}");
                n_bodies += 1;
            }
        }
        assert!(12 < n_bodies, "{n_bodies}");
    }
}
