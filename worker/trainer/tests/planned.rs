//! The engine that runs are trained with against the reference, on random models and batches; and
//! what it promises beside being right: nothing allocated, the same bits again, less kept when memory
//! is short.

use assay_api::spec::AdamW;
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::{Batch, Engine, Numbers, Row, Settings, Tensors, Update, Verdict};
use assay_trainer::initial;
use assay_trainer::model::{Config, Head, Llama3Scaling, preset};
use assay_trainer::planned::{Backend as _, Keep, Plan, Planned, Shape};
use assay_trainer::reference::Reference;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A large eps: without it the first updates of parameters whose gradient is next to nothing are its
/// sign, which two roundings may give differently.
const SETTINGS: Settings = Settings {
    adamw: AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-3, weight_decay: 0.1 },
    clip: 1.0,
    z_loss: 1e-2,
    threads: 1,
};

/// A model, and what is put through it.
#[derive(Clone, Debug)]
struct Case {
    config: Config,
    /// Lengths of the documents of each row.
    rows: Vec<Vec<usize>>,
    threads: usize,
    seed: u64,
}

fn scalings() -> impl Strategy<Value = Option<Llama3Scaling>> {
    prop_oneof![
        Just(None),
        Just(Some(Llama3Scaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 32,
        })),
    ]
}

/// `ASSAY_CASES` and `ASSAY_SEED` ask for more than the usual ones.
#[expect(clippy::disallowed_methods, reason = "a longer run is asked for by hand")]
fn asked_for(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

fn cases_asked_for() -> u32 {
    u32::try_from(asked_for("ASSAY_CASES", 64)).expect("not so many")
}

fn seed_asked_for() -> u64 {
    asked_for("ASSAY_SEED", 1)
}

prop_compose! {
    fn cases()(
        vocabulary in 5_usize..300,
        // a normalized row of a few numbers keeps little but their signs
        width in 8_usize..40,
        layers in 1_usize..4,
        kv_heads in 1_usize..4,
        group in 1_usize..4,
        half in 1_usize..20,
        ffn in 1_usize..70,
        head in prop_oneof![Just(Head::Tied), Just(Head::Own)],
        rope_scaling in scalings(),
        rows in prop::collection::vec(prop::collection::vec(1_usize..60, 1..4), 1..4),
        threads in 1_usize..4,
        seed in 0_u64..1000,
    ) -> Case {
        let config = Config {
            vocabulary,
            width,
            layers,
            heads: kv_heads * group,
            kv_heads,
            head_width: 2 * half,
            ffn,
            head,
            rope_scaling,
            ..preset("llama-1m").expect("listed")
        };
        Case { config, rows, threads, seed }
    }
}

impl Case {
    /// Tokens by a recurrence, some targets ignored; shorter rows are padded.
    fn batch(&self, salt: u64) -> Batch {
        let vocabulary = self.config.vocabulary as u64;
        let mut state = self.seed * 77 + salt;
        let mut draw = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            u32::try_from((state >> 33) % below).expect("small")
        };
        let mut sequence = |documents: &Vec<usize>| {
            let length: usize = documents.iter().sum();
            let numbered = (0..).zip(documents);
            Sequence {
                inputs: (0..length).map(|_| draw(vocabulary)).collect(),
                targets: (0..length)
                    .map(|_| if draw(9) == 0 { IGNORED } else { draw(vocabulary) })
                    .collect(),
                documents: numbered.flat_map(|(at, length)| vec![at; *length]).collect(),
                source: 0,
            }
        };
        Batch::new(&self.rows.iter().map(&mut sequence).collect::<Vec<_>>())
    }

    fn shape(&self) -> Shape {
        let batch = self.batch(0);
        let (rows, context) = (batch.rows, batch.context);
        Shape { rows, context, longest: context, threads: self.threads }
    }

    fn weights(&self) -> Tensors {
        let mut weights = initial::draw(&self.config, self.seed);
        // gains of 1 would hide what is done with them
        for (name, tensor) in &mut weights {
            if name.contains("norm") {
                for (at, value) in tensor.values.iter_mut().enumerate() {
                    *value = 0.5 + (at % 7) as f32 / 5.0;
                }
            }
        }
        weights
    }

    fn reference(&self) -> Reference {
        let settings = Settings { threads: 1, ..SETTINGS };
        Reference::new(&self.config, settings, &self.weights()).expect("an engine")
    }

    fn planned(&self, keep: Keep) -> Planned<Cpu> {
        self.planned_with(keep, Products::F32)
    }

    fn planned_with(&self, keep: Keep, products: Products) -> Planned<Cpu> {
        let settings = Settings { threads: self.threads, ..SETTINGS };
        let (shape, config) = (self.shape(), &self.config);
        let plan = Plan::new(config, &shape, Cpu::needs(config, &shape), keep);
        Planned::on_cpu(config, settings, products, plan, &self.weights()).expect("an engine")
    }
}

