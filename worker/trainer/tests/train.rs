//! The loop's promises: a run is a function of its spec; one that was stopped, or killed at any
//! instant, and resumed is the run that never stopped; what is due is measured, once; a run that
//! leaves the finite numbers has diverged; and a spec that cannot be trained is refused by name.

mod support;

use std::path::Path;

use assay_api::spec::{Engine as EngineName, Model};
use assay_api::worker::Wish;
use assay_trainer::by_name::{ByName, collect};
use assay_trainer::checkpoint::{self, Found};
use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::engine::{Engine, Settings, Tensors, Verdict};
use assay_trainer::model::Config;
use assay_trainer::planned::{Planned, Shape};
use assay_trainer::{
    Gpu, Inputs, Outcome, Phase, Shorter, TrainError, hugging_face, safetensors, train,
};
use support::{Recorder, STEPS, World};

fn weights(checkpoint: &Path) -> Tensors {
    collect(&hugging_face::load(checkpoint).expect("a model").weights).expect("read")
}

fn steps(run_folder: &Path) -> Vec<(u32, u64)> {
    let found = checkpoint::list(run_folder).expect("listed");
    found.iter().map(|Found { attempt, step, .. }| (*attempt, *step)).collect()
}

#[test]
fn a_run_learns_and_is_a_function_of_its_spec() {
    let world = World::new();
    let (recorder, outcome) = world.run(&world.spec(), "one");
    let Outcome::Finished { step, checkpoint, tokens } = outcome else { panic!("{outcome:?}") };
    assert_eq!((step, tokens), (STEPS, STEPS * 128));
    assert_eq!(recorder.stepped.len(), 40);
    for source in ["heldout/plain", "heldout/shop"] {
        let before = recorder.value(0, source, "bits_per_byte");
        let after = recorder.value(STEPS, source, "bits_per_byte");
        assert!((7.8..8.6).contains(&before) && after < 0.7 * before, "{before} -> {after}");
    }

    let (again, outcome) = world.run(&world.spec(), "two");
    let Outcome::Finished { checkpoint: other, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(recorder.bits(), again.bits());
    assert_eq!(recorder.measured, again.measured);
    assert_eq!(weights(&checkpoint), weights(&other));

    let mut spec = world.spec();
    spec.train.seed = 8;
    assert_ne!(world.run(&spec, "three").0.bits(), recorder.bits());
}

#[test]
fn a_stopped_run_resumes_bit_for_bit() {
    let world = World::new();
    let spec = world.spec();
    let (whole, end) = world.run(&spec, "whole");

    let mut head = Recorder::wishing(13, Wish::CheckpointAndStop);
    head.carried = b"unsent".to_vec();
    let outcome = train(&spec, &world.inputs("parts", 1, None), &mut head).expect("trained");
    let Outcome::Preempted { step: 13, checkpoint } = outcome else { panic!("{outcome:?}") };
    assert_eq!(checkpoint, checkpoint::folder(&world.path("parts"), 1, 13));
    assert_eq!(checkpoint::carried(&checkpoint).expect("carried"), b"unsent");

    let mut tail = Recorder::default();
    let inputs = world.inputs("parts", 2, Some(&checkpoint));
    let outcome = train(&spec, &inputs, &mut tail).expect("trained");
    assert_eq!([head.bits(), tail.bits()].concat(), whole.bits());
    assert_eq!([head.measured, tail.measured].concat(), whole.measured);
    match (outcome, end) {
        (Outcome::Finished { checkpoint, .. }, Outcome::Finished { checkpoint: end, .. }) => {
            assert_eq!(weights(&checkpoint), weights(&end));
            let moments =
                |folder| collect(&checkpoint::optimizer(folder).expect("moments")).expect("read");
            assert_eq!(moments(&checkpoint), moments(&end));
        }
        other => panic!("{other:?}"),
    }
}

/// A worker that dies while it saves leaves some of the files, in a folder of either name.
#[test]
fn a_run_killed_while_saving_goes_on_from_the_checkpoint_before() {
    let world = World::new();
    let spec = world.spec();
    let (whole, _) = world.run(&spec, "whole");
    let run = world.path("killed");
    let mut head = Recorder::wishing(9, Wish::Stop);
    let outcome = train(&spec, &world.inputs("killed", 1, None), &mut head).expect("trained");
    assert_eq!(outcome, Outcome::Stopped { step: 9 });
    assert_eq!(steps(&run), [(1, 6), (1, 8)]);

    let good = checkpoint::folder(&run, 1, 8);
    for (name, files) in [
        ("step-00000010.partial", vec!["model.safetensors"]),
        ("step-00000012", vec!["model.safetensors", "optimizer.safetensors", "config.json"]),
    ] {
        let torn = run.join("attempt-001").join(name);
        std::fs::create_dir(&torn).expect("created");
        for file in files {
            std::fs::copy(good.join(file), torn.join(file)).expect("copied");
        }
    }
    assert_eq!(steps(&run), [(1, 6), (1, 8)], "a folder without a manifest does not exist");

    let mut tail = Recorder::default();
    train(&spec, &world.inputs("killed", 2, Some(&good)), &mut tail).expect("trained");
    assert_eq!(tail.bits(), whole.bits()[8..]);
    let left = std::fs::read_dir(run.join("attempt-001")).expect("listed").count();
    assert_eq!(left, 0, "what was torn is cleared");
}

/// Whatever byte changes: a checkpoint is what was written, or it is none.
#[test]
fn a_checkpoint_that_is_cut_or_changed_is_refused_and_never_resumed() {
    let world = World::new();
    let spec = world.spec();
    let mut head = Recorder::wishing(3, Wish::CheckpointAndStop);
    train(&spec, &world.inputs("run", 1, None), &mut head).expect("trained");
    let good = checkpoint::folder(&world.path("run"), 1, 3);
    for name in
        ["model.safetensors", "optimizer.safetensors", "config.json", "carried", "manifest.json"]
    {
        let whole = std::fs::read(good.join(name)).expect("read");
        let n = whole.len();
        let cuts = [0, 1, n / 2, n.saturating_sub(1)].map(|len| whole[..len.min(n)].to_vec());
        let flips = [0, 7, 8, n / 3, n.saturating_sub(1)].map(|at| {
            let mut bytes = whole.clone();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x80;
            }
            bytes
        });
        for bytes in cuts.into_iter().chain(flips).filter(|bytes| *bytes != whole) {
            std::fs::write(good.join(name), bytes).expect("written");
            assert!(checkpoint::verify(&good).is_err(), "{name}");
            world.fail(&spec, &world.inputs("run", 2, Some(&good)));
        }
        std::fs::write(good.join(name), whole).expect("written");
    }
    checkpoint::verify(&good).expect("as it was");

    let path = good.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    manifest["files"].as_object_mut().expect("an object").remove("optimizer.safetensors");
    std::fs::write(&path, manifest.to_string()).expect("written");
    let problem = checkpoint::verify(&good).expect_err("one file is not listed").to_string();
    assert!(problem.contains("manifest.json is not what its checksum says"), "{problem}");
}

