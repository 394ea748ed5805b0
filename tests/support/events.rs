//! The stream of the sweep `s`, read like a browser does.

use assay_api::view::{SeriesPoints, StreamEvent};
use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures_util::StreamExt;

use crate::TestApp;

/// Reads a stream of server-sent events one at a time.
#[derive(Debug)]
pub struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    /// # Panics
    /// If there is no such sweep.
    pub async fn open(app: &TestApp, cursor: &str) -> Self {
        let path = format!("/api/v1/sweeps/s/stream?cursor={cursor}");
        let request = Request::get(path).body(Body::empty()).expect("a whole request");
        let router = assay_controller::http::router(app.app.clone());
        let response = tower::ServiceExt::oneshot(router, request).await.expect("it answers");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event and its cursor.
    ///
    /// # Panics
    /// If the stream ends.
    pub async fn next(&mut self) -> (String, StreamEvent) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
                };
                let found = field("id:").zip(field("data:"));
                let found = found.map(|(id, data)| {
                    (id.to_owned(), serde_json::from_str(data).expect("an event"))
                });
                self.text = rest.to_owned();
                if let Some(found) = found {
                    return found;
                }
                continue; // a comment that keeps the connection alive
            }
            let bytes = self.body.next().await.expect("it goes on").expect("bytes");
            self.text.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }

    /// Reads to the first points: the cursor there, the last step of run 1's row, and the points. Rows
    /// may come in several events: other databases of the server hold the horizon down for a moment.
    ///
    /// # Panics
    /// If the stream begins anew.
    pub async fn until_points(&mut self) -> (String, u64, SeriesPoints) {
        let mut step = 0;
        loop {
            match self.next().await {
                (_, StreamEvent::Runs { runs, .. }) => {
                    step = runs.iter().find(|run| run.number == 1).map_or(step, |run| run.step);
                }
                (id, StreamEvent::Points { mut series }) => return (id, step, series.remove(0)),
                (_, StreamEvent::Reset) => panic!("nothing was rewritten"),
            }
        }
    }
}