fn step(engine: &mut dyn Engine, batch: &Batch, number: u64) -> Numbers {
    engine.accumulate(batch, 1.0 / batch.scored().max(1) as f64).expect("accumulated");
    engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
}

/// The distance of two tensors relative to the size of the first, and a bit of the largest of all.
fn assert_near(what: &str, expected: &Tensors, found: &Tensors, tolerance: f64) {
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let all = expected.values().map(|tensor| norm(&tensor.values)).fold(0.0, f64::max);
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, tensor) in expected {
        let other = &found[name];
        assert_eq!(tensor.shape, other.shape);
        let difference: Vec<f32> =
            tensor.values.iter().zip(&other.values).map(|(a, b)| a - b).collect();
        let (distance, size) = (norm(&difference), norm(&tensor.values));
        assert!(
            distance <= tolerance * (size + 1e-2 * all) + 1e-12,
            "{what} {name}: off by {distance} of {size} (largest {all})"
        );
    }
}

fn assert_close(what: &str, expected: f64, found: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs().max(1e-3);
    assert!(error < tolerance, "{what}: {found}, not {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases_asked_for(),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed_asked_for()),
        ..Default::default()
    })]

    /// Losses, every gradient, log-likelihoods, and the model after some steps.
    #[test]
    fn it_does_what_the_reference_does(case in cases()) {
        let (mut reference, mut planned) = (case.reference(), case.planned(Keep::All));
        let batch = case.batch(0);
        let scored = batch.scored().max(1) as f64;
        for part in [&batch, &case.batch(1)] {
            reference.accumulate(part, 0.5 / scored).expect("accumulated");
            planned.accumulate(part, 0.5 / scored).expect("accumulated");
        }
        assert_near("gradient of", &reference.grads(), &planned.grads(), 2e-4);
        for number in 1..4 {
            let expected = step(&mut reference, &batch, number);
            let found = step(&mut planned, &batch, number);
            assert_eq!(expected.verdict, found.verdict);
            assert_close("loss", expected.loss, found.loss, 1e-4);
            assert_close("z", expected.z, found.z, 1e-4);
            assert_close("grad norm", expected.grad_norm, found.grad_norm, 1e-3);
            assert_close("param norm", expected.param_norm, found.param_norm, 1e-4);
        }
        let expected = reference.log_likelihoods(&batch).expect("scored");
        let found = planned.log_likelihoods(&batch).expect("scored");
        for ((at, expected), found) in expected.iter().enumerate().zip(&found) {
            assert!((expected - found).abs() < 2e-2 + 2e-3 * expected.abs(), "{at}: {found}, not {expected}");
        }
    }

    /// With operands rounded to bf16: a number is off by at most 2^-9 of itself, a product by twice that,
    /// and of a sum of many the errors mostly cancel; layers add theirs up. Within 4 %, where a wrong
    /// product is off by about its size.
    #[test]
    fn rounded_products_stay_near_the_reference(case in cases()) {
        if !Products::Bf16.are_possible_here() {
            return Ok(()); // see `a_processor_without_the_instructions_is_refused`
        }
        let (mut reference, mut planned) =
            (case.reference(), case.planned_with(Keep::All, Products::Bf16));
        let batch = case.batch(0);
        let scored = batch.scored().max(1) as f64;
        reference.accumulate(&batch, 1.0 / scored).expect("accumulated");
        planned.accumulate(&batch, 1.0 / scored).expect("accumulated");
        assert_near("gradient of", &reference.grads(), &planned.grads(), 4e-2);
        let update = Update { step: 1, lr: 1e-3 };
        let [expected, found] = [
            reference.update(update).expect("updated").expect("at once"),
            planned.update(update).expect("updated").expect("at once"),
        ];
        assert_close("loss", expected.loss, found.loss, 5e-3);
        assert_close("grad norm", expected.grad_norm, found.grad_norm, 2e-2);
    }

    /// What is computed again has the bits of what would have been kept.
    #[test]
    fn what_is_kept_changes_no_bit(case in cases()) {
        let batch = case.batch(0);
        let run = |keep| {
            let mut engine = case.planned(keep);
            engine.accumulate(&batch, 1.0).expect("accumulated");
            let grads = engine.grads();
            (grads, step(&mut engine, &batch, 1), engine.save().expect("saved"))
        };
        let all = run(Keep::All);
        prop_assert_eq!(&all, &run(Keep::All));
        prop_assert_eq!(&all, &run(Keep::Attention));
        prop_assert_eq!(&all, &run(Keep::Input));
    }
}

