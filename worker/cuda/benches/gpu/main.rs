//! Tokens per second of whole training steps on a card, beside Hugging Face's Llama under `torch.compile` on the
//! same card in the same run (`peer.py`).
//!
//! `make bench-gpu` measures every model. Words after `--` choose some of them, and how:
//!
//!     cargo bench --profile dev --workspace --bench gpu -- 1B --context 4096 --rows 2
//!     cargo bench --profile dev --workspace --bench gpu -- 1B --no-peer --operations    where the time goes
//!     cargo bench --profile dev --workspace --bench gpu -- attention                    attention alone
//!
//! Each measurement is a process of its own, so that each begins with an empty card.

#![expect(clippy::print_stdout, reason = "what was measured is the result")]

mod attention;
mod operations;

use std::process::Command;
use std::time::Instant;

use assay_api::spec::AdamW;
use assay_cuda::{Cuda, Device};
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine as _, HostTensor, Settings, Tensors, Update};
use assay_trainer::model::{Config, Head, preset};
use assay_trainer::planned::{Backend, Plan, Planned, Shape};
use operations::Timed;
use serde_json::{Value, json};

/// Llama 3.2's 1B and 3B, and Llama 3.1's 8B, with their vocabulary.
const MODELS: [(&str, &str, Head); 3] =
    [("1B", "llama-1b", Head::Tied), ("3B", "llama-3b", Head::Tied), ("8B", "llama-8b", Head::Own)];
const VOCABULARY: usize = 128_256;
/// Dense bf16 of an H100 or H200 SXM, in FLOP/s, by the datasheet.
const PEAK: f64 = 989e12;
/// Micro-batches of a step.
const PARTS: u32 = 8;

struct Case {
    name: String,
    config: Config,
    rows: usize,
    context: usize,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |flag: &str, usual: usize| {
        let at = words.iter().position(|word| word == flag);
        at.map_or(usual, |at| words[at + 1].parse().expect("a number"))
    };
    let (context, rows) = (number("--context", 4096), number("--rows", 1));
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let case = |(name, preset_name, head): (&str, &str, Head)| {
        let config =
            Config { vocabulary: VOCABULARY, head, ..preset(preset_name).expect("listed") };
        Case { name: name.to_owned(), config, rows, context }
    };
    let chosen: Vec<Case> = MODELS.into_iter().filter(|model| has(model.0)).map(case).collect();
    if has("attention") {
        for case in attention::CASES {
            println!("{case:?}: ours {}", attention::measure(case));
            println!("{case:?}: PyTorch {}", ask_peer(&attention::question(case)));
        }
        return;
    }
    if has("--alone") {
        for case in &chosen {
            println!("{}", measure(case, has("--operations")));
        }
        return;
    }
    for case in if chosen.is_empty() { MODELS.map(case).into() } else { chosen } {
        let ours = in_a_process(&case, has("--operations"));
        println!("{}: ours {ours}", case.name);
        if !has("--no-peer") {
            for kind in ["autocast", "bf16"] {
                println!("{}: torch.compile, {kind}: {}", case.name, peer(&case, kind));
            }
        }
    }
}

fn in_a_process(case: &Case, by_operation: bool) -> Value {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([&case.name, "--alone", "--rows", &case.rows.to_string()]);
    command.args(["--context", &case.context.to_string()]);
    if by_operation {
        command.arg("--operations");
    }
    answer(command)
}

/// Hugging Face's Llama, with f32 weights under autocast, which is what ours keeps, or with all in bf16.
fn peer(case: &Case, kind: &str) -> Value {
    let Config { vocabulary, width, layers, heads, kv_heads, head_width, ffn, context, .. } =
        case.config;
    let config = json!({
        "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_width,
        "intermediate_size": ffn, "max_position_embeddings": context,
        "tie_word_embeddings": case.config.head == Head::Tied,
    });
    let asked = json!({
        "config": config, "rows": case.rows, "context": case.context, "parts": PARTS, "kind": kind,
    });
    ask_peer(&asked)
}

fn ask_peer(asked: &Value) -> Value {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer.py")).arg(asked.to_string());
    answer(command)
}

fn answer(mut command: Command) -> Value {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        json!({ "failed": said.lines().rev().take(3).collect::<Vec<_>>() })
    })
}

