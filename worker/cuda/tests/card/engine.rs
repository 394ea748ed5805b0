//! The engine on a card beside the one on the CPU, and what it promises beside being right.

use assay_api::spec::AdamW;
use assay_cuda::{Cuda, Device};
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::Sequence;
use assay_trainer::engine::{Batch, Engine, Numbers, Settings, Tensors, Update};
use assay_trainer::initial;
use assay_trainer::model::{Config, Head, preset};
use assay_trainer::planned::{Backend as _, Formats, Keep, Needs, Plan, Planned, Shape};
use assay_trainer::safetensors;

use crate::bench::{batch, cards, device, devices};

const SETTINGS: Settings = Settings {
    adamw: AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
    clip: 1.0,
    z_loss: 1e-4,
    threads: 2,
};

/// With masters, and without.
const FORMATS: [Formats; 2] = [Formats::BF16, Formats::BF16_BY_CHANCE];

fn model() -> Config {
    Config { layers: 3, ..preset("llama-3m").expect("listed") }
}

fn batches() -> [Batch; 2] {
    [batch(&[&[100, 28], &[128], &[1, 127]], 264), batch(&[&[30, 90, 8], &[128]], 264)]
}

fn shape() -> Shape {
    Shape { rows: 3, context: 128, longest: 128, threads: 2 }
}

fn on_card(config: &Config, weights: &Tensors) -> Planned<Cuda> {
    cards().engine(config, SETTINGS, &shape(), weights).expect("an engine")
}

fn on_card_with(config: &Config, weights: &Tensors, formats: Formats, keep: Keep) -> Planned<Cuda> {
    engine_on(device(), config, weights, shape(), formats, keep)
}

fn engine_on(
    device: Device,
    config: &Config,
    weights: &Tensors,
    shape: Shape,
    formats: Formats,
    keep: Keep,
) -> Planned<Cuda> {
    let needs = Needs { formats, ..Cuda::needs(config, &shape) };
    let plan = Plan::new(config, &shape, needs, keep);
    let backend = Cuda::new(device, &plan, config).expect("an arena");
    Planned::new(config, SETTINGS, plan, backend, weights).expect("an engine")
}

fn on_cpu(config: &Config, weights: &Tensors) -> Planned<Cpu> {
    let plan = Cpu::plan(config, &shape(), None).expect("there is no limit");
    Planned::on_cpu(config, SETTINGS, Products::F32, plan, weights).expect("an engine")
}

fn step(engine: &mut dyn Engine, number: u64) -> Numbers {
    let batches = batches();
    let scored: usize = batches.iter().map(Batch::scored).sum();
    for batch in &batches {
        engine.accumulate(batch, 1.0 / scored as f64).expect("accumulated");
    }
    engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
}

/// By tensor: the distance relative to the size.
fn distances(expected: &Tensors, found: &Tensors) -> f64 {
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let all = expected.values().map(|tensor| norm(&tensor.values)).fold(0.0, f64::max);
    let mut worst = 0.0_f64;
    for (name, tensor) in expected {
        let pairs = tensor.values.iter().zip(&found[name].values);
        let difference: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
        worst = worst.max(norm(&difference) / (norm(&tensor.values) + 1e-2 * all));
    }
    worst
}

/// Text with something to be learned, another for each step: every token follows from the one before, but for some.
fn text(number: u64) -> Batch {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((state >> 33) % below).expect("small")
    };
    let mut sequence = || {
        let mut token = draw(200);
        let mut tokens = Vec::with_capacity(129);
        for _ in 0..129 {
            tokens.push(token);
            token = if draw(4) == 0 { draw(200) } else { (token * 5 + 3) % 200 };
        }
        let documents = (0..128).map(|at| at / 50).collect();
        Sequence {
            inputs: tokens[..128].to_vec(),
            targets: tokens[1..].to_vec(),
            documents,
            source: 0,
        }
    };
    Batch::new(&[sequence(), sequence(), sequence()])
}

