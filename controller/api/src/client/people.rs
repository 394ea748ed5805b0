//! What people's programs ask.

use std::fmt::Write;

use super::stream::EventStream;
use super::{Connection, Error};
use crate::RunId;
use crate::view::{
    ApplyAnswer, ApplyRequest, LogPage, LoopView, PlanView, PoolView, Problem, RunView,
    SeriesAnswer, SeriesQuery, SweepSummary, SweepView,
};

/// Lines per page of a log.
const LOG_LINES: u32 = 1000;

/// Speaks to a controller for a person.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
}

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl Client {
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self { connection: Connection::new(url)? })
    }

    pub async fn sweeps(&self) -> Result<Vec<SweepSummary>, Error> {
        self.get("/sweeps").await
    }

    pub async fn sweep(&self, name: &str) -> Result<SweepView, Error> {
        self.get(&format!("/sweeps/{}", escaped(name))).await
    }

    /// What changes in a sweep, from the cursor of a view on.
    pub async fn stream(&self, name: &str, cursor: &str) -> Result<EventStream, Error> {
        let path = format!("/sweeps/{}/stream?cursor={}", escaped(name), escaped(cursor));
        let request = self.connection.http.get(self.connection.path(&path));
        let response = self.connection.begin(request).await?;
        Ok(EventStream::new(self.connection.url.clone(), response))
    }

    pub async fn plan(&self, request: &ApplyRequest) -> Result<PlanView, Error> {
        let post = self.connection.http.post(self.connection.path("/sweeps/plan")).json(request);
        self.connection.ask(post).await
    }

    pub async fn apply(&self, request: &ApplyRequest) -> Result<ApplyAnswer, Error> {
        let post = self.connection.http.post(self.connection.path("/sweeps/apply")).json(request);
        self.connection.ask(post).await
    }

    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/pause", escaped(name))).await
    }

    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/resume", escaped(name))).await
    }

    pub async fn cancel(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/cancel", escaped(name))).await
    }

    pub async fn run(&self, run: RunId) -> Result<RunView, Error> {
        self.get(&format!("/runs/{run}")).await
    }

    /// A run by its number, as people name it.
    pub async fn run_of(&self, sweep: &str, number: u32) -> Result<RunView, Error> {
        let runs = self.sweep(sweep).await?.runs;
        match runs.iter().find(|run| run.number == number) {
            Some(run) => self.run(run.run_id).await,
            None => {
                let error =
                    format!("sweep `{sweep}` has no run {number}; it has 1 to {}", runs.len());
                let problem = Problem { error, kind: "not_found".to_owned(), errors: Vec::new() };
                Err(Error::Refused { status: 404, problem: Box::new(problem) })
            }
        }
    }

    /// Lines after `after`; 0: from the beginning.
    pub async fn logs(&self, run: RunId, after: i64) -> Result<LogPage, Error> {
        self.get(&format!("/runs/{run}/logs?after={after}&limit={LOG_LINES}")).await
    }

    pub async fn cancel_run(&self, run: RunId) -> Result<(), Error> {
        self.wish(&format!("/runs/{run}/cancel")).await
    }

    pub async fn retry_run(&self, run: RunId) -> Result<(), Error> {
        self.wish(&format!("/runs/{run}/retry")).await
    }

    pub async fn series(&self, query: &SeriesQuery) -> Result<SeriesAnswer, Error> {
        let post = self.connection.http.post(self.connection.path("/series/query")).json(query);
        self.connection.ask(post).await
    }

    /// The last activation of the scheduling loop.
    pub async fn schedule_loop(&self) -> Result<LoopView, Error> {
        self.get("/loops/schedule").await
    }

    pub async fn pools(&self) -> Result<Vec<PoolView>, Error> {
        self.get("/pools").await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.connection.ask(self.connection.http.get(self.connection.path(path))).await
    }

    async fn wish(&self, path: &str) -> Result<(), Error> {
        self.connection.send(self.connection.http.post(self.connection.path(path))).await?;
        Ok(())
    }
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all");
        }
        text
    })
}
