//! The reference engine's promises: every parameter learns, the future does not leak, documents do
//! not see each other, accumulation is one large batch, and a step that is not finite changes
//! nothing.

use assay_api::spec::AdamW;
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::{Batch, Engine as _, Numbers, Settings, Tensors, Update, Verdict};
use assay_trainer::initial;
use assay_trainer::model::{Config, Head, preset};
use assay_trainer::reference::Reference;

const SETTINGS: Settings = Settings {
    adamw: AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
    clip: 1.0,
    z_loss: 0.0,
    threads: 1,
};

fn config(head: Head) -> Config {
    Config {
        vocabulary: 31,
        width: 16,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 6,
        ffn: 20,
        head,
        ..preset("llama-1m").expect("listed")
    }
}

fn engine(head: Head, settings: Settings) -> Reference {
    let config = config(head);
    Reference::new(&config, settings, &initial::draw(&config, 3)).expect("engine")
}

/// Row `row` of a text without repetitions, in documents of these lengths.
fn sequence(row: u32, documents: &[usize]) -> Sequence {
    let length = documents.iter().sum::<usize>();
    let token = |at: u32| (row * 7 + at * at * 3 + at) % 31;
    let at = || 0..u32::try_from(length).expect("short");
    let numbered = (0..).zip(documents);
    Sequence {
        inputs: at().map(token).collect(),
        targets: at().map(|at| token(at + 1)).collect(),
        documents: numbered.flat_map(|(number, length)| vec![number; *length]).collect(),
        source: 0,
    }
}

fn batch(rows: u32) -> Batch {
    Batch::new(&(0..rows).map(|row| sequence(row, &[5, 7])).collect::<Vec<_>>())
}

fn step(engine: &mut Reference, batch: &Batch, number: u64) -> Numbers {
    engine.accumulate(batch, 1.0 / batch.scored() as f64).expect("accumulated");
    engine.update(Update { step: number, lr: 1e-3 }).expect("updated").expect("at once")
}

#[test]
fn every_parameter_gets_a_gradient() {
    for (head, parameters) in [(Head::Own, 21), (Head::Tied, 20)] {
        let mut engine = engine(head, SETTINGS);
        engine.accumulate(&batch(3), 0.1).expect("accumulated");
        let grads = engine.grads();
        assert_eq!(grads.len(), parameters);
        for (name, grad) in grads {
            let live = grad.values.iter().filter(|grad| **grad != 0.0 && grad.is_finite()).count();
            // Rows of tokens that do not occur get none in an embedding of its own.
            assert!(live * 3 > grad.values.len(), "{name}: {live} of {}", grad.values.len());
        }
    }
}

/// A tied head's gradient is that of the two matrices of an untied model with equal ones.
#[test]
fn a_tied_head_gets_both_gradients() {
    let weights = initial::draw(&config(Head::Tied), 3);
    let mut copied = weights.clone();
    copied.insert("lm_head.weight".to_owned(), weights["model.embed_tokens.weight"].clone());
    let grads = |head, weights: &Tensors| {
        let mut engine = Reference::new(&config(head), SETTINGS, weights).expect("engine");
        engine.accumulate(&batch(2), 1.0).expect("accumulated");
        engine.grads()
    };
    let (tied, own) = (grads(Head::Tied, &weights), grads(Head::Own, &copied));
    let sum = own["model.embed_tokens.weight"].values.iter().zip(&own["lm_head.weight"].values);
    for (tied, (one, other)) in tied["model.embed_tokens.weight"].values.iter().zip(sum) {
        assert!((tied - (one + other)).abs() < 1e-5 * tied.abs().max(1.0));
    }
    assert_eq!(tied["model.norm.weight"], own["model.norm.weight"]);
}

#[test]
#[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
fn gradients_are_those_of_finite_differences() {
    let settings = Settings { z_loss: 0.05, ..SETTINGS };
    let config = config(Head::Own);
    let weights = initial::draw(&config, 3);
    let loss = |weights: &Tensors| {
        let mut engine = Reference::new(&config, settings, weights).expect("engine");
        let numbers = step(&mut engine, &batch(2), 1);
        numbers.loss + settings.z_loss * numbers.z
    };
    let mut engine = Reference::new(&config, settings, &weights).expect("engine");
    engine.accumulate(&batch(2), 1.0 / batch(2).scored() as f64).expect("accumulated");
    for (name, grad) in engine.grads() {
        // Along the gradient itself, the slope is its norm.
        let square: f64 = grad.values.iter().map(|g| f64::from(*g).powi(2)).sum();
        let shifted = |by: f64| {
            let mut weights = weights.clone();
            let values = &mut weights.get_mut(&name).expect("a parameter").values;
            for (value, grad) in values.iter_mut().zip(&grad.values) {
                *value += (f64::from(*grad) * by / square.sqrt()) as f32;
            }
            loss(&weights)
        };
        let slope = (shifted(1e-3) - shifted(-1e-3)) / 2e-3;
        let error = (slope / square.sqrt() - 1.0).abs();
        assert!(error < 0.02, "{name}: slope {slope}, gradient {}", square.sqrt());
    }
}