/// A model that an emulated card has time for: every gradient, log-likelihoods, and a few steps that are the same again,
/// whatever is kept, and after a checkpoint.
#[test]
fn a_small_model_trains_on_every_kind_of_card() {
    let small = Config { layers: 2, ..preset("llama-300k").expect("listed") };
    let shape = Shape { rows: 2, context: 24, longest: 24, threads: 1 };
    let batches = [batch(&[&[9, 15], &[24]], 264), batch(&[&[5, 1, 18]], 264)];
    let plan = Cpu::plan(&small, &shape, None).expect("there is no limit");
    let weights = initial::draw(&small, 9);
    let mut cpu = Planned::on_cpu(&small, SETTINGS, Products::F32, plan, &weights).expect("memory");
    for batch in &batches {
        cpu.accumulate(batch, 1e-2).expect("accumulated");
    }
    let gradients = cpu.grads();
    let likelihoods = cpu.log_likelihoods(&batches[0]).expect("scored");
    for device in devices() {
        for formats in FORMATS {
            let make = |weights: &Tensors, keep| {
                engine_on(device.clone(), &small, weights, shape, formats, keep)
            };
            let step = |engine: &mut Planned<Cuda>, number| {
                for batch in &batches {
                    engine.accumulate(batch, 1e-2).expect("accumulated");
                }
                engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
            };
            let mut engine = make(&weights, Keep::All);
            let found = engine.log_likelihoods(&batches[0]).expect("scored");
            for (found, expected) in found.iter().zip(&likelihoods) {
                assert!((found - expected).abs() < 3e-2, "{found}, not {expected}");
            }
            for batch in &batches {
                engine.accumulate(batch, 1e-2).expect("accumulated");
            }
            let worst = distances(&gradients, &engine.grads());
            assert!(worst < 3e-2, "{formats:?}: a gradient is off by {worst} of its size");

            let mut engine = make(&weights, Keep::All);
            let first = step(&mut engine, 1);
            let state = engine.save().expect("saved");
            let mut file = Vec::new();
            safetensors::write(&mut file, &engine.weights()).expect("written");
            let bytes = if formats == FORMATS[0] { 4 } else { 2 };
            let parameters = usize::try_from(small.parameter_count()).expect("few");
            assert!((0..20_000).contains(&(file.len() - bytes * parameters)), "{formats:?}");
            let second = step(&mut engine, 2);
            let mut other = make(&initial::draw(&small, 10), Keep::Input);
            other.load(&state.weights, &state.optimizer).expect("loaded");
            assert_eq!(step(&mut other, 2), second);
            assert_eq!(other.save().expect("saved"), engine.save().expect("saved"));
            let mut third = make(&weights, Keep::Attention);
            assert_eq!(step(&mut third, 1), first);
        }
    }
}

/// Losses, every gradient, and 200 steps. Numbers rounded to bf16 are off by 2^-8 at most; of sums the errors
/// mostly cancel, layers add theirs up, and over the steps two models drift apart by that.
#[test]
#[ignore = "needs a GPU"]
fn it_does_what_the_cpu_does() {
    for config in [model(), Config { head: Head::Own, kv_heads: 3, head_width: 64, ..model() }] {
        let weights = initial::draw(&config, 1);
        let (mut card, mut cpu) = (on_card(&config, &weights), on_cpu(&config, &weights));
        for engine in [&mut card as &mut dyn Engine, &mut cpu] {
            for batch in &batches() {
                engine.accumulate(batch, 1e-3).expect("accumulated");
            }
        }
        let worst = distances(&cpu.grads(), &card.grads());
        assert!(worst < 3e-2, "a gradient is off by {worst} of its size");
        let mut worst = 0.0_f64;
        let mut ends = [0.0; 2];
        for number in 1..=200 {
            let batch = text(number);
            let update = Update { step: number, lr: 1e-3 };
            ends = [&mut card as &mut dyn Engine, &mut cpu].map(|engine| {
                engine.accumulate(&batch, 1.0 / batch.scored() as f64).expect("accumulated");
                engine.update(update).expect("updated").expect("at once").loss
            });
            // the first update has the gradients from above in it
            if 1 < number {
                worst = worst.max((ends[0] / ends[1] - 1.0).abs());
            }
        }
        assert!(ends[1] < 3.0, "nothing was learned");
        assert!(worst < 2e-2, "a loss is off by {worst}");
    }
}

/// Of log-likelihoods alone, before the models drift apart.
#[test]
#[ignore = "needs a GPU"]
fn it_scores_as_the_cpu_does() {
    let config = model();
    let weights = initial::draw(&config, 5);
    let batch = &batches()[0];
    let found = on_card(&config, &weights).log_likelihoods(batch).expect("scored");
    let expected = on_cpu(&config, &weights).log_likelihoods(batch).expect("scored");
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 3e-2, "{at}: {found}, not {expected}");
    }
}