#[test]
fn the_latest_two_and_the_state_before_the_decay_are_kept() {
    let world = World::new();
    let mut halfway = Recorder::wishing(37, Wish::Stop);
    train(&world.spec(), &world.inputs("run", 1, None), &mut halfway).expect("trained");
    let run = world.path("run");
    assert_eq!(steps(&run), [(1, 31), (1, 34), (1, 36)]);

    let resume = checkpoint::folder(&run, 1, 36);
    let mut rest = Recorder::default();
    train(&world.spec(), &world.inputs("run", 2, Some(&resume)), &mut rest).expect("trained");
    assert_eq!(steps(&run), [(1, 31), (2, 40)], "after the end");
    let saved: Vec<u64> = rest.saved.iter().map(|saved| saved.step).collect();
    assert_eq!(saved, [38, 40]);
    assert!(rest.saved.iter().all(|saved| saved.bytes > 3 * 4 * 300_000));
}

#[test]
fn what_is_due_is_measured_once() {
    let world = World::new();
    let mut spec = world.spec();
    spec.eval.tasks = [("colors".to_owned(), world.task(&[0, 12]))].into();
    let (recorder, _) = world.run(&spec, "run");
    let at: Vec<u64> = recorder.measured.iter().map(|(step, _)| *step).collect();
    assert_eq!(at, [0, 12, 20, 40]);
    let names = |at: usize| -> Vec<(&str, &str)> {
        recorder.measured[at].1.iter().map(|it| (it.task.as_str(), it.metric)).collect()
    };
    assert_eq!(names(1), [("colors", "acc"), ("colors", "acc_norm")]);
    assert_eq!(
        names(2),
        ["heldout/plain", "heldout/shop", "heldout/shop/language=de", "heldout/shop/language=en"]
            .into_iter()
            .flat_map(|name| [(name, "loss"), (name, "bits_per_byte")])
            .collect::<Vec<_>>()
    );
    assert_eq!(
        recorder.phases[..4],
        [Phase::Loading, Phase::Evaluating, Phase::Training, Phase::Saving]
    );
    let loss = recorder.value(0, "heldout/plain", "loss");
    assert!((loss / std::f64::consts::LN_2 / 1.05..loss * 1.5).contains(&recorder.value(
        0,
        "heldout/plain",
        "bits_per_byte"
    )));
}

