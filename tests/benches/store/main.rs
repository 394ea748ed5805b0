//! The controller under load: its real router over TCP, on a real Postgres that keeps what it commits.
//!
//! `make bench` prints the figures and adds them to `target/bench.json`. Words choose some of them:
//!
//!     tests/with-postgres --durable cargo bench --profile dev --workspace --bench store -- query wake
//!
//! Clients, server and database share the machine's processors. Where `ASSAY_MLFLOW` names
//! `MLflow`'s program, its server is measured in turns with ours, by the same clients.

#![expect(clippy::print_stdout, reason = "what was measured is the result")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its environment")]

mod apply;
mod client;
mod ingest;
mod mlflow;
mod pixel;
mod plan;
mod query;
mod server;

use std::time::Duration;

use assay_tests::bench::{Figure, record};

/// In the order in which they run.
const PARTS: [&str; 5] = ["ingest", "apply", "plan", "query", "pixel"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_chosen = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    for part in PARTS.into_iter().filter(|part| is_chosen(part)) {
        let figures = runtime.block_on(async {
            match part {
                "ingest" => ingest::measure().await,
                "apply" => apply::measure().await,
                "plan" => plan::measure(),
                "query" => query::measure().await,
                "pixel" => pixel::measure().await,
                _ => unreachable!("the parts are listed"),
            }
        });
        figures.iter().for_each(show);
        record(&figures);
    }
}

fn show(figure: &Figure) {
    let Figure { name, unit, ours, peer, ratio } = figure;
    print!("{name}: {ours:.4} {unit}");
    if let Some((peer, ratio)) = peer.zip(*ratio) {
        print!(", peer {peer:.4}, ratio {ratio:.2}");
    }
    println!();
}

fn alone(name: &str, unit: &str, ours: f64) -> Figure {
    Figure { name: name.to_owned(), unit: unit.to_owned(), ours, peer: None, ratio: None }
}

fn seconds(name: &str, mut all: Vec<Duration>) -> Figure {
    all.sort();
    let (least, most) = (all[0].as_secs_f64(), all[all.len() - 1].as_secs_f64());
    println!("  {name}: {} times, {least:.4} to {most:.4} s", all.len());
    alone(name, "s", all[all.len() / 2].as_secs_f64())
}

/// A number in 0..1 that looks like noise, the same every time.
fn noise(seed: u64) -> f64 {
    // splitmix64 (Steele, Lea and Flood, OOPSLA 2014)
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((z ^ (z >> 31)) >> 32).expect("32 bits are left")) / 2_f64.powi(32)
}

/// A loss that falls, with all the digits of 64 bits.
fn loss(series: u64, step: u64) -> f64 {
    let at = f64::from(u32::try_from(step).expect("few steps"));
    2.0 + 8.0 / (1.0 + at / 100.0).sqrt() + 0.3 * noise(series << 32 | step)
}

/// When a step ends: 40 ms apart, now and then more.
fn time(step: u64) -> i64 {
    1_790_000_000_000 + step.cast_signed() * 40 + i64::from(noise(step) < 0.1) * 7
}
