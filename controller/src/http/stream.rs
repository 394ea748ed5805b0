//! What changes in a sweep, as it changes: one stream of server-sent events with a cursor.

use std::convert::Infallible;
use std::time::Duration;

use assay_api::SweepId;
use assay_api::view::{Problem, StreamEvent};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{InProject, Path, Query};
use super::guard::Caller;
use super::limits::STREAMS_MAX;
use super::{Error, sweeps};
use crate::app::App;
use crate::metrics;
use crate::store::{self, view};

/// At most two events per second and client: more than an eye can use.
const PACE: Duration = Duration::from_millis(500);
/// Every ten seconds: whoever may not look any more sees no more.
const LOOKS_AGAIN: u64 = 20;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct From {
    /// The cursor of the view that these changes follow; a reconnecting browser sends it as
    /// `Last-Event-ID`, which counts more.
    cursor: Option<i64>,
}

/// Changes of a sweep from the cursor on: run rows, and new points.
#[utoipa::path(get, operation_id = "stream_sweep", path = "/sweeps/{name}/stream", tag = "sweeps",
    params(("name" = String, Path, description = "name of the sweep"), From),
    responses((status = 200, body = StreamEvent, content_type = "text/event-stream"),
        (status = 404, body = Problem), (status = 429, body = Problem)))]
async fn stream(
    State(app): State<App>,
    InProject(project): InProject,
    Path(name): Path<String>,
    Query(from): Query<From>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let sweep = sweeps::find(&app, &project, &name).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let cursor = last.or(from.cursor).unwrap_or(0);
    let place = app.streams.clone().try_acquire_owned().map_err(|_| {
        let message = format!("{STREAMS_MAX} streams are open, which is the limit: close a page");
        Error::Busy(message)
    })?;
    Ok(Sse::new(changes(app, caller, (sweep, cursor), place)).keep_alive(KeepAlive::default()))
}

fn changes(
    app: App,
    caller: Caller,
    (sweep, mut cursor): (SweepId, i64),
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let _until_it_ends = place;
        // headers go out with the first byte: a quiet sweep, too, is seen to be connected
        yield Ok(Event::default().comment("connected"));
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 1_u64.. {
            tokio::select! {
                _ = pace.tick() => (),
                () = app.shutdown.cancelled() => return,
            }
            if tick % LOOKS_AGAIN == 0 && !caller.is_still_admitted(&app).await {
                return;
            }
            match since(&app, sweep, cursor).await {
                Ok((next, events)) => {
                    cursor = next;
                    for event in events {
                        let data = serde_json::to_string(&event).expect("views are plain data");
                        yield Ok(Event::default().id(cursor.to_string()).data(data));
                    }
                }
                // it was deleted: whoever looks again is told so
                Err(error) if is_gone(&error) => {
                    let data = serde_json::to_string(&StreamEvent::Reset).expect("it is plain data");
                    yield Ok(Event::default().id(cursor.to_string()).data(data));
                    return;
                }
                Err(error) => warn!(sweep.id = %sweep, "a stream could not read: {error:#}"),
            }
        }
    }
}

/// It was deleted.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(sqlx::Error::RowNotFound))
}

/// What was committed from `cursor` on, and the cursor after it.
async fn since(app: &App, sweep: SweepId, cursor: i64) -> anyhow::Result<(i64, Vec<StreamEvent>)> {
    let mut tx = store::snapshot(&app.store.db).await?;
    let horizon = view::horizon(&mut *tx).await?;
    let file = view::sweep_file(&mut *tx, sweep).await?;
    if cursor <= file.rewritten && file.rewritten < horizon {
        return Ok((horizon, vec![StreamEvent::Reset]));
    }
    let mut events = Vec::new();
    let runs = view::runs(&mut tx, view::Rows::Changed(sweep, cursor, horizon)).await?;
    let is_changed = cursor <= file.changed && file.changed < horizon;
    if is_changed || !runs.is_empty() {
        let mut summary = view::sweeps(&mut tx, view::Which::One(sweep)).await?;
        events.push(StreamEvent::Runs { sweep: Box::new(summary.remove(0)), runs });
    }
    let series = metrics::changed(&mut tx, sweep, (cursor, horizon)).await?;
    if !series.is_empty() {
        events.push(StreamEvent::Points { series });
    }
    Ok((horizon, events))
}
