//! What a worker says, in the name of one attempt.

use std::fmt;

use serde::Serialize;

use super::{Connection, Error};
use crate::RunId;
use crate::worker::{
    FinishRequest, HEADER_ATTEMPT, HEADER_RUN, ReportAnswer, ReportRequest, StartAnswer,
    StartRequest,
};

/// Speaks for one attempt.
#[derive(Clone)]
pub struct WorkerClient {
    connection: Connection,
    run: RunId,
    attempt: u32,
    secret: String,
}

impl fmt::Debug for WorkerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, run, attempt, secret: _ } = self;
        write!(f, "WorkerClient({}, run {run}, attempt {attempt}, secret …)", connection.url)
    }
}

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl WorkerClient {
    pub fn new(url: &str, run: RunId, attempt: u32, secret: String) -> Result<Self, Error> {
        Ok(Self { connection: Connection::new(url, None)?, run, attempt, secret })
    }

    pub async fn start(&self, request: &StartRequest) -> Result<StartAnswer, Error> {
        Ok(serde_json::from_slice(&self.post("start", request).await?)?)
    }

    pub async fn report(&self, request: &ReportRequest) -> Result<ReportAnswer, Error> {
        Ok(serde_json::from_slice(&self.post("report", request).await?)?)
    }

    pub async fn finish(&self, request: &FinishRequest) -> Result<(), Error> {
        self.post("finish", request).await?;
        Ok(())
    }

    async fn post(&self, what: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
        let url = self.connection.path(&format!("/worker/{what}"));
        let request = self.connection.http.post(url).bearer_auth(&self.secret);
        let request = request.header(HEADER_RUN, self.run.to_string());
        let request = request.header(HEADER_ATTEMPT, self.attempt.to_string());
        self.connection.send(request.json(body)).await
    }
}
