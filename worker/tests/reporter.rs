//! The reporter against a server that fails, forgets and refuses: nothing is lost, nothing that was
//! acknowledged is sent again.
#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay_api::client::WorkerClient;
use assay_api::view::Problem;
use assay_api::worker::limits::{POINTS_MAX, REQUEST_BYTES_MAX};
use assay_api::worker::{
    Lease, LogLevel, LogLine, MetricBatch, Report, ReportAnswer, ReportRequest, Wish,
};
use assay_api::{InstanceId, RunId};
use assay_worker::reporter::{Carried, Shared, Standing, send};
use assay_worker::spool::Spool;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use uuid::Uuid;

/// What the server does with its next requests; `Store` when it has run out.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// An error of its own.
    Fail,
    /// Stores everything, and its answer is lost.
    StoreAndFail,
    /// Stores the first report of the request alone.
    StoreOne,
    Refuse,
}

#[derive(Debug, Default)]
struct Server {
    next: Vec<Next>,
    /// (carried, seq) in the order they were stored.
    stored: Vec<(Option<u32>, u64)>,
    acknowledged: u64,
    /// What was acknowledged and sent all the same.
    again: Vec<u64>,
    /// Steps of the points that were stored.
    steps: Vec<u64>,
    /// Bytes of the largest request's reports.
    largest: usize,
    wish: Option<Wish>,
}

impl Server {
    fn take(&mut self, request: &ReportRequest, limit: usize) {
        for report in request.reports.iter().take(limit) {
            let key = (request.carried, report.seq);
            if !self.stored.contains(&key) {
                report.check().unwrap();
                self.steps.extend(report.metrics.iter().flat_map(|batch| &batch.steps));
                self.stored.push(key);
            }
        }
    }

    fn answer(&mut self, request: &ReportRequest) -> Response {
        if request.carried.is_none() {
            let known = self.acknowledged;
            self.again.extend(request.reports.iter().map(|r| r.seq).filter(|seq| *seq <= known));
        }
        let bytes = request.reports.iter().map(|report| serde_json::to_vec(report).unwrap().len());
        self.largest = self.largest.max(bytes.sum());
        let next = (!self.next.is_empty()).then(|| self.next.remove(0));
        let trouble = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        match next {
            Some(Next::Fail) => return trouble,
            Some(Next::StoreAndFail) => {
                self.take(request, usize::MAX);
                return trouble;
            }
            Some(Next::Refuse) => {
                let error = "attempt 1 is not current".to_owned();
                let problem = Problem { error, kind: "conflict".to_owned(), errors: Vec::new() };
                return (StatusCode::CONFLICT, Json(problem)).into_response();
            }
            Some(Next::StoreOne) => self.take(request, 1),
            None => self.take(request, usize::MAX),
        }
        let own = self.stored.iter().filter(|(carried, _)| *carried == request.carried);
        let seq_stored = own.map(|(_, seq)| *seq).max().unwrap_or(0);
        if request.carried.is_none() {
            self.acknowledged = seq_stored;
        }
        let wish = self.wish.unwrap_or(Wish::Continue);
        Json(ReportAnswer { seq_stored, lease: Lease { lease_ms: 1000 }, wish }).into_response()
    }
}

type Shelf = Arc<Mutex<Server>>;

async fn report(State(server): State<Shelf>, Json(request): Json<ReportRequest>) -> Response {
    server.lock().unwrap().answer(&request)
}

/// A server that behaves as told, and a sender that speaks to it.
async fn begin(name: &str, server: Server) -> (Shelf, Arc<Shared>) {
    let server = Arc::new(Mutex::new(server));
    let router = Router::new().route("/api/v1/worker/report", post(report));
    let router = router.layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router.with_state(server.clone())).into_future());

    let path = std::env::temp_dir().join(format!("assay-{}-{name}.spool", std::process::id()));
    drop(std::fs::remove_file(&path));
    let shared = Shared::new(Spool::open(&path).unwrap());
    let client = WorkerClient::new(&url, RunId(Uuid::nil()), 2, "secret".to_owned()).unwrap();
    let instance = InstanceId(Uuid::nil());
    tokio::spawn(send(shared.clone(), client, instance, Duration::from_secs(1)));
    (server, shared)
}

