//! What changes in a sweep, as it changes: one stream of server-sent events with a cursor. It looks when it
//! is told that there is news, and now and then by itself.

mod pace;

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
use tokio::time::{Instant, sleep_until};
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
use crate::store;
use crate::store::view::{self, Horizon};

use pace::Pace;

/// Whoever may not look any more sees no more after this.
const LOOKS_AGAIN: Duration = Duration::from_secs(10);

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
        let mut news = app.news.of(sweep);
        let mut pace = Pace::new(Instant::now());
        let mut admitted = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(pace.due()) => (),
                Ok(()) = news.changed(), if !pace.is_told() => {
                    pace.told();
                    continue;
                }
                () = app.shutdown.cancelled() => return,
            }
            if LOOKS_AGAIN <= admitted.elapsed() {
                if !caller.is_still_admitted(&app).await {
                    return;
                }
                admitted = Instant::now();
            }
            // whatever is told from here on may be missing in what is read now
            news.mark_unchanged();
            match since(&app, sweep, cursor).await {
                Ok((horizon, events)) => {
                    cursor = horizon.open;
                    pace.looked(Instant::now(), horizon, !events.is_empty());
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
                Err(error) => {
                    pace.failed(Instant::now());
                    warn!(sweep.id = %sweep, "a stream could not read: {error:#}");
                }
            }
        }
    }
}

/// It was deleted.
fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(sqlx::Error::RowNotFound))
}

/// What was committed from `cursor` on, up to where the next look goes on.
async fn since(
    app: &App,
    sweep: SweepId,
    cursor: i64,
) -> anyhow::Result<(Horizon, Vec<StreamEvent>)> {
    let mut tx = store::snapshot(&app.store.db).await?;
    let horizon = view::horizon(&mut *tx).await?;
    let file = view::sweep_file(&mut *tx, sweep).await?;
    if cursor <= file.rewritten && file.rewritten < horizon.open {
        return Ok((horizon, vec![StreamEvent::Reset]));
    }
    let mut events = Vec::new();
    let runs = view::runs(&mut tx, view::Rows::Changed(sweep, cursor, horizon.open)).await?;
    let is_changed = cursor <= file.changed && file.changed < horizon.open;
    if is_changed || !runs.is_empty() {
        let mut summary = view::sweeps(&mut tx, view::Which::One(sweep)).await?;
        events.push(StreamEvent::Runs { sweep: Box::new(summary.remove(0)), runs });
    }
    let series = metrics::changed(&mut tx, sweep, (cursor, horizon.open)).await?;
    if !series.is_empty() {
        events.push(StreamEvent::Points { series });
    }
    Ok((horizon, events))
}