#[test]
fn the_future_does_not_leak() {
    let engine = engine(Head::Tied, SETTINGS);
    let whole = Batch::new(&[sequence(1, &[12])]);
    let mut other = whole.clone();
    other.inputs[8..].fill(30);
    let (one, other) = (engine.logits(&whole).unwrap(), engine.logits(&other).unwrap());
    assert_eq!(one.shape, [1, 12, 31]);
    assert_eq!(one.values[..8 * 31], other.values[..8 * 31]);
    assert_ne!(one.values[8 * 31..9 * 31], other.values[8 * 31..9 * 31]);
}

#[test]
fn a_document_reads_the_same_behind_another_as_alone() {
    let engine = engine(Head::Tied, SETTINGS);
    let packed = Batch::new(&[sequence(1, &[5, 7])]);
    let mut alone = sequence(1, &[5, 7]);
    alone.inputs.drain(..5);
    alone.targets.drain(..5);
    alone.documents.drain(..5);
    let (packed, alone) =
        (engine.logits(&packed).unwrap(), engine.logits(&Batch::new(&[alone])).unwrap());
    for (packed, alone) in packed.values[5 * 31..].iter().zip(&alone.values) {
        assert!((packed - alone).abs() < 1e-5, "{packed} and {alone}");
    }
    let unmasked = engine.logits(&Batch::new(&[sequence(1, &[12])])).unwrap();
    assert!((unmasked.values[11 * 31] - alone.values[6 * 31]).abs() > 1e-4);
}

#[test]
fn a_row_reads_the_same_in_any_company() {
    let mut engine = engine(Head::Tied, SETTINGS);
    let rows = [sequence(1, &[5, 7]), sequence(2, &[4]), sequence(3, &[12])];
    let together = engine.log_likelihoods(&Batch::new(&rows)).unwrap();
    for (row, sequence) in rows.iter().enumerate() {
        let alone = engine.log_likelihoods(&Batch::new(std::slice::from_ref(sequence))).unwrap();
        for (at, alone) in alone.iter().enumerate() {
            assert!((together[row * 12 + at] - alone).abs() < 1e-5, "row {row}, token {at}");
        }
    }
    assert_eq!(together[12 + 4..24], [0.0; 8], "padding is not scored");
}

#[test]
fn log_likelihoods_sum_to_the_loss() {
    let mut engine = engine(Head::Own, SETTINGS);
    let mut batch = batch(3);
    batch.targets[4] = IGNORED;
    let likelihoods = engine.log_likelihoods(&batch).unwrap();
    let sum: f64 = likelihoods.iter().map(|nats| f64::from(*nats)).sum();
    let loss = step(&mut engine, &batch, 1).loss;
    assert!((-sum / 35.0 - loss).abs() < 1e-6, "{loss}");
}

#[test]
fn accumulation_and_threads_equal_one_large_batch() {
    let large = batch(6);
    let run = |parts: usize, threads| {
        let mut engine = engine(Head::Tied, Settings { threads, z_loss: 0.1, ..SETTINGS });
        for part in large.split(parts) {
            engine.accumulate(&part, 1.0 / large.scored() as f64).expect("accumulated");
        }
        let grads = engine.grads();
        (grads, engine.update(Update { step: 1, lr: 1e-3 }).unwrap().expect("at once"))
    };
    let (whole, numbers) = run(1, 1);
    for (parts, threads) in [(2, 1), (6, 1), (1, 4), (2, 2)] {
        let (grads, other) = run(parts, threads);
        assert!((numbers.loss - other.loss).abs() < 1e-6);
        assert!((numbers.z - other.z).abs() < 1e-5);
        assert!((numbers.grad_norm / other.grad_norm - 1.0).abs() < 1e-5);
        for (name, grad) in &whole {
            for (one, other) in grad.values.iter().zip(&grads[name].values) {
                assert!((one - other).abs() < 1e-6, "{name}");
            }
        }
    }
}