#[test]
#[ignore = "needs a GPU"]
fn the_same_steps_give_the_same_bits_and_go_on_from_a_checkpoint() {
    let config = model();
    let weights = initial::draw(&config, 2);
    for formats in FORMATS {
        let mut whole = on_card_with(&config, &weights, formats, Keep::All);
        let numbers: Vec<Numbers> = (1..=20).map(|number| step(&mut whole, number)).collect();
        let mut half = on_card_with(&config, &weights, formats, Keep::All);
        for expected in &numbers[..10] {
            assert_eq!(step(&mut half, expected.step), *expected);
        }
        let state = half.save().expect("saved");
        drop(half);
        let others = initial::draw(&config, 3);
        let mut other = on_card_with(&config, &others, formats, Keep::All);
        other.load(&state.weights, &state.optimizer).expect("loaded");
        for expected in &numbers[10..] {
            assert_eq!(step(&mut other, expected.step), *expected);
        }
        assert_eq!(whole.save().expect("saved"), other.save().expect("saved"));
    }
}

/// Without masters a run trains as with them: each loss is off by what rounding leaves, and it learns as much.
#[test]
#[ignore = "needs a GPU"]
fn without_masters_it_learns_as_much() {
    let config = model();
    let weights = initial::draw(&config, 8);
    let mut engines = FORMATS.map(|formats| on_card_with(&config, &weights, formats, Keep::All));
    let (mut worst, mut means) = (0.0_f64, [0.0; 2]);
    for number in 1..=400 {
        let batch = text(number);
        // as many micro-batches as are often summed
        let parts = batch.split(3);
        let update = Update { step: number, lr: 1e-3 };
        let losses = engines.each_mut().map(|engine| {
            for part in &parts {
                engine.accumulate(part, 1.0 / batch.scored() as f64).expect("accumulated");
            }
            engine.update(update).expect("updated").expect("at once").loss
        });
        worst = worst.max((losses[1] / losses[0] - 1.0).abs());
        if 300 < number {
            means = [0, 1].map(|of| means[of] + losses[of] / 100.0);
        }
    }
    assert!(means[0] < 3.0, "nothing was learned: {means:?}");
    assert!((means[1] / means[0] - 1.0).abs() < 2e-2, "{means:?}");
    assert!(worst < 1e-1, "a loss is off by {worst}");
}

/// Masters are f32 on either side, so nothing is lost on the way.
#[test]
#[ignore = "needs a GPU"]
fn a_checkpoint_of_one_backend_goes_on_on_the_other() {
    let config = model();
    let weights = initial::draw(&config, 4);
    let (mut card, mut cpu) = (on_card(&config, &weights), on_cpu(&config, &weights));
    for number in 1..=5 {
        step(&mut card, number);
        step(&mut cpu, number);
    }
    let (of_card, of_cpu) = (card.save().expect("saved"), cpu.save().expect("saved"));
    cpu.load(&of_card.weights, &of_card.optimizer).expect("loaded");
    card.load(&of_cpu.weights, &of_cpu.optimizer).expect("loaded");
    assert_eq!(cpu.save().expect("saved"), of_card);
    assert_eq!(card.save().expect("saved"), of_cpu);
    let [a, b] = [step(&mut card, 6), step(&mut cpu, 6)];
    assert!((a.loss / b.loss - 1.0).abs() < 1e-2, "{a:?} {b:?}");
}

#[test]
#[ignore = "needs a GPU"]
fn what_is_kept_changes_no_bit() {
    let config = model();
    let weights = initial::draw(&config, 6);
    for formats in FORMATS {
        let of = |keep| {
            let mut engine = on_card_with(&config, &weights, formats, keep);
            let numbers = step(&mut engine, 1);
            (numbers, engine.save().expect("saved"))
        };
        let all = of(Keep::All);
        assert_eq!(all, of(Keep::Attention));
        assert_eq!(all, of(Keep::Input));
    }
}

#[test]
#[ignore = "needs a GPU"]
fn ten_thousand_steps_take_no_more_memory() {
    let config = Config { layers: 1, ..preset("llama-300k").expect("listed") };
    let mut engine = on_card(&config, &initial::draw(&config, 7));
    let device = device();
    step(&mut engine, 1);
    let before = device.room().expect("asked");
    for number in 2..=10_000 {
        step(&mut engine, number);
    }
    assert_eq!(device.room().expect("asked"), before);
}

#[test]
#[ignore = "needs a GPU"]
fn an_arena_that_does_not_fit_is_refused_with_the_sum() {
    let config = preset("llama-8b").expect("listed");
    let shape = Shape { rows: 64, context: 8192, longest: 8192, threads: 1 };
    let plan = Plan::new(&config, &shape, Cuda::needs(&config, &shape), Keep::All);
    let said = Cuda::new(device(), &plan, &config).expect_err("too large");
    assert!(said.to_string().starts_with("the GPU is out of memory: "), "{said}");
    let said = cards().engine(&config, SETTINGS, &shape, &Tensors::new()).expect_err("too large");
    assert!(said.to_string().contains("lower `train.micro_batch`"), "{said}");
}
