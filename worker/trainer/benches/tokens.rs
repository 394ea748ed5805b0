//! Tokens per second of a training step, for the presets that fit a small machine.
//!
//! `RAYON_NUM_THREADS=1 cargo bench --profile dev -p assay-trainer -- 2 llama-1m` prints one line per
//! context, for two threads; without words after `--`, for one thread and several presets.

use std::time::{Duration, Instant};

use assay_api::spec::AdamW;
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine as _, Settings, Update};
use assay_trainer::reference::Reference;
use assay_trainer::{initial, memory, model};

const STEP_TOKENS: usize = 2048;
const MEASURE: Duration = Duration::from_secs(4);

fn main() {
    memory::keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let threads = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1);
    let named: Vec<&str> = words.iter().map(String::as_str).filter(|w| w.contains('-')).collect();
    let presets = if named.is_empty() { vec!["llama-300k", "llama-1m", "llama-6m"] } else { named };
    for preset in presets {
        for context in [128, 256] {
            measure(preset, context, threads);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn measure(preset: &str, context: usize, threads: usize) {
    let Some(config) = model::preset(preset) else {
        println!("{preset}: no such preset");
        return;
    };
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let settings = Settings { adamw, clip: 1.0, z_loss: 0.0, threads };
    let weights = initial::draw(&config, 1);
    let mut engine = Reference::new(&config, settings, &weights).expect("an engine");
    let batch = batch(context);
    let weight = 1.0 / batch.scored() as f64;
    let mut step = |number| {
        engine.accumulate(&batch, weight).expect("accumulated");
        engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
    };
    let _warm = step(1);
    let (begin, mut steps) = (Instant::now(), 0_u32);
    while begin.elapsed() < MEASURE {
        steps += 1;
        let _numbers = step(u64::from(steps) + 1);
    }
    let trained = begin.elapsed().as_secs_f64() / (f64::from(steps) * STEP_TOKENS as f64);
    let begin = Instant::now();
    let _scores = engine.log_likelihoods(&batch).expect("scored");
    let scored = begin.elapsed().as_secs_f64() / STEP_TOKENS as f64;
    println!(
        "{preset}, context {context}, {threads} thread(s): {:.0} tok/s trained ({:.1} GFLOP/s), {:.0} \
         tok/s scored",
        1.0 / trained,
        config.flops_per_token(u32::try_from(context).expect("short")) / trained / 1e9,
        1.0 / scored
    );
}

fn batch(context: usize) -> Batch {
    let token = |at: usize| u32::try_from(at * at * 31 % 251).expect("a byte");
    let row = |row: usize| Sequence {
        inputs: (row..row + context).map(token).collect(),
        targets: (row + 1..=row + context).map(token).collect(),
        documents: vec![0; context],
        source: 0,
    };
    Batch::new(&(0..STEP_TOKENS / context).map(row).collect::<Vec<_>>())
}
