//! Points a second that are acknowledged, which means on the disk; and what they take there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_api::view::{RunKind, RunState};
use assay_api::worker::{
    Finish, HEADER_ATTEMPT, HEADER_RUN, MetricBatch, Progress, Report, ReportRequest,
};
use assay_controller::metrics;
use assay_scheduler::Exit;
use assay_tests::TestWorker;
use assay_tests::bench::Figure;
use tokio::sync::Barrier;

use crate::client::{Client, post};
use crate::mlflow::Mlflow;
use crate::server::{Server, sweep};
use crate::{alone, loss, time};

const ROUNDS: usize = 3;
pub(crate) const WORKERS: u32 = 16;
/// One request has 1,000 points, which is all that `MLflow` takes in one.
pub(crate) const SERIES: u64 = 20;
pub(crate) const STEPS: u64 = 50;
/// Of each worker.
const REQUESTS: u64 = 125;

pub(crate) async fn measure() -> Vec<Figure> {
    let mut peer = Mlflow::start().await;
    let mut server = Server::start("ingest", WORKERS).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(round_of_ours(&mut server, &format!("round-{round}")).await);
        println!("  ours: {:.0} points/s", ours[round]);
        if let Some(peer) = &mut peer {
            theirs.push(peer.round().await);
            println!("  MLflow: {:.0} points/s", theirs[round]);
        }
    }
    let points = ROUNDS as u64 * u64::from(WORKERS) * REQUESTS * SERIES * STEPS;
    let (ours, theirs) = (median(ours), peer.map(|_| median(theirs)));
    let speed = Figure {
        peer: theirs,
        ratio: theirs.map(|theirs| ours / theirs),
        ..alone("ingest_points_per_second", "points/s", ours)
    };
    vec![speed, alone("ingest_bytes_per_point", "bytes", bytes(&server).await / points as f64)]
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Every worker sends its requests one after the other, all workers at once.
async fn round_of_ours(server: &mut Server, name: &str) -> f64 {
    server.apply(&sweep(name, 1, WORKERS)).await;
    server.prepared(name).await;
    let (mut clients, mut instances) = (Vec::new(), Vec::new());
    for row in server.app.sweep(name).await.runs {
        if row.kind == RunKind::Train && row.state == RunState::Leased {
            let worker = server.app.worker(name, row.number).await;
            worker.start(&[]).await.expect("it is leased");
            clients.push(requests(server, &worker, row.number));
            instances.push((worker.key, worker.instance));
        }
    }
    let took = send_all(server.address, clients).await;
    for (key, instance) in instances {
        let mut worker = TestWorker::new(&server.app, key);
        worker.instance = instance;
        let (step, path) = (REQUESTS * STEPS, "result".to_owned());
        let finish = Finish::Succeeded { step, path, fingerprint: "f".to_owned(), tokens: 0 };
        worker.finish(finish).await.expect("it was started");
        server.app.pool.end(key, Exit::Code(0));
    }
    server.app.settle().await;
    points(took)
}

fn points(took: Duration) -> f64 {
    (u64::from(WORKERS) * REQUESTS * SERIES * STEPS) as f64 / took.as_secs_f64()
}

/// Sends each client's requests; from the first byte to the last answer.
pub(crate) async fn send_all(
    address: std::net::SocketAddr,
    clients: Vec<Vec<Vec<u8>>>,
) -> Duration {
    let barrier = Arc::new(Barrier::new(clients.len() + 1));
    let mut tasks = Vec::new();
    for requests in clients {
        let barrier = barrier.clone();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            barrier.wait().await;
            for request in requests {
                client.ask(&request).await;
            }
        }));
    }
    barrier.wait().await;
    let begin = Instant::now();
    for task in tasks {
        task.await.expect("a client ends");
    }
    begin.elapsed()
}

fn requests(server: &Server, worker: &TestWorker<'_>, number: u32) -> Vec<Vec<u8>> {
    let key = worker.key;
    let secret = server.app.app.key.secret(key.run, key.attempt);
    let headers = [
        ("authorization", format!("Bearer {secret}")),
        (HEADER_RUN, key.run.to_string()),
        (HEADER_ATTEMPT, key.attempt.to_string()),
    ];
    let request = |at: u64| {
        let steps: Vec<u64> = (at * STEPS..(at + 1) * STEPS).collect();
        let batch = |series: u64| MetricBatch {
            name: format!("train/series_{series:02}"),
            values: steps.iter().map(|&s| loss(u64::from(number) << 8 | series, s)).collect(),
            times: steps.iter().map(|&step| time(step)).collect(),
            steps: steps.clone(),
        };
        let step = (at + 1) * STEPS - 1;
        let progress = Progress {
            step,
            steps: REQUESTS * STEPS,
            tokens: step * 256,
            phase: "training".to_owned(),
        };
        let report = Report {
            seq: at + 1,
            progress: Some(progress),
            metrics: (0..SERIES).map(batch).collect(),
            ..Report::default()
        };
        let request =
            ReportRequest { instance: worker.instance, carried: None, reports: vec![report] };
        let body = serde_json::to_vec(&request).expect("plain data");
        post("/api/v1/worker/report", &headers, &body)
    };
    (0..REQUESTS).map(request).collect()
}

/// What the points take on the disk, tables and indexes, once the runs have ended.
async fn bytes(server: &Server) -> f64 {
    metrics::keep(&server.app.app, Duration::ZERO).await.expect("the database answers");
    for housekeeping in ["vacuum report, chunk, rollup, series", "checkpoint"] {
        sqlx::query(housekeeping).execute(server.db()).await.expect("a superuser may");
    }
    let mut sum = 0;
    for table in ["report", "chunk", "rollup", "series"] {
        let bytes: i64 = sqlx::query_scalar("select pg_total_relation_size($1::text::regclass)")
            .bind(table)
            .fetch_one(server.db())
            .await
            .expect("a table");
        println!("  {table}: {bytes} bytes");
        sum += bytes;
    }
    sum as f64
}
