//! Tokens per second of whole training steps, beside Hugging Face's Llama in `PyTorch` (`peer.py`) in
//! the same run: forward, backward, clipping and `AdamW`, each side at its best batch; in f32, and where
//! the processor can in bf16 beside `torch.autocast`.
//!
//! `make bench` prints a table and adds to `target/bench.json`. Words after `--` choose cases:
//!
//!     cargo bench --profile dev -p assay-trainer -- 6.5M        one model
//!     cargo bench --profile dev -p assay-trainer -- --no-peer   ours alone
//!
//! Every measurement is a process of its own, so that each has its own peak of memory. A machine
//! shared with others is never the same twice: ours and the peer's take turns, and the best of each
//! counts.

#![expect(clippy::print_stdout, reason = "what was measured is the result")]

#[path = "../../../tests/support/bench.rs"]
pub mod bench;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use assay_api::spec::AdamW;
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine as _, Settings, Update};
use assay_trainer::initial;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Planned, Shape};
use bench::Figure;
use gemm::Parallelism;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const ROUNDS: u32 = 3;
const SECONDS: f64 = 3.0;

/// Name, preset, vocabulary.
const MODELS: [(&str, &str, usize); 3] =
    [("0.9M", "llama-1m", 264), ("6.5M", "llama-6m", 2048), ("30M", "llama-30m", 264)];

/// Context, threads, rows: the peer chooses, and we take the first, which are as fast as more and need
/// less memory.
const SHAPES: [(usize, usize, [usize; 2]); 3] =
    [(256, 1, [4, 16]), (1024, 1, [2, 8]), (256, 2, [4, 16])];

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Case {
    model: usize,
    rows: usize,
    context: usize,
    threads: usize,
    bf16: bool,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
struct Measured {
    tokens_per_second: f64,
    peak_bytes: f64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, case] = words.as_slice()
        && word == "--case"
    {
        let measured = measure(serde_json::from_str(case).expect("a case"));
        println!("{}", serde_json::to_string(&measured).expect("numbers"));
        return;
    }
    let mut peer = (!words.contains(&"--no-peer".to_owned())).then(Peer::start);
    let chosen: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let mut results = Vec::new();
    println!(
        "model   as  context  threads  ours tok/s  of GEMM  eager  ratio  compiled  ratio  peak ours / eager"
    );
    for (model, (name, ..)) in MODELS.iter().enumerate() {
        if !chosen.is_empty() && !chosen.iter().any(|word| word == name) {
            continue;
        }
        for (context, threads, rows) in SHAPES {
            for bf16 in [false, true] {
                if bf16 && !Products::Bf16.are_possible_here() {
                    continue;
                }
                let cases = rows.map(|rows| Case { model, rows, context, threads, bf16 });
                results.extend(compare(name, &cases, peer.as_mut()));
            }
        }
    }
    if peer.is_some() {
        bench::record(&results);
    }
}

/// Both sides in turns, over all batches; the best of each.
fn compare(name: &str, cases: &[Case; 2], mut peer: Option<&mut Peer>) -> Vec<Figure> {
    let (mut ours, mut eager, mut compiled) =
        (Measured::default(), Measured::default(), Measured::default());
    let better = |best: &mut Measured, found: Measured| {
        if best.tokens_per_second < found.tokens_per_second {
            *best = found;
        }
    };
    for case in cases {
        better(&mut ours, in_a_process(cases[0]));
        if let Some(peer) = peer.as_mut() {
            better(&mut eager, peer.measure(*case, false));
        }
    }
    let Case { context, threads, model, bf16, .. } = cases[0];
    if let Some(peer) = peer {
        better(&mut compiled, peer.measure(cases[1], true));
        better(&mut ours, in_a_process(cases[0]));
    }
    let config = config(model);
    let flops = config.flops_per_token(u32::try_from(context).expect("short") / 2);
    let share = ours.tokens_per_second * flops / (products(&config) * threads as f64);
    let kind = if bf16 { "bf16" } else { "f32" };
    let ratio = |peer: Measured| ours.tokens_per_second / peer.tokens_per_second;
    println!(
        "{name:>5}  {kind:>4}  {context:>7}  {threads:>7}  {:>10.0}  {:>6.0}%  {:>5.0}  {:>5.2}  {:>8.0}  {:>5.2}  {:.0} MB / {:.0} MB",
        ours.tokens_per_second,
        100.0 * share,
        eager.tokens_per_second,
        ratio(eager),
        compiled.tokens_per_second,
        ratio(compiled),
        ours.peak_bytes / 1e6,
        eager.peak_bytes / 1e6,
    );
    let kind = if bf16 { "_bf16" } else { "" };
    let place = format!("{name}_context_{context}_threads_{threads}{kind}");
    let speed = if (name, context, threads, bf16) == ("6.5M", 256, 1, false) {
        "cpu_train_tokens_per_second".to_owned()
    } else {
        format!("cpu_train_tokens_per_second_{place}")
    };
    let line = |name: String, unit: &str, ours, peer, ratio| Figure {
        name,
        unit: unit.to_owned(),
        ours,
        peer: Some(peer),
        ratio: Some(ratio),
    };
    let of_speed = |name, peer: Measured| {
        line(name, "tokens/s", ours.tokens_per_second, peer.tokens_per_second, ratio(peer))
    };
    vec![
        of_speed(speed.clone(), eager),
        of_speed(format!("{speed}_compiled"), compiled),
        line(
            format!("cpu_train_peak_bytes_{place}"),
            "bytes",
            ours.peak_bytes,
            eager.peak_bytes,
            eager.peak_bytes / ours.peak_bytes,
        ),
    ]
}

