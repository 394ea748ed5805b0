//! A small run: its corpus, its spec, and a watcher that writes down what it is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use assay_api::spec::{
    AdamW, Data, Engine, Eval, Heldout, Lr, Model, PrepareSpec, Schedule, Source, Task, Tokenizer,
    Train, TrainSpec,
};
use assay_api::worker::Wish;
use assay_trainer::data::{Dataset, prepare};
use assay_trainer::{
    Inputs, Measurement, Outcome, Phase, Saved, Stepped, TrainError, Watcher, train,
};
use tempfile::TempDir;

pub(crate) const STEPS: u64 = 40;
pub(crate) const HELDOUT: Heldout = Heldout { share: 0.1, tokens: 600 };

/// Two sources, prepared, and a folder for runs.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        let world = World { folder: tempfile::tempdir().expect("a folder") };
        for source in ["plain", "shop"] {
            world.lay(source, 300);
        }
        world
    }

    /// Writes a source of so many documents, and prepares it.
    pub(crate) fn lay(&self, source: &str, documents: usize) {
        let mut text = String::new();
        for number in 0..documents {
            let (color, shelf) = (["red", "green", "blue"][number % 3], number % 7);
            let line = match source {
                "plain" => format!("Sentence {number} says that {color} comes after {shelf}."),
                _ => format!("item {number}; color: {color}; shelf: {shelf}"),
            };
            let language = ["de", "en"][number % 2];
            let line = serde_json::json!({ "text": line, "language": language });
            writeln!(text, "{line}").expect("strings can be written to");
        }
        std::fs::write(self.path(&format!("{source}.jsonl")), text).expect("written");
        let spec = PrepareSpec {
            source: source.to_owned(),
            tokenizer: Tokenizer::Bytes,
            files: self.source(source),
            heldout: HELDOUT,
        };
        let folder = self.path(&format!("datasets/{source}"));
        std::fs::create_dir_all(&folder).expect("created");
        prepare(&spec, &folder, &mut |_| ControlFlow::Continue(())).expect("prepared");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn source(&self, name: &str) -> Source {
        Source {
            path: self.path(&format!("{name}.jsonl")).display().to_string(),
            field: "text".to_owned(),
            group_by: None,
            slices: if name == "shop" { vec!["language".to_owned()] } else { Vec::new() },
        }
    }

    pub(crate) fn spec(&self) -> TrainSpec {
        let sources = ["plain", "shop"].map(|name| (name.to_owned(), self.source(name)));
        TrainSpec {
            model: Model::Preset("llama-300k".to_owned()),
            tokenizer: Tokenizer::Bytes,
            data: Data {
                heldout: HELDOUT,
                sources: sources.into(),
                mixture: [("plain".to_owned(), 0.5), ("shop".to_owned(), 0.5)].into(),
                document_masks: true,
            },
            train: Train {
                tokens: STEPS * 128,
                context: 32,
                batch: 128,
                micro_batch: 2,
                lr: Lr {
                    peak: 3e-3,
                    schedule: Schedule::Wsd,
                    warmup_steps: 4,
                    decay_steps: 9,
                    floor: 0.0,
                },
                adamw: AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 },
                clip: 1.0,
                z_loss: 1e-4,
                engine: Engine::CpuF32,
                devices: 1,
                seed: 7,
            },
            eval: Eval { heldout_at: vec![0, 20, STEPS], tasks: BTreeMap::new() },
        }
    }

    /// A task of four questions, asked at these steps.
    pub(crate) fn task(&self, at: &[u64]) -> Task {
        let mut items = String::new();
        for (question, answer) in [("item 3; color:", 0), ("item 4; color:", 1)] {
            let item = serde_json::json!({
                "question": question, "choices": ["red", "green", "blue"], "answer": answer
            });
            writeln!(items, "{item}").expect("strings can be written to");
        }
        std::fs::write(self.path("colors.jsonl"), items).expect("written");
        let yaml = "task: colors\ndataset_path: json\ndataset_kwargs:\n  data_files: colors.jsonl\n\
            output_type: multiple_choice\ndoc_to_text: \"{{question}}\"\ndoc_to_target: \"{{answer}}\"\n\
            doc_to_choice: \"{{choices}}\"\n";
        std::fs::write(self.path("colors.yaml"), yaml).expect("written");
        let path = self.path("colors.yaml").display().to_string();
        Task { path, sha256: String::new(), at: at.to_vec() }
    }

    pub(crate) fn inputs(&self, run: &str, attempt: u32, resume: Option<&Path>) -> Inputs {
        let open = |name: &str| {
            let folder = self.path(&format!("datasets/{name}"));
            (name.to_owned(), Dataset::open(&folder).expect("a dataset"))
        };
        Inputs {
            extends: None,
            datasets: ["plain", "shop"].map(open).into(),
            base: None,
            run_folder: self.path(run),
            attempt,
            is_canary: false,
            resume: resume.map(Path::to_owned),
            threads: 2,
            memory: None,
            gpu: None,
        }
    }

    /// Trains from the beginning, and expects an end of its own.
    pub(crate) fn run(&self, spec: &TrainSpec, run: &str) -> (Recorder, Outcome) {
        let mut recorder = Recorder::default();
        let outcome = train(spec, &self.inputs(run, 1, None), &mut recorder).expect("trained");
        (recorder, outcome)
    }

    pub(crate) fn fail(&self, spec: &TrainSpec, inputs: &Inputs) -> TrainError {
        train(spec, inputs, &mut Recorder::default()).expect_err("refused")
    }
}

/// What a watcher was told, and when it asks for what.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) stepped: Vec<Stepped>,
    pub(crate) measured: Vec<(u64, Vec<Measurement>)>,
    pub(crate) saved: Vec<Saved>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) carried: Vec<u8>,
    /// From this many steps on, this is wished for.
    pub(crate) wish: Option<(u64, Wish)>,
}

impl Recorder {
    pub(crate) fn wishing(at: u64, wish: Wish) -> Recorder {
        Recorder { wish: Some((at, wish)), ..Recorder::default() }
    }

    /// Step, loss and gradient norm, to the bit.
    pub(crate) fn bits(&self) -> Vec<(u64, u64, u64)> {
        let bits = |it: &Stepped| (it.step, it.loss.to_bits(), it.grad_norm.to_bits());
        self.stepped.iter().map(bits).collect()
    }

    pub(crate) fn value(&self, step: u64, task: &str, metric: &str) -> f64 {
        let (_, all) = self.measured.iter().find(|(at, _)| *at == step).expect("measured then");
        let found = all.iter().find(|it| it.task == task && it.metric == metric);
        found.unwrap_or_else(|| panic!("no {metric} of {task} in {all:?}")).value
    }
}

impl Watcher for Recorder {
    fn phase(&mut self, phase: Phase) {
        if self.phases.last() != Some(&phase) {
            self.phases.push(phase);
        }
    }
    fn opened(&mut self, _facts: &str) {}
    fn stepped(&mut self, stepped: &Stepped) {
        self.stepped.push(*stepped);
    }
    fn measured(&mut self, step: u64, measurements: &[Measurement]) {
        self.measured.push((step, measurements.to_vec()));
    }
    fn carried(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(self.carried.clone())
    }
    fn saved(&mut self, saved: &Saved) {
        self.saved.push(saved.clone());
    }
    fn wish(&mut self) -> Wish {
        let taken = self.stepped.last().map_or(0, |it| it.step);
        match self.wish {
            Some((from, wish)) if from <= taken => wish,
            Some(_) | None => Wish::Continue,
        }
    }
}