/// Stopped while it measures, a run has not measured; the next attempt does.
#[test]
fn an_interrupted_evaluation_is_made_up_for() {
    let world = World::new();
    let spec = world.spec();
    let mut head = Recorder::wishing(20, Wish::CheckpointAndStop);
    let outcome = train(&spec, &world.inputs("run", 1, None), &mut head).expect("trained");
    let Outcome::Preempted { step: 20, checkpoint } = outcome else { panic!("{outcome:?}") };
    assert_eq!(head.measured.len(), 1, "step 0 only");
    let mut tail = Recorder::default();
    let inputs = world.inputs("run", 2, Some(&checkpoint));
    train(&spec, &inputs, &mut tail).expect("trained");
    let (whole, _) = world.run(&spec, "whole");
    assert_eq!([head.measured, tail.measured].concat(), whole.measured);
}

#[test]
fn weights_that_are_not_numbers_diverge_after_twenty_steps() {
    let world = World::new();
    let (_, outcome) = world.run(&world.spec(), "base");
    let Outcome::Finished { checkpoint, .. } = outcome else { panic!("{outcome:?}") };
    let mut broken = weights(&checkpoint);
    broken.get_mut("model.norm.weight").expect("a gain").values[0] = f32::NAN;
    let file = std::fs::File::create(checkpoint.join("model.safetensors")).expect("a file");
    safetensors::write(file, &broken).expect("written");
    // as a model of others: a checkpoint of ours would be damaged
    std::fs::remove_file(checkpoint.join(checkpoint::MANIFEST)).expect("removed");

    let mut spec = world.spec();
    spec.model = Model::Run("base".to_owned());
    let mut inputs = world.inputs("run", 1, None);
    inputs.base = Some(checkpoint);
    let mut recorder = Recorder::default();
    let outcome = train(&spec, &inputs, &mut recorder).expect("an outcome, not an error");
    let Outcome::Diverged { step: 20, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("20 steps in a row"), "{reason}");
    assert!(recorder.stepped.iter().all(|it| it.verdict == Verdict::Skipped));
    assert_eq!(recorder.stepped.last().expect("twenty").skipped, 20);
}

#[test]
fn an_absurd_learning_rate_diverges_and_a_merely_bad_one_does_not() {
    let world = World::new();
    let mut spec = world.spec();
    spec.train.lr.peak = 1e12;
    let (_, outcome) = world.run(&spec, "absurd");
    assert!(matches!(outcome, Outcome::Diverged { .. }), "{outcome:?}");

    spec.train.lr.peak = 1.0;
    let (recorder, outcome) = world.run(&spec, "bad");
    assert!(matches!(outcome, Outcome::Finished { .. }), "{outcome:?}");
    let bad = recorder.value(STEPS, "heldout/shop", "loss");
    let (recorder, _) = world.run(&world.spec(), "good");
    let good = recorder.value(STEPS, "heldout/shop", "loss");
    assert!(1.2 * good < bad, "{good} and {bad}");
}

/// Training goes on from the base's weights, and from nothing else of it.
#[test]
fn a_run_begins_from_the_weights_of_its_base() {
    let world = World::new();
    let (base, outcome) = world.run(&world.spec(), "base");
    let Outcome::Finished { checkpoint, .. } = outcome else { panic!("{outcome:?}") };
    let mut spec = world.spec();
    spec.model = Model::Run("base".to_owned());
    let mut inputs = world.inputs("run", 1, None);
    inputs.base = Some(checkpoint);
    let mut recorder = Recorder::default();
    train(&spec, &inputs, &mut recorder).expect("trained");
    assert_eq!(recorder.measured[0].1, base.measured[2].1, "step 0 is the base's last");
    assert_eq!(recorder.stepped[0].step, 1);
}

