//! Pools, and how the loop is doing.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use assay_api::view::{LoopView, PoolView};

use super::Error;
use crate::app::App;
use crate::store;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(schedule))
}

/// Where attempts run, and how full it is there.
#[utoipa::path(get, operation_id = "list_pools", path = "/pools", tag = "pools", responses((status = 200, body = [PoolView])))]
async fn list(State(app): State<App>) -> Result<Json<Vec<PoolView>>, Error> {
    let used = store::run::slots_used(&app.store.db).await?;
    let of = |name: &str| used.get(name).copied().unwrap_or(0);
    Ok(Json(app.pools.each().map(|(_, pool)| pool.view(of(pool.name()))).collect()))
}

/// What the scheduling loop did last.
#[utoipa::path(get, operation_id = "schedule_loop", path = "/loops/schedule", tag = "pools", responses((status = 200, body = LoopView)))]
async fn schedule(State(app): State<App>) -> Json<LoopView> {
    Json(app.last_activation())
}
