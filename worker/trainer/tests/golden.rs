//! Against `PyTorch`: every gradient of the first step, and losses and gradient norms of
//! 50 and of 200 steps, from the same weights on the same batches.
//! Everything else in these tests would also hold for a model that is not Llama; this would not.
//! The numbers are made by `tests/golden/make.py`.

#[path = "../../../tests/golden/golden.rs"]
mod golden;

use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::engine::{Engine, Settings, Tensors, Update, Verdict};
use assay_trainer::hugging_face::Loaded;
use assay_trainer::planned::{Planned, Shape};
use assay_trainer::reference::Reference;
use assay_trainer::schedule::lr_at;
use golden::Golden;

/// How far from `PyTorch` an engine may be, relatively.
#[derive(Clone, Copy)]
struct Tolerance {
    /// Of the largest of its tensor.
    grad: f32,
    loss: f64,
    norm: f64,
}

const SINGLE: Tolerance = Tolerance { grad: 1e-5, loss: 1e-5, norm: 1e-4 };
/// Operands are off by 2^-9 at most; over 50 steps the two models drift apart by that.
const ROUNDED: Tolerance = Tolerance { grad: 2e-2, loss: 5e-3, norm: 3e-2 };

/// Trains the steps with each engine.
fn follow(variant: &str, golden: &Golden, threads: usize) {
    assert!(50 <= golden.steps.len());
    let of = (variant, golden);
    follow_with(of, SINGLE, |model, settings| {
        let settings = Settings { threads, ..settings };
        Box::new(Reference::new(&model.config, settings, &model.weights).expect("engine"))
    });
    for (products, tolerance) in [(Products::F32, SINGLE), (Products::Bf16, ROUNDED)] {
        if products.are_possible_here() {
            follow_with(of, tolerance, |model, settings| {
                let settings = Settings { threads, ..settings };
                let shape = Shape { rows: 8, context: 64, longest: 64, threads };
                let plan = Cpu::plan(&model.config, &shape, None).expect("there is no limit");
                let (config, weights) = (&model.config, &model.weights);
                let engine = Planned::on_cpu(config, settings, products, plan, weights);
                Box::new(engine.expect("engine"))
            });
        }
    }
}

/// An engine whose gradients can be looked at.
trait Graded: Engine {
    fn grads(&self) -> Tensors;
}

impl Graded for Reference {
    fn grads(&self) -> Tensors {
        self.grads()
    }
}

impl Graded for Planned<Cpu> {
    fn grads(&self) -> Tensors {
        self.grads()
    }
}

fn follow_with(
    (variant, golden): (&str, &Golden),
    tolerance: Tolerance,
    make: impl Fn(&Loaded, Settings) -> Box<dyn Graded>,
) {
    let model = golden::model(variant);
    let mut engine = make(&model, golden.settings(1));
    let (lr, steps) = (golden.lr(), golden.steps.len() as u64);
    for (step, expected) in (0..).zip(&golden.steps) {
        let batch = expected.batch();
        engine.accumulate(&batch, 1.0 / batch.scored() as f64).expect("accumulated");
        if step == 0 {
            golden::assert_grads(variant, &engine.grads(), tolerance.grad);
        }
        let update = Update { step: step + 1, lr: lr_at(&lr, steps, step) };
        let numbers = engine.update(update).expect("updated").expect("at once");
        assert_eq!(numbers.verdict, Verdict::Applied);
        for (name, got, expected, tolerance) in [
            ("loss", numbers.loss, expected.loss, tolerance.loss),
            ("z", numbers.z, expected.z, tolerance.loss),
            ("grad norm", numbers.grad_norm, expected.grad_norm, tolerance.norm),
        ] {
            let error = (got / expected - 1.0).abs();
            assert!(error < tolerance, "{variant}, step {step}: {name} {got}, not {expected}");
        }
    }
}

#[test]
fn an_untied_model_trains_as_in_pytorch() {
    follow("untied", &Golden::read("untied"), 1);
}

#[test]
fn a_tied_model_with_document_masks_trains_as_in_pytorch() {
    follow("tied", &Golden::read("tied"), 1);
}

#[test]
fn a_stretched_rotation_with_z_loss_trains_as_in_pytorch() {
    follow("stretched", &Golden::read("stretched"), 1);
}

#[test]
fn two_threads_train_as_in_pytorch() {
    follow("stretched", &Golden::read("stretched"), 2);
}

#[test]
fn two_hundred_steps_lie_on_pytorch_s_curve() {
    follow("stretched", &Golden::curve(), 1);
}
