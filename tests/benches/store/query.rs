//! A chart of a hundred runs with a million points each.

use std::time::Instant;

use assay_api::view::{RunKind, SeriesAnswer, SeriesQuery};
use assay_api::worker::{MetricBatch, Report};
use assay_controller::{metrics, store};
use assay_tests::bench::Figure;

use crate::client::{Client, post};
use crate::server::{Server, sweep};
use crate::{loss, seconds, time};

const RUNS: u32 = 100;
const POINTS: u64 = 1_000_000;
/// What is folded at once while the database is filled.
const REPORT: u64 = 50_000;
/// What each run has reported since it was last folded.
const TAIL: u64 = 200;
const TIMES: usize = 21;

pub(crate) async fn measure() -> Vec<Figure> {
    let mut server = Server::start("query", 2 * RUNS).await;
    server.apply(&sweep("s", 1, RUNS)).await;
    server.prepared("s").await;
    let rows = server.app.sweep("s").await.runs.into_iter();
    let runs: Vec<_> =
        rows.filter(|row| row.kind == RunKind::Train).map(|row| row.run_id).collect();
    for (number, run) in (0..).zip(&runs) {
        fill(&server, *run, number).await;
    }
    sqlx::query("vacuum analyze").execute(server.db()).await.expect("a superuser may");
    let query = SeriesQuery {
        runs,
        names: vec!["train/loss".to_owned()],
        from: None,
        to: None,
        buckets: 1000,
    };
    let whole = times(&server, &query).await;
    let zoomed = SeriesQuery { from: Some(123_456), to: Some(234_567), ..query };
    let zoomed = times(&server, &zoomed).await;
    vec![
        seconds("query_100x1000_seconds", whole),
        seconds("query_100x1000_of_a_part_seconds", zoomed),
    ]
}

async fn fill(server: &Server, run: assay_api::RunId, number: u64) {
    let ends = (1..POINTS / REPORT).map(|i| i * REPORT);
    let ends = ends.chain([POINTS - TAIL, POINTS]);
    let mut from = 0;
    for (seq, end) in (1..).zip(ends) {
        let steps: Vec<u64> = (from..end).collect();
        let batch = MetricBatch {
            name: "train/loss".to_owned(),
            values: steps.iter().map(|&step| loss(number, step)).collect(),
            times: steps.iter().map(|&step| time(step)).collect(),
            steps,
        };
        let report = Report { seq, metrics: vec![batch], ..Report::default() };
        let mut tx = server.db().begin().await.expect("Postgres is there");
        store::report::insert(&mut tx, run, 1, &report).await.expect("it is stored");
        if end < POINTS {
            metrics::fold(&mut tx, run).await.expect("it is folded");
        }
        tx.commit().await.expect("it is committed");
        from = end;
    }
}

async fn times(server: &Server, query: &SeriesQuery) -> Vec<std::time::Duration> {
    let body = serde_json::to_vec(query).expect("plain data");
    let request = post("/api/v1/series/query", &[], &body);
    let mut client = Client::connect(server.address).await;
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        let answer = client.ask(&request).await;
        took.push(begin.elapsed());
        let answer: SeriesAnswer = serde_json::from_slice(&answer).expect("an answer");
        assert_eq!(answer.series.len(), query.runs.len());
        let last = query.to.unwrap_or(POINTS - 1);
        for (number, series) in (0..).zip(&answer.series) {
            assert!((500..=1000).contains(&series.steps.len()), "{}", series.steps.len());
            assert_eq!(series.steps.last(), Some(&last));
            assert_eq!(series.values.last(), Some(&loss(number, last)), "its own last value");
        }
    }
    took
}
