//! Tokens per second of whole training steps.

use std::time::{Duration, Instant};

use assay_api::spec::AdamW;
use assay_trainer::cpu::Cpu;
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine, Settings, Update};
use assay_trainer::initial;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Planned, Shape};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let only = args.iter().find(|a| a.starts_with("llama")).cloned();
    for (name, vocabulary) in [("llama-1m", 264), ("llama-6m", 2048), ("llama-30m", 264)] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        for (context, threads) in [(256, 1), (1024, 1), (256, 2)] {
            for rows in [1, 2, 4, 8] {
                let config = Config { vocabulary, ..preset(name).unwrap() };
                measure(name, &config, rows, context, threads);
            }
        }
    }
}

fn measure(name: &str, config: &Config, rows: usize, context: usize, threads: usize) {
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let settings = Settings { adamw, clip: 1.0, z_loss: 0.0, threads };
    let shape = Shape { rows, context, longest: context, threads };
    let mut engine =
        Planned::<Cpu>::on_cpu(config, settings, &shape, None, &initial::draw(config, 1)).unwrap();
    let batch = batch(rows, context, config.vocabulary);
    let weight = 1.0 / batch.scored() as f64;
    let mut step = |number| {
        engine.accumulate(&batch, weight).expect("accumulated");
        engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
    };
    step(1);
    let mut best = f64::MAX;
    for round in 0..3 {
        let (begin, mut n) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_millis(700) {
            n += 1;
            step(2 + n + round * 1000);
        }
        best = best.min(begin.elapsed().as_secs_f64() / (n as f64 * (rows * context) as f64));
    }
    let gf = config.flops_per_token(context as u32 / 2) / best / 1e9;
    println!(
        "{name} {} rows {rows} context {context} threads {threads}: {:.0} tok/s {gf:.1} GF/s",
        config.parameter_count(),
        1.0 / best
    );
}

fn batch(rows: usize, context: usize, vocabulary: usize) -> Batch {
    let token = |at: usize| u32::try_from(at * at * 31 % vocabulary).expect("a token");
    let row = |row: usize| Sequence {
        inputs: (row..row + context).map(token).collect(),
        targets: (row + 1..=row + context).map(token).collect(),
        documents: vec![0; context],
        source: 0,
    };
    Batch::new(&(0..rows).map(row).collect::<Vec<_>>())
}
