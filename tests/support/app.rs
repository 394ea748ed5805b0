//! The controller without a port: its router, its loop one activation at a time, and its pool.

use std::sync::Arc;

use assay_api::view::{ApplyAnswer, ApplyRequest, RunRow, RunState, RunView, SweepView};
use assay_controller::access::Access;
use assay_controller::app::{self, App};
use assay_controller::http;
use assay_controller::news::News;
use assay_controller::pool::{AttemptKey, Pools};
use assay_controller::retention::Retention;
use assay_controller::schedule::{self, Memory};
use assay_controller::secret::InstallationKey;
use assay_controller::store::{self, Store};
use assay_controller::webhook::address::Reach;
use assay_scheduler::Exit;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Corpus, FakePool, TestWorker};

#[derive(Debug)]
pub struct TestApp {
    pub app: App,
    pub pool: Arc<FakePool>,
    pub corpus: Corpus,
    router: Router,
    memory: Memory,
}

impl TestApp {
    /// A controller over a migrated database, with a fake pool of so many slots.
    ///
    /// # Panics
    /// If the database or the folder for temporary files cannot be used.
    pub async fn new(db: PgPool, slots: u32) -> Self {
        let corpus = Corpus::make();
        let pool = Arc::new(FakePool::new(slots));
        let key = corpus.path().join("installation.key");
        let app = App {
            store: Store { db },
            pools: Pools::new(vec![pool.clone()]).expect("there is one"),
            key: InstallationKey::read_or_make(&key).expect("the folder is writable"),
            name: "test".to_owned(),
            access: Arc::default(),
            provider: None,
            reach: Reach::Public,
            lease_ms: 60_000,
            retention: Retention::default(),
            folder: corpus.folder().to_owned(),
            shutdown: CancellationToken::new(),
            wake: Arc::new(Notify::new()),
            activation: Arc::default(),
            draining: Arc::default(),
            streams: app::stream_permits(),
            news: News::default(),
        };
        store::project::make_default(&app.store.db).await.expect("the database is migrated");
        Self { router: http::router(app.clone()), app, pool, corpus, memory: Memory::default() }
    }

    /// The same controller, which serves others.
    #[must_use]
    pub fn serving(mut self, access: Access) -> Self {
        self.app.access = Arc::new(access);
        self.router = http::router(self.app.clone());
        self
    }

    /// The same controller, whose webhooks may lead to this machine.
    #[must_use]
    pub fn reaching(mut self, reach: Reach) -> Self {
        self.app.reach = reach;
        self.router = http::router(self.app.clone());
        self
    }

    /// The answer as it is, with its headers.
    ///
    /// # Panics
    /// If the router itself fails.
    pub async fn answer(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("the router answers")
    }

    /// The status, and the body as JSON (null where it is none).
    ///
    /// # Panics
    /// If the router itself fails.
    pub async fn send(&self, request: Request<Body>) -> (StatusCode, serde_json::Value) {
        let response = self.answer(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// # Panics
    /// If a good answer is not of this type.
    ///
    /// # Errors
    /// The status and the text of a refusal.
    pub fn read<T: DeserializeOwned>(
        (status, body): (StatusCode, serde_json::Value),
    ) -> Result<T, (StatusCode, String)> {
        if status.is_success() {
            return Ok(serde_json::from_value(body).expect("the type that the API promises"));
        }
        Err((status, body["error"].as_str().unwrap_or_default().to_owned()))
    }

    /// # Panics
    /// If the request cannot be built.
    pub async fn get(&self, path: &str) -> (StatusCode, serde_json::Value) {
        let request = Request::get(format!("/api/v1{path}")).body(Body::empty());
        self.send(request.expect("a whole request")).await
    }

    /// # Panics
    /// If the request cannot be built.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> (StatusCode, serde_json::Value) {
        let request = Request::post(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .body(serde_json::to_string(body).expect("plain data").into());
        self.send(request.expect("a whole request")).await
    }

    /// # Errors
    /// The status and the text of a refusal.
    pub async fn apply(&self, file: &str) -> Result<ApplyAnswer, (StatusCode, String)> {
        Self::read(self.post("/sweeps/apply", &self.request(file)).await)
    }

    /// What `apply` sends.
    #[must_use]
    pub fn request(&self, file: &str) -> ApplyRequest {
        let folder = Some(self.corpus.folder().to_owned());
        ApplyRequest {
            file: file.to_owned(),
            folder,
            prune: false,
            retry: Vec::new(),
            repin: false,
        }
    }

    /// # Panics
    /// If there is no such sweep.
    pub async fn sweep(&self, name: &str) -> SweepView {
        Self::read(self.get(&format!("/sweeps/{name}")).await).expect("the sweep exists")
    }

    /// # Panics
    /// If there is no such run.
    pub async fn run(&self, sweep: &str, number: u32) -> RunView {
        let row = self.row(sweep, number).await;
        Self::read(self.get(&format!("/runs/{}", row.run_id)).await).expect("the run exists")
    }

    /// # Panics
    /// If there is no such run.
    pub async fn row(&self, sweep: &str, number: u32) -> RunRow {
        let mut runs = self.sweep(sweep).await.runs.into_iter();
        runs.find(|run| run.number == number).expect("the run exists")
    }

    /// Activates the loop until it has nothing more to do, as the real one does.
    ///
    /// # Panics
    /// If an activation fails, or they never come to rest.
    pub async fn settle(&mut self) {
        for _ in 0..100 {
            let done = schedule::activate(&self.app, &mut self.memory).await;
            if done.expect("the database answers").steps == 0 {
                return;
            }
        }
        panic!("the loop does not come to rest");
    }

    /// A worker for the run's current attempt.
    ///
    /// # Panics
    /// If the run is not leased.
    pub async fn worker(&self, sweep: &str, number: u32) -> TestWorker<'_> {
        let row = self.row(sweep, number).await;
        assert_eq!(row.state, RunState::Leased, "{row:?}");
        TestWorker::new(self, AttemptKey { run: row.run_id, attempt: row.attempt })
    }

    /// Lets a leased run succeed and its process end.
    ///
    /// # Panics
    /// If the run is not leased.
    pub async fn succeed(&mut self, sweep: &str, number: u32) {
        let worker = self.worker(sweep, number).await;
        worker.succeed().await;
        let key = worker.key;
        self.pool.end(key, Exit::Code(0));
        self.settle().await;
    }
}