fn case() -> Case {
    Case {
        config: Config { layers: 3, ..preset("llama-300k").expect("listed") },
        rows: vec![vec![100, 28], vec![128], vec![1, 127]],
        threads: 2,
        seed: 5,
    }
}

/// Saved after two steps and loaded elsewhere, the third is the third.
#[test]
fn a_saved_engine_goes_on_bit_for_bit() {
    let case = case();
    for products in [Products::F32, Products::Bf16] {
        if !products.are_possible_here() {
            continue;
        }
        let [mut one, mut other] = [Keep::All, Keep::Input].map(|k| case.planned_with(k, products));
        for number in 1..3 {
            step(&mut one, &case.batch(number), number);
        }
        step(&mut other, &case.batch(9), 1);
        other.load(&one.weights(), &one.optimizer()).expect("loaded");
        assert_eq!(step(&mut one, &case.batch(3), 3), step(&mut other, &case.batch(3), 3));
        assert_eq!(one.save().expect("saved"), other.save().expect("saved"));
    }
}

#[test]
fn a_processor_without_the_instructions_is_refused() {
    let case = case();
    let (shape, settings) = (case.shape(), Settings { threads: case.threads, ..SETTINGS });
    let plan = Cpu::plan(&case.config, &shape, None).expect("no limit");
    let weights = case.weights();
    match Planned::on_cpu(&case.config, settings, Products::Bf16, plan, &weights) {
        Ok(_) => assert!(Products::Bf16.are_possible_here()),
        Err(refusal) => {
            assert!(!Products::Bf16.are_possible_here());
            assert!(refusal.to_string().contains("write `train.engine: cpu-f32`"), "{refusal}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let case = case();
    let mut engine = case.planned(Keep::All);
    step(&mut engine, &case.batch(1), 1);
    let before = engine.save().expect("saved");
    engine.accumulate(&case.batch(2), f64::INFINITY).expect("accumulated");
    let numbers = engine.update(Update { step: 2, lr: 1e-3 }).expect("updated").expect("at once");
    assert_eq!((numbers.verdict, numbers.update_norm), (Verdict::Skipped, 0.0));
    assert_eq!(before, engine.save().expect("saved"));
    let mut twin = case.planned(Keep::All);
    step(&mut twin, &case.batch(1), 1);
    assert_eq!(step(&mut engine, &case.batch(3), 3).loss, step(&mut twin, &case.batch(3), 3).loss);
}

/// Rows in one call or in several: the same sums in another order.
#[test]
fn what_does_not_fit_at_once_is_done_in_parts() {
    let case = case();
    let batch = case.batch(0);
    let mut whole = case.planned(Keep::All);
    let narrow = Case { rows: case.rows[..1].to_vec(), ..case.clone() };
    let mut parts = narrow.planned(Keep::All);
    whole.accumulate(&batch, 0.01).expect("accumulated");
    parts.accumulate(&batch, 0.01).expect("accumulated");
    assert_near("gradient of", &whole.grads(), &parts.grads(), 1e-5);
}

/// Sequences that begin alike, as branches of one row and each for itself: both engines.
#[test]
fn branches_are_scored_as_if_each_stood_alone() {
    let case = case();
    let mut engines: [Box<dyn Engine>; 2] =
        [Box::new(case.planned(Keep::All)), Box::new(case.reference())];
    let sequence = |start: u32, shared: usize, own: usize| {
        let inputs: Vec<u32> = (0..200)
            .take(shared)
            .map(|at| at * at % 200)
            .chain((0..200).take(own).map(|at| (start + 7 * at) % 200))
            .collect();
        let mut targets: Vec<u32> = inputs.iter().map(|input| (input * 3 + start) % 264).collect();
        targets[..shared - 1].fill(IGNORED);
        let documents = vec![0; inputs.len()];
        Sequence { inputs, targets, documents, source: 0 }
    };
    // few and many tokens in common, one that is all there is, and what is not a branch
    let sets = [
        vec![sequence(1, 5, 3), sequence(2, 5, 1), sequence(3, 5, 9)],
        vec![sequence(4, 61, 20), sequence(5, 61, 33)],
        vec![sequence(6, 1, 3), sequence(7, 1, 40)],
        vec![sequence(8, 2, 90)],
    ];
    for engine in &mut engines {
        let (rows, ends): (Vec<Row>, Vec<_>) = sets.iter().map(|set| Row::branched(set)).unzip();
        let packed = Batch::of_rows(&rows);
        let found = engine.log_likelihoods(&packed).expect("scored");
        for (row, (set, ends)) in sets.iter().zip(&ends).enumerate() {
            assert_eq!(
                rows[row].shared as usize,
                if set.len() == 1 {
                    0
                } else {
                    set[0].targets.iter().position(|t| *t != IGNORED).expect("some")
                }
            );
            for (sequence, end) in set.iter().zip(ends) {
                let alone = Batch::new(std::slice::from_ref(sequence));
                let alone = engine.log_likelihoods(&alone).expect("scored");
                let end = row * packed.context + end.start..row * packed.context + end.end;
                let expected = &alone[alone.len() - end.len()..];
                for (found, expected) in found[end].iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-4, "row {row}: {found}, not {expected}");
                }
            }
        }
    }
    let (row, _) = Row::branched(&sets[0]);
    let said =
        engines[0].accumulate(&Batch::of_rows(&[row]), 1.0).expect_err("refused").to_string();
    assert_eq!(said, "branches that share a beginning are scored, not trained on");
}

#[test]
fn a_token_or_a_place_that_the_model_does_not_have_is_an_error() {
    let case = case();
    let mut engine = case.planned(Keep::All);
    let mut batch = case.batch(0);
    batch.inputs[3] = 264;
    let said = engine.accumulate(&batch, 1.0).expect_err("refused").to_string();
    assert_eq!(said, "token 264 lies outside the model's vocabulary of 264");
    let longer = Case { rows: vec![vec![500]], ..case };
    let said = engine.log_likelihoods(&longer.batch(0)).expect_err("refused").to_string();
    assert_eq!(said, "a row of 500 tokens, where there is room for 128");
}