/// Small numbers, as weights are. Drawing billions well takes minutes.
fn weights(config: &Config) -> Tensors {
    let mut state = 1_u64;
    let block: Vec<f32> = (0..1 << 22)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            0.06 * ((state >> 40) as f32 / (1 << 24) as f32 - 0.5)
        })
        .collect();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product();
        let values = if shape.len() == 1 {
            vec![1.0; count]
        } else {
            let mut values = Vec::with_capacity(count);
            while values.len() < count {
                let left = count - values.len();
                values.extend_from_slice(&block[..left.min(block.len())]);
            }
            values
        };
        (name, HostTensor { shape, values })
    };
    config.parameters().into_iter().map(tensor).collect()
}

fn batch(case: &Case, salt: usize) -> Batch {
    let sequence = |row: usize| {
        let token = |at: usize| {
            let mixed = (((row + salt) * 7919 + at).wrapping_mul(2_654_435_761) % (1 << 32)) >> 7;
            u32::try_from(mixed % case.config.vocabulary).expect("small")
        };
        Sequence {
            inputs: (0..case.context).map(token).collect(),
            targets: (1..=case.context).map(token).collect(),
            documents: vec![0; case.context],
            source: 0,
        }
    };
    Batch::new(&(0..case.rows).map(sequence).collect::<Vec<_>>())
}

fn measure(case: &Case, by_operation: bool) -> Value {
    let device = Device::open(0, None).expect("a card");
    let (card, room) = (device.card().name.clone(), device.room().expect("asked"));
    let Case { config, rows, context, .. } = case;
    let shape = Shape { rows: *rows, context: *context, longest: *context, threads: 1 };
    let plan = match Cuda::plan(config, &shape, room) {
        Ok(plan) => plan,
        Err(error) => return json!({ "failed": error.to_string() }),
    };
    let (keep, bytes) = (plan.training.keep.words(), plan.bytes);
    let formats = plan.formats.words();
    let backend = Cuda::new(device, &plan, config).expect("an arena");
    let said = if by_operation {
        let (seconds, backend) = run(case, plan, Timed::new(backend));
        json!({ "seconds": seconds, "milliseconds": backend.milliseconds() })
    } else {
        let (seconds, _) = run(case, plan, backend);
        figures(case, seconds)
    };
    json!({ "card": card, "parameters": formats, "keeps": keep, "arena_gb": bytes as f64 / 1e9, "figures": said })
}

/// Seconds of a step after the first two, and the backend.
fn run<B: Backend>(case: &Case, plan: Plan, backend: B) -> (f64, B) {
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let settings = Settings { adamw, clip: 1.0, z_loss: 0.0, threads: 1 };
    let weights = weights(&case.config);
    let mut engine =
        Planned::new(&case.config, settings, plan, backend, &weights).expect("an engine");
    drop(weights);
    let batches: Vec<Batch> = (0..PARTS as usize).map(|salt| batch(case, salt)).collect();
    let scored: usize = batches.iter().map(Batch::scored).sum();
    let mut step = |number| {
        for batch in &batches {
            engine.accumulate(batch, 1.0 / scored as f64).expect("accumulated");
        }
        engine.update(Update { step: number, lr: 1e-5 }).expect("updated");
    };
    (1..3).for_each(&mut step);
    let mut times: Vec<f64> = (3..6)
        .map(|number| {
            let begin = now();
            step(number);
            begin.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[1], engine.into_backend())
}

/// Both conventions for attention: with causal masks counted half, and whole.
fn figures(case: &Case, seconds: f64) -> Value {
    let Case { config, rows, context, .. } = case;
    let tokens = (*rows * *context * PARTS as usize) as f64;
    let products = config.parameter_count() as f64
        - if config.head == Head::Tied { 0.0 } else { (config.vocabulary * config.width) as f64 };
    let attention = (12 * config.layers * config.heads * config.head_width * *context) as f64;
    let mfu = |attention: f64| (6.0 * products + attention) * tokens / seconds / PEAK;
    json!({
        "tokens_per_second": tokens / seconds,
        "step_seconds": seconds,
        "mfu_causal_half": mfu(attention / 2.0),
        "mfu_causal_whole": mfu(attention),
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}