#[test]
fn what_cannot_be_trained_is_refused_by_name_and_for_good() {
    let world = World::new();
    let plain = || world.inputs("run", 1, None);
    let refusal = |change: fn(&mut assay_api::spec::TrainSpec)| {
        let mut spec = world.spec();
        change(&mut spec);
        let error = world.fail(&spec, &plain());
        assert!(error.is_final(), "{error}");
        error.to_string()
    };
    for (found, expected) in [
        (refusal(|spec| spec.train.batch = 100), "train.batch (100) is no multiple"),
        (refusal(|spec| spec.train.micro_batch = 0), "train.micro_batch"),
        (refusal(|spec| spec.train.lr.peak = f64::NAN), "train.lr.peak is NaN"),
        (refusal(|spec| spec.train.adamw.beta2 = 1.0), "train.adamw.beta2 is 1"),
        (refusal(|spec| spec.model = Model::Preset("llama-9m".to_owned())), "`llama-9m`"),
        (refusal(|spec| spec.model = Model::Run("x".to_owned())), "`x` was not found"),
        (
            refusal(|spec| (spec.train.context, spec.train.batch) = (4096, 4096)),
            "longest sequence 2048",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let mut inputs = plain();
    inputs.datasets.remove("shop");
    let error = world.fail(&world.spec(), &inputs);
    assert!(error.is_final() && error.to_string().contains("source `shop`"), "{error}");

    let mut spec = world.spec();
    spec.eval.tasks = [("colors".to_owned(), world.task(&[0]))].into();
    spec.eval.tasks.get_mut("colors").expect("there").sha256 = "0".repeat(64);
    let error = world.fail(&spec, &plain());
    assert!(matches!(error, TrainError::TaskChanged { .. }) && error.is_final(), "{error}");
}

#[test]
fn a_checkpoint_of_another_spec_or_a_damaged_one_is_not_resumed() {
    let world = World::new();
    let (_, outcome) = world.run(&world.spec(), "run");
    let Outcome::Finished { checkpoint, .. } = outcome else { panic!("{outcome:?}") };
    let inputs = world.inputs("run", 2, Some(&checkpoint));
    let mut other = world.spec();
    other.train.lr.peak = 1e-3;
    let error = world.fail(&other, &inputs).to_string();
    assert!(error.contains("written for another spec"), "{error}");

    let optimizer = checkpoint.join(checkpoint::OPTIMIZER);
    let mut bytes = std::fs::read(&optimizer).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&optimizer, bytes).expect("written");
    let error = world.fail(&world.spec(), &inputs);
    assert_eq!(error.unusable(), Some(checkpoint.as_path()));
    let error = error.to_string();
    assert!(error.contains("optimizer.safetensors is not what the manifest says"), "{error}");
    let mut based = world.spec();
    based.model = Model::Run("base".to_owned());
    let mut inputs = world.inputs("another", 1, None);
    inputs.base = Some(checkpoint);
    let error = world.fail(&based, &inputs).to_string();
    assert!(error.contains("optimizer.safetensors is not what the manifest says"), "{error}");
}

/// Steps before it saw other documents: going on would be a run that nobody asked for.
#[test]
fn a_checkpoint_of_other_data_is_not_resumed() {
    let world = World::new();
    let mut head = Recorder::wishing(3, Wish::CheckpointAndStop);
    train(&world.spec(), &world.inputs("run", 1, None), &mut head).expect("trained");
    let resume = checkpoint::folder(&world.path("run"), 1, 3);
    world.lay("plain", 301);
    let error = world.fail(&world.spec(), &world.inputs("run", 2, Some(&resume)));
    assert!(matches!(error, TrainError::OtherData { .. }), "{error}");
    assert_eq!(error.unusable(), Some(resume.as_path()));
}

/// What only measures may change between attempts: tasks are no part of the point.
#[test]
fn a_checkpoint_is_resumed_with_another_evaluation() {
    let world = World::new();
    let mut head = Recorder::wishing(10, Wish::CheckpointAndStop);
    train(&world.spec(), &world.inputs("run", 1, None), &mut head).expect("trained");
    let mut spec = world.spec();
    spec.eval.heldout_at = vec![0, STEPS];
    let resume = checkpoint::folder(&world.path("run"), 1, 10);
    let mut tail = Recorder::default();
    train(&spec, &world.inputs("run", 2, Some(&resume)), &mut tail).expect("trained");
    assert_eq!(tail.measured.len(), 1);
}

/// Goal: going on before the decay gives the run that was asked for so long from the beginning.
/// Method: the longer run whole, and from the shorter one's kept state, stopped once on its way.
#[test]
fn a_run_that_extends_another_is_the_longer_run_bit_for_bit() {
    let world = World::new();
    let short = world.spec();
    world.run(&short, "short");
    let mut long = world.spec();
    long.train.tokens *= 2;
    long.eval.heldout_at = vec![0, 31, 50, 2 * STEPS];
    let (whole, end) = world.run(&long, "whole");

    let shorter = Shorter {
        checkpoint: checkpoint::folder(&world.path("short"), 1, 31),
        tokens: short.train.tokens,
        decay_steps: short.train.lr.decay_steps,
    };
    let extending = |attempt, resume: Option<&Path>| {
        let mut inputs = world.inputs("longer", attempt, resume);
        inputs.extends = Some(shorter.clone());
        inputs
    };
    let mut head = Recorder::wishing(45, Wish::CheckpointAndStop);
    let outcome = train(&long, &extending(1, None), &mut head).expect("trained");
    let Outcome::Preempted { step: 45, checkpoint } = outcome else { panic!("{outcome:?}") };
    let mut tail = Recorder::default();
    let outcome = train(&long, &extending(2, Some(&checkpoint)), &mut tail).expect("trained");
    assert_eq!([head.bits(), tail.bits()].concat(), whole.bits()[31..]);
    assert_eq!([head.measured, tail.measured].concat(), whole.measured[1..]);
    let (Outcome::Finished { checkpoint, .. }, Outcome::Finished { checkpoint: end, .. }) =
        (outcome, end)
    else {
        panic!("both finish")
    };
    assert_eq!(weights(&checkpoint), weights(&end));
    assert_eq!(steps(&world.path("short")), [(1, 31), (1, 40)], "what it began from stays");

    let refusal = |change: fn(&mut assay_api::spec::TrainSpec)| {
        let mut other = long.clone();
        change(&mut other);
        world.fail(&other, &extending(3, None)).to_string()
    };
    let other = refusal(|spec| spec.train.lr.peak = 1e-3);
    assert!(other.contains("written for another spec"), "{other}");
    let early = refusal(|spec| spec.train.lr.decay_steps = 60);
    assert!(early.contains("of step 31, and a decay began at 20"), "{early}");
}

/// An engine of the CPU in a GPU's place.
#[derive(Debug)]
struct Stand;

impl Gpu for Stand {
    fn open(
        &self,
        config: &Config,
        settings: Settings,
        shape: &Shape,
        weights: &dyn ByName,
    ) -> Result<Box<dyn Engine>, TrainError> {
        let plan = Cpu::plan(config, shape, None)?;
        let engine = Planned::on_cpu(config, settings, Products::F32, plan, weights);
        Ok(Box::new(engine.map_err(TrainError::Engine)?))
    }
}

/// As on a machine without one.
#[derive(Debug)]
struct Missing;

impl Gpu for Missing {
    fn open(
        &self,
        _: &Config,
        _: Settings,
        _: &Shape,
        _: &dyn ByName,
    ) -> Result<Box<dyn Engine>, TrainError> {
        Err(TrainError::Gpu(anyhow::anyhow!("there is none")))
    }
}

#[test]
fn a_gpu_opens_the_engine_of_a_run_that_asks_for_one() {
    let world = World::new();
    let (on_cpu, _) = world.run(&world.spec(), "cpu");
    let mut spec = world.spec();
    spec.train.engine = EngineName::CudaBf16;
    let with =
        |run: &str, gpu: Box<dyn Gpu>| Inputs { gpu: Some(gpu), ..world.inputs(run, 1, None) };
    let mut recorder = Recorder::default();
    train(&spec, &with("gpu", Box::new(Stand)), &mut recorder).expect("trained");
    assert_eq!(recorder.bits(), on_cpu.bits());
    assert_eq!(recorder.measured, on_cpu.measured);

    let error = world.fail(&spec, &with("none", Box::new(Missing)));
    assert!(error.is_final(), "another try would find none either");
    let error = world.fail(&spec, &world.inputs("nobody", 1, None));
    assert!(error.to_string().contains("without the engine `cuda-bf16`"), "{error}");
}