fn config(model: usize) -> Config {
    let (_, name, vocabulary) = MODELS[model];
    Config { vocabulary, ..preset(name).expect("listed") }
}

fn in_a_process(case: Case) -> Measured {
    let case = serde_json::to_string(&case).expect("numbers");
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new(program).args(["--case", &case]).output().expect("it starts again");
    serde_json::from_slice(&output.stdout).expect("it prints what it measured")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure(case: Case) -> Measured {
    let Case { model, rows, context, threads, bf16 } = case;
    let config = config(model);
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let settings = Settings { adamw, clip: 1.0, z_loss: 0.0, threads };
    let shape = Shape { rows, context, longest: context, threads };
    let plan = Cpu::plan(&config, &shape, None).expect("there is no limit");
    let weights = initial::draw(&config, 1);
    let products = if bf16 { Products::Bf16 } else { Products::F32 };
    let mut engine =
        Planned::on_cpu(&config, settings, products, plan, &weights).expect("an engine");
    drop(weights);
    let batch = batch(rows, context, config.vocabulary);
    let weight = 1.0 / batch.scored() as f64;
    let mut number = 0;
    let mut step = || {
        number += 1;
        engine.accumulate(&batch, weight).expect("accumulated");
        engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
    };
    step();
    step();
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (begin, mut steps) = (Instant::now(), 0_u32);
        while begin.elapsed() < Duration::from_secs_f64(SECONDS) / ROUNDS {
            steps += 1;
            step();
        }
        let tokens = f64::from(steps) * (rows * context) as f64;
        best = best.max(tokens / begin.elapsed().as_secs_f64());
    }
    Measured { tokens_per_second: best, peak_bytes: peak_bytes() }
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

/// The most memory that this process has had.
fn peak_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("and this line");
    1024.0 * line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number")
}

/// What `gemm` alone does on one core, in operations a second, on the products of a step of 2,048
/// tokens: each weight's, forward and both ways back.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#[expect(unsafe_code, reason = "the crate takes pointers")]
fn products(config: &Config) -> f64 {
    const TOKENS: usize = 2048;
    let (d, f) = (config.width, config.ffn);
    let packed = (config.heads + 2 * config.kv_heads) * config.head_width;
    let joined = config.heads * config.head_width;
    let (mut seconds, mut flops) = (0.0, 0.0);
    for (outputs, inputs) in [(packed, d), (d, joined), (2 * f, d), (d, f)] {
        let (x, w) = (vec![0.5_f32; TOKENS * inputs], vec![0.5_f32; outputs * inputs]);
        let dy = vec![0.5_f32; TOKENS * outputs];
        // rows, columns, depth, and the strides (row, column) of both operands
        let ways = [
            (TOKENS, outputs, inputs, (&x, inputs, 1), (&w, 1, inputs)),
            (TOKENS, inputs, outputs, (&dy, outputs, 1), (&w, inputs, 1)),
            (outputs, inputs, TOKENS, (&dy, 1, outputs), (&x, inputs, 1)),
        ];
        for (m, n, k, (a, a_row, a_column), (b, b_row, b_column)) in ways {
            let mut out = vec![0.0_f32; m * n];
            let mut best = f64::MAX;
            for _ in 0..9 {
                let begin = Instant::now();
                // SAFETY: the extents are those of the vectors.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        out.as_mut_ptr(),
                        1,
                        n as isize,
                        false,
                        a.as_ptr(),
                        a_column as isize,
                        a_row as isize,
                        b.as_ptr(),
                        b_column as isize,
                        b_row as isize,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        Parallelism::None,
                    );
                }
                best = best.min(begin.elapsed().as_secs_f64());
            }
            seconds += best;
            flops += 2.0 * (m * n * k) as f64;
        }
    }
    flops / seconds
}

/// The program beside us.
struct Peer {
    _child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    #[expect(clippy::disallowed_methods, reason = "a benchmark is told where its peer is")]
    fn start() -> Self {
        let python = std::env::var("ASSAY_PEER")
            .expect("ASSAY_PEER is a Python with torch and transformers, or `--no-peer`");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let ask = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { _child: child, ask, answers }
    }

    fn measure(&mut self, case: Case, compile: bool) -> Measured {
        let config = config(case.model);
        let question: Value = json!({
            "config": {
                "vocab_size": config.vocabulary,
                "hidden_size": config.width,
                "num_hidden_layers": config.layers,
                "num_attention_heads": config.heads,
                "num_key_value_heads": config.kv_heads,
                "head_dim": config.head_width,
                "intermediate_size": config.ffn,
                "tie_word_embeddings": true,
                "max_position_embeddings": config.context,
            },
            "rows": case.rows,
            "context": case.context,
            "threads": case.threads,
            "compile": compile,
            "bf16": case.bf16,
            "seconds": SECONDS,
        });
        writeln!(self.ask, "{question}").expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        serde_json::from_str(&answer).expect("what it measured")
    }
}
