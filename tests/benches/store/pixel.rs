//! From a worker's report to the changed canvas in a browser that has the sweep's page open.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_api::view::{RunKind, RunState};
use assay_api::worker::{HEADER_ATTEMPT, HEADER_RUN, MetricBatch, Progress, Report, ReportRequest};
use assay_controller::{metrics, schedule};
use assay_tests::TestWorker;
use assay_tests::bench::Figure;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::{Client, post};
use crate::server::{Server, sweep};
use crate::{alone, loss, noise, time};

const RUNS: u32 = 8;
/// What each run has reported before the page is opened.
const HISTORY: u64 = 40;
/// Half a second of a small model.
const STEPS: u64 = 10;
const SERIES: [&str; 9] = [
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "train/param_norm",
    "train/update_norm",
    "train/tokens_per_second",
    "system/cpus",
    "system/memory_bytes",
    "system/load",
];
const TIMES: u64 = 150;
/// A page that shows nothing for so long is broken.
const LIMIT: Duration = Duration::from_secs(10);
/// Until a page that was just opened has come to rest.
const REST: Duration = Duration::from_secs(3);

pub(crate) async fn measure() -> Vec<Figure> {
    let mut server = Server::start("pixel", RUNS).await;
    server.apply(&sweep("s", 1, RUNS)).await;
    server.prepared("s").await;
    let mut workers = workers(&server).await;
    let mut client = Client::connect(server.address).await;
    for _ in 0..HISTORY {
        for worker in &mut workers {
            client.ask(&worker.next()).await;
        }
    }
    // what else a controller does meanwhile
    tokio::spawn(schedule::run(server.app.app.clone()));
    tokio::spawn(metrics::run(server.app.app.clone()));
    let mut browser = Browser::open(&format!("http://{}/sweeps/s", server.address)).await;
    tokio::time::sleep(REST).await;
    let mut took = Vec::new();
    let mut others = 0;
    for (at, index) in (0..TIMES).zip((0..workers.len()).cycle()) {
        // in step with no timer
        tokio::time::sleep(Duration::from_secs_f64(0.7 + 0.9 * noise(at))).await;
        others += browser.forget().await;
        let request = workers[index].next();
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        client.ask(&request).await;
        took.push(browser.changed().await / 1e3 - sent.as_secs_f64());
    }
    browser.close().await;
    println!("  {others} changes of the canvas followed the first after a report");
    vec![alone("log_to_pixel_seconds", "s", p99(took))]
}

fn p99(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let (median, last) = (all[all.len() / 2], all.len() - 1);
    println!("  {} reports: {:.4} to {:.4} s, median {median:.4}", all.len(), all[0], all[last]);
    // the least that 99 of 100 are no longer than
    all[(all.len() * 99).div_ceil(100) - 1]
}

/// A worker whose reports go over one connection with those of others.
struct Worker {
    headers: [(&'static str, String); 3],
    instance: assay_api::InstanceId,
    run: u64,
    reports: u64,
}

async fn workers(server: &Server) -> Vec<Worker> {
    let mut workers = Vec::new();
    for row in server.app.sweep("s").await.runs {
        if row.kind == RunKind::Train && row.state == RunState::Leased {
            let worker: TestWorker<'_> = server.app.worker("s", row.number).await;
            worker.start(&[]).await.expect("it is leased");
            let (key, instance) = (worker.key, worker.instance);
            let secret = server.app.app.key.secret(key.run, key.attempt);
            let headers = [
                ("authorization", format!("Bearer {secret}")),
                (HEADER_RUN, key.run.to_string()),
                (HEADER_ATTEMPT, key.attempt.to_string()),
            ];
            workers.push(Worker { headers, instance, run: row.number.into(), reports: 0 });
        }
    }
    assert_eq!(workers.len(), RUNS as usize, "there is a slot for each");
    workers
}

impl Worker {
    /// The request that brings its next steps.
    fn next(&mut self) -> Vec<u8> {
        let steps: Vec<u64> = (self.reports * STEPS + 1..=(self.reports + 1) * STEPS).collect();
        self.reports += 1;
        let batch = |(series, name): (u64, &&str)| MetricBatch {
            name: (*name).to_owned(),
            values: steps.iter().map(|&step| loss(self.run << 8 | series, step)).collect(),
            times: steps.iter().map(|&step| time(step)).collect(),
            steps: steps.clone(),
        };
        let step = self.reports * STEPS;
        let phase = "training".to_owned();
        let progress = Progress { step, steps: 100_000, tokens: step * 256, phase };
        let report = Report {
            seq: self.reports,
            progress: Some(progress),
            metrics: (0..).zip(&SERIES).map(batch).collect(),
            ..Report::default()
        };
        let request =
            ReportRequest { instance: self.instance, carried: None, reports: vec![report] };
        let body = serde_json::to_vec(&request).expect("plain data");
        post("/api/v1/worker/report", &self.headers, &body)
    }
}

/// `web/benches/pixel.js`, which writes a line for each change.
struct Browser {
    process: Child,
    /// Closed, it ends.
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    async fn open(url: &str) -> Self {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
        let mut process = Command::new("node")
            .args(["benches/pixel.js", url])
            .current_dir(web)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is installed");
        let stdin = process.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut browser = Self { process, stdin, lines };
        assert_eq!(browser.line().await, "ready");
        browser
    }

    async fn line(&mut self) -> String {
        let line = self.lines.next_line().await.expect("it is piped");
        line.expect("what stopped the browser is said above: `make bench-store` builds the page")
    }

    /// When the canvas changed next, in milliseconds since 1970.
    async fn changed(&mut self) -> f64 {
        let line = tokio::time::timeout(LIMIT, self.line()).await;
        line.expect("a report is seen").parse().expect("a time")
    }

    /// Passes over the changes that there were; how many.
    async fn forget(&mut self) -> u32 {
        let mut n = 0;
        while tokio::time::timeout(Duration::ZERO, self.line()).await.is_ok() {
            n += 1;
        }
        n
    }

    async fn close(mut self) {
        drop(self.stdin);
        let status = self.process.wait().await.expect("it ends");
        assert!(status.success(), "the browser was not well");
    }
}
