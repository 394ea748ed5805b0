//! A worker that speaks like a real one, one message at a time.

use assay_api::InstanceId;
use assay_api::result_key::recorded_key;
use assay_api::spec::RunSpec;
use assay_api::worker::{
    Finish, FinishRequest, FoundCheckpoint, HEADER_ATTEMPT, HEADER_RUN, MetricBatch, Progress,
    Report, ReportAnswer, ReportRequest, StartAnswer, StartRequest,
};
use assay_controller::pool::AttemptKey;
use axum::http::{Request, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use crate::TestApp;

#[derive(Debug)]
pub struct TestWorker<'a> {
    app: &'a TestApp,
    pub key: AttemptKey,
    secret: String,
    pub instance: InstanceId,
    seq: u64,
}

impl<'a> TestWorker<'a> {
    #[must_use]
    pub fn new(app: &'a TestApp, key: AttemptKey) -> Self {
        let secret = app.app.key.secret(key.run, key.attempt);
        Self { app, key, secret, instance: InstanceId(Uuid::new_v4()), seq: 0 }
    }

    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    async fn post(&self, what: &str, body: &impl Serialize) -> (StatusCode, serde_json::Value) {
        let request = Request::post(format!("/api/v1/worker/{what}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.secret))
            .header(HEADER_RUN, self.key.run.to_string())
            .header(HEADER_ATTEMPT, self.key.attempt.to_string())
            .body(serde_json::to_string(body).expect("plain data").into())
            .expect("a whole request");
        self.app.send(request).await
    }

    /// With the checkpoints that it finds, as (attempt, step).
    ///
    /// # Errors
    /// The status and text of a refusal.
    pub async fn start(&self, found: &[(u32, u64)]) -> Result<StartAnswer, (StatusCode, String)> {
        let found = found.iter().map(|&(attempt, step)| FoundCheckpoint { attempt, step });
        let request = StartRequest {
            instance: self.instance,
            checkpoints: found.collect(),
            host: "test".to_owned(),
            pid: 1,
        };
        TestApp::read(self.post("start", &request).await)
    }

    /// # Errors
    /// The status and text of a refusal.
    pub async fn send(
        &self,
        carried: Option<u32>,
        reports: Vec<Report>,
    ) -> Result<ReportAnswer, (StatusCode, String)> {
        let request = ReportRequest { instance: self.instance, carried, reports };
        TestApp::read(self.post("report", &request).await)
    }

    /// The next report: points of one series.
    pub fn points(&mut self, name: &str, points: &[(u64, f64)]) -> Report {
        self.seq += 1;
        let last = points.last().map_or(0, |point| point.0);
        Report {
            seq: self.seq,
            progress: Some(Progress {
                step: last,
                steps: 16,
                tokens: last * 256,
                phase: "training".to_owned(),
            }),
            metrics: vec![MetricBatch {
                name: name.to_owned(),
                steps: points.iter().map(|point| point.0).collect(),
                values: points.iter().map(|point| point.1).collect(),
                times: points.iter().map(|point| 1_000 * point.0.cast_signed()).collect(),
            }],
            ..Report::default()
        }
    }

    /// # Errors
    /// The status and text of a refusal.
    pub async fn finish(&self, finish: Finish) -> Result<(), (StatusCode, String)> {
        let (status, body) =
            self.post("finish", &FinishRequest { instance: self.instance, finish }).await;
        if status.is_success() {
            return Ok(());
        }
        Err((status, body["error"].as_str().unwrap_or_default().to_owned()))
    }

    /// Starts and succeeds: data with its point for a fingerprint, all else with the key that a worker records.
    ///
    /// # Panics
    /// If the controller refuses.
    pub async fn succeed(&self) {
        let answer = self.start(&[]).await.expect("the attempt is current");
        self.succeed_with(&answer).await;
    }

    /// Succeeds with what it was told to begin with.
    ///
    /// # Panics
    /// If the controller refuses.
    pub async fn succeed_with(&self, answer: &StartAnswer) {
        let run = self.key.run;
        let fingerprint = match &answer.spec {
            RunSpec::Prepare(_) => answer.point.clone(),
            RunSpec::Train(_) | RunSpec::Evaluate(_) => recorded_key(run, answer),
        };
        let path = format!("result/{run}");
        let finish = Finish::Succeeded { step: 16, path, fingerprint, tokens: 4096 };
        self.finish(finish).await.expect("the attempt is current");
    }
}