#[test]
fn clipping_changes_the_length_of_a_gradient_and_nothing_else() {
    let first_moments = |clip| {
        let mut engine = engine(Head::Tied, Settings { clip, ..SETTINGS });
        let norm = step(&mut engine, &batch(2), 1).grad_norm;
        let state = engine.save().unwrap().optimizer;
        let moments: Vec<f64> = state
            .iter()
            .filter(|(name, _)| name.starts_with("first."))
            .flat_map(|(_, tensor)| tensor.values.iter().map(|value| f64::from(*value)))
            .collect();
        (norm, moments)
    };
    // After one step the first moment is a tenth of the gradient that was used.
    let length = |moments: &[f64]| moments.iter().map(|m| m * m).sum::<f64>().sqrt() * 10.0;
    let (norm, free) = first_moments(1e9);
    assert!((length(&free) / norm - 1.0).abs() < 1e-5);
    let (norm_again, clipped) = first_moments(norm / 4.0);
    assert_eq!(norm_again, norm, "the norm is that before clipping");
    for (clipped, free) in clipped.iter().zip(&free) {
        assert!((clipped * 4.0 - free).abs() < 1e-6);
    }
}

#[test]
fn decay_is_for_matrices_only() {
    let decayed = |weight_decay| {
        let adamw = AdamW { weight_decay, ..SETTINGS.adamw };
        let mut engine = engine(Head::Tied, Settings { adamw, ..SETTINGS });
        let _numbers = step(&mut engine, &batch(2), 1);
        engine.save().unwrap().weights
    };
    let (none, strong) = (decayed(0.0), decayed(5.0));
    for (name, tensor) in &none {
        let is_gain = tensor.shape.len() == 1;
        assert_eq!(*tensor == strong[name], is_gain, "{name}");
    }
}

#[test]
fn z_loss_pulls_the_log_partition_to_zero() {
    let z_after = |z_loss| {
        let mut engine = engine(Head::Tied, Settings { z_loss, ..SETTINGS });
        (1..60).map(|number| step(&mut engine, &batch(3), number).z).last().expect("steps")
    };
    let (free, pulled) = (z_after(0.0), z_after(1.0));
    assert!(pulled < free * 0.7, "{free} -> {pulled}");
}

#[test]
fn a_text_is_learned_by_heart() {
    let mut engine = engine(Head::Tied, SETTINGS);
    let batch = batch(4);
    let losses: Vec<f64> = (1..=400).map(|n| step(&mut engine, &batch, n).loss).collect();
    assert!((losses[0] - 31_f64.ln()).abs() < 0.3, "before: {}", losses[0]);
    assert!(losses[399] < 0.3, "after: {}", losses[399]);
}

#[test]
fn a_step_that_is_not_finite_is_skipped_and_the_next_is_as_if_it_had_not_been() {
    let (mut one, mut other) = (engine(Head::Tied, SETTINGS), engine(Head::Tied, SETTINGS));
    let first = step(&mut one, &batch(2), 1);
    assert_eq!(step(&mut other, &batch(2), 1), first);

    one.accumulate(&batch(2), f64::NAN).expect("accumulated");
    let before = one.save().unwrap();
    let skipped = one.update(Update { step: 2, lr: 1e-3 }).unwrap().expect("at once");
    assert_eq!(skipped.verdict, Verdict::Skipped);
    assert!(skipped.loss.is_nan() && skipped.update_norm == 0.0);
    assert_eq!(one.save().unwrap(), before);

    let (one, other) = (step(&mut one, &batch(2), 3), step(&mut other, &batch(2), 2));
    assert_eq!(Numbers { step: 2, ..one }, other);
}

#[test]
fn what_is_saved_and_loaded_goes_on_bit_for_bit() {
    let mut one = engine(Head::Own, SETTINGS);
    for number in 1..4 {
        let _numbers = step(&mut one, &batch(2), number);
    }
    let state = one.save().unwrap();
    let mut other = engine(Head::Own, SETTINGS);
    other.load(&state.weights, &state.optimizer).unwrap();
    assert_eq!(other.save().unwrap(), state);
    for number in 4..8 {
        let (one, other) = (step(&mut one, &batch(3), number), step(&mut other, &batch(3), number));
        assert_eq!(one, other);
    }
}

#[test]
fn a_state_that_lacks_something_is_refused_by_name() {
    let mut engine = engine(Head::Tied, SETTINGS);
    let mut state = engine.save().unwrap();
    state.optimizer.remove("second.model.norm.weight");
    let error = engine.load(&state.weights, &state.optimizer).unwrap_err().to_string();
    assert!(error.contains("second.model.norm.weight"), "{error}");
}
