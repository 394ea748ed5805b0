//! What people's programs ask.

use std::fmt::Write;

use super::stream::EventStream;
use super::{Connection, Error};
use crate::RunId;
use crate::view::{
    ApplyAnswer, ApplyRequest, AuditPage, DeletionView, EqualTokens, ExcludeRequest, ExtendAnswer,
    ExtendRequest, ForkRequest, LogPage, LoopView, NoteRequest, NoteView, PlanView, PoolView,
    PriorityRequest, Problem, RotateRequest, RunView, SeriesAnswer, SeriesQuery, SweepSummary,
    SweepView, TokenRequest, TokenSecret, TokenView,
};

/// Lines per page of a log.
const LOG_LINES: u32 = 1000;

/// Speaks to a controller for a person.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) connection: Connection,
}

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl Client {
    /// With the token to ask with, where the controller asks for one.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        Ok(Self { connection: Connection::new(url, token)? })
    }

    /// The same for what is of a project. None: of what the controller takes for it.
    #[must_use]
    pub fn in_project(mut self, project: Option<String>) -> Self {
        self.connection.project = project;
        self
    }

    pub async fn tokens(&self) -> Result<Vec<TokenView>, Error> {
        self.get("/tokens").await
    }

    pub async fn create_token(&self, asked: &TokenRequest) -> Result<TokenSecret, Error> {
        let post = self.connection.http.post(self.connection.path("/tokens")).json(asked);
        self.connection.ask(post).await
    }

    pub async fn rotate_token(
        &self,
        name: &str,
        asked: &RotateRequest,
    ) -> Result<TokenSecret, Error> {
        let path = self.connection.path(&format!("/tokens/{}/rotate", escaped(name)));
        self.connection.ask(self.connection.http.post(path).json(asked)).await
    }

    pub async fn revoke_token(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/tokens/{}", escaped(name))).await
    }

    /// Rows of the audit log, the newest first.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<AuditPage, Error> {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        self.get(&format!("/audit?limit={limit}{before}")).await
    }

    pub async fn sweeps(&self) -> Result<Vec<SweepSummary>, Error> {
        self.get("/sweeps").await
    }

    pub async fn sweep(&self, name: &str) -> Result<SweepView, Error> {
        self.get(&format!("/sweeps/{}", escaped(name))).await
    }

    /// What the runs of a sweep had come to after so many tokens; none: where all have come to.
    pub async fn equal_tokens(
        &self,
        name: &str,
        tokens: Option<u64>,
    ) -> Result<EqualTokens, Error> {
        let asked = tokens.map_or_else(String::new, |tokens| format!("?tokens={tokens}"));
        self.get(&format!("/sweeps/{}/equal{asked}", escaped(name))).await
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

    /// A new sweep from a stored one.
    pub async fn fork(&self, name: &str, asked: &ForkRequest) -> Result<ApplyAnswer, Error> {
        let path = self.connection.path(&format!("/sweeps/{}/fork", escaped(name)));
        self.connection.ask(self.connection.http.post(path).json(asked)).await
    }

    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/pause", escaped(name))).await
    }

    /// What runs saves a checkpoint and is queued again as well.
    pub async fn pause_now(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/pause?now=true", escaped(name))).await
    }

    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/resume", escaped(name))).await
    }

    pub async fn cancel(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/sweeps/{}/cancel", escaped(name))).await
    }

    /// What [`Client::delete_sweep`] would take away.
    pub async fn deletion(&self, name: &str) -> Result<DeletionView, Error> {
        self.get(&format!("/sweeps/{}/deletion", escaped(name))).await
    }

    /// With what it left. `cancel`: also if something has not ended, once all is gone.
    pub async fn delete_sweep(&self, name: &str, cancel: bool) -> Result<DeletionView, Error> {
        let path = format!("/sweeps/{}?cancel={cancel}", escaped(name));
        self.connection.ask(self.connection.http.delete(self.connection.path(&path))).await
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

    /// A new run that goes on from the state before the decay of a finished one.
    pub async fn extend_run(
        &self,
        run: RunId,
        asked: &ExtendRequest,
    ) -> Result<ExtendAnswer, Error> {
        let path = self.connection.path(&format!("/runs/{run}/extend"));
        self.connection.ask(self.connection.http.post(path).json(asked)).await
    }

    pub async fn exclude_run(&self, run: RunId, why: &ExcludeRequest) -> Result<(), Error> {
        self.tell(&format!("/runs/{run}/exclude"), why).await
    }

    pub async fn include_run(&self, run: RunId) -> Result<(), Error> {
        self.wish(&format!("/runs/{run}/include")).await
    }

    pub async fn note_run(&self, run: RunId, note: &NoteRequest) -> Result<NoteView, Error> {
        let path = self.connection.path(&format!("/runs/{run}/notes"));
        self.connection.ask(self.connection.http.post(path).json(note)).await
    }

    pub async fn remove_note(&self, run: RunId, note: i64) -> Result<(), Error> {
        self.delete(&format!("/runs/{run}/notes/{note}")).await
    }

    pub async fn tag_run(&self, run: RunId, tag: &str) -> Result<(), Error> {
        self.put(&format!("/runs/{run}/tags/{}", escaped(tag))).await
    }

    pub async fn untag_run(&self, run: RunId, tag: &str) -> Result<(), Error> {
        self.delete(&format!("/runs/{run}/tags/{}", escaped(tag))).await
    }

    pub async fn tag_sweep(&self, name: &str, tag: &str) -> Result<(), Error> {
        self.put(&format!("/sweeps/{}/tags/{}", escaped(name), escaped(tag))).await
    }

    pub async fn untag_sweep(&self, name: &str, tag: &str) -> Result<(), Error> {
        self.delete(&format!("/sweeps/{}/tags/{}", escaped(name), escaped(tag))).await
    }

    pub async fn prioritize_run(&self, run: RunId, priority: i16) -> Result<(), Error> {
        self.tell(&format!("/runs/{run}/priority"), &PriorityRequest { priority }).await
    }

    /// Of every run that the sweep has now.
    pub async fn prioritize_sweep(&self, name: &str, priority: i16) -> Result<(), Error> {
        let path = format!("/sweeps/{}/priority", escaped(name));
        self.tell(&path, &PriorityRequest { priority }).await
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

    pub(super) async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.connection.ask(self.connection.http.get(self.connection.path(path))).await
    }

    pub(super) async fn wish(&self, path: &str) -> Result<(), Error> {
        self.connection.send(self.connection.http.post(self.connection.path(path))).await?;
        Ok(())
    }

    pub(super) async fn tell(&self, path: &str, what: &impl serde::Serialize) -> Result<(), Error> {
        let post = self.connection.http.post(self.connection.path(path)).json(what);
        self.connection.send(post).await?;
        Ok(())
    }

    async fn put(&self, path: &str) -> Result<(), Error> {
        self.connection.send(self.connection.http.put(self.connection.path(path))).await?;
        Ok(())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), Error> {
        self.connection.send(self.connection.http.delete(self.connection.path(path))).await?;
        Ok(())
    }
}

/// A name as one segment of a path.
pub(super) fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all");
        }
        text
    })
}