fn line(text: &str) -> Report {
    let logs = vec![LogLine { time: 1, level: LogLevel::Info, text: text.to_owned() }];
    Report { logs, ..Report::default() }
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn trouble_delays_reports_and_loses_or_repeats_none() {
    let next = vec![Next::Fail, Next::StoreOne, Next::StoreAndFail, Next::Fail];
    let (server, shared) = begin("trouble", Server { next, ..Server::default() }).await;
    for text in ["one", "two", "three"] {
        shared.write(line(text)).unwrap();
    }
    shared.flushed(PATIENCE).await;
    assert_eq!(shared.standing(), Standing::Sending);
    let server = server.lock().unwrap();
    assert_eq!(server.stored, [(None, 1), (None, 2), (None, 3)]);
    assert!(server.again.is_empty(), "sent again after it was acknowledged: {:?}", server.again);
}

#[tokio::test]
async fn a_refusal_ends_everything_at_once() {
    let next = vec![Next::Refuse];
    let (server, shared) = begin("refused", Server { next, ..Server::default() }).await;
    shared.write(line("one")).unwrap();
    shared.flushed(PATIENCE).await;
    assert_eq!(shared.standing(), Standing::Refused("attempt 1 is not current".to_owned()));
    assert_eq!(shared.wish(), Wish::Stop);
    assert!(server.lock().unwrap().stored.is_empty());
}

#[tokio::test]
async fn what_a_checkpoint_carried_goes_before_what_is_new() {
    let next = vec![Next::Fail];
    let (server, shared) = begin("carried", Server { next, ..Server::default() }).await;
    let reports = vec![Report { seq: 7, ..line("seven") }, Report { seq: 8, ..line("eight") }];
    let carried = vec![Carried { attempt: 1, reports }];
    shared.carry(carried.clone());
    shared.write(line("one")).unwrap();
    let bytes = shared.unacknowledged(2).unwrap();
    let again: Vec<Carried> = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(again[0], carried[0], "the next checkpoint carries them on");
    assert_eq!(again[1].attempt, 2);
    shared.flushed(PATIENCE).await;
    let stored = server.lock().unwrap().stored.clone();
    assert_eq!(stored, [(Some(1), 7), (Some(1), 8), (None, 1)]);
    assert!(shared.unacknowledged(2).unwrap() == b"[]");
}

#[tokio::test]
async fn what_a_checkpoint_carried_goes_in_as_many_requests_as_it_takes() {
    let (server, shared) = begin("much", Server::default()).await;
    let text = "x".repeat(4_000);
    let reports = (1..=1_200).map(|seq| Report { seq, ..line(&text) }).collect();
    shared.carry(vec![Carried { attempt: 1, reports }]);
    shared.flushed(PATIENCE).await;
    let server = server.lock().unwrap();
    let expected: Vec<_> = (1..=1_200).map(|seq| (Some(1), seq)).collect();
    assert_eq!(server.stored, expected);
    assert!(server.largest <= 1 << 20, "{} bytes in one request", server.largest);
}

#[tokio::test]
async fn more_points_than_one_report_may_hold_all_arrive() {
    let (server, shared) = begin("points", Server::default()).await;
    let n = 2 * POINTS_MAX as u64 + 1;
    let batch = MetricBatch {
        name: "train/loss".to_owned(),
        steps: (0..n).collect(),
        values: vec![1.0; 2 * POINTS_MAX + 1],
        times: vec![1; 2 * POINTS_MAX + 1],
    };
    shared.write(Report { metrics: vec![batch], ..Report::default() }).unwrap();
    shared.flushed(PATIENCE).await;
    let server = server.lock().unwrap();
    assert_eq!(server.stored, [(None, 1), (None, 2), (None, 3)]);
    assert_eq!(server.steps, (0..n).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_wish_reaches_the_trainer() {
    let wish = Some(Wish::CheckpointAndStop);
    let (_server, shared) = begin("wish", Server { wish, ..Server::default() }).await;
    assert_eq!(shared.wish(), Wish::Continue);
    shared.write(line("one")).unwrap();
    shared.flushed(PATIENCE).await;
    assert_eq!(shared.wish(), Wish::CheckpointAndStop);
}
