use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf};
use assay_api::spec::*; use assay_api::worker::Wish;
use assay_trainer::{data::*, synth::{synth, Options, Size}, *};
struct W(String);
impl Watcher for W {
    fn phase(&mut self, _: Phase) {}
    fn stepped(&mut self, s: &Stepped) { if s.step % 40 == 0 { println!("{} step {} loss {:.3} gn {:.2}", self.0, s.step, s.loss, s.grad_norm) } }
    fn measured(&mut self, step: u64, m: &[Measurement]) { let t: Vec<String> = m.iter().filter(|m| m.metric != "loss").map(|m| format!("{} {} {:.4}", m.task, m.metric, m.value)).collect(); println!("{} @{step} {}", self.0, t.join(" | ")) }
    fn carried(&mut self) -> anyhow::Result<Vec<u8>> { Ok(vec![]) }
    fn saved(&mut self, _: &Saved) {}
    fn wish(&mut self) -> Wish { Wish::Continue }
}
fn main() {
    let root: PathBuf = std::env::args().nth(1).unwrap().into();
    let (base_tokens, tokens): (u64, u64) = (std::env::args().nth(2).unwrap().parse().unwrap(), std::env::args().nth(3).unwrap().parse().unwrap());
    synth(&Options { folder: root.clone(), size: Size::Bytes(2_000_000), seed: 1 }, &mut |_| ControlFlow::Continue(())).unwrap();
    let heldout = Heldout { share: 0.01, tokens: 16_000 };
    let source = |s: &str| Source { path: root.join(format!("{s}.jsonl")).display().to_string(), field: "text".into(), group_by: (s == "commerce").then(|| "product_id".into()), slices: vec![] };
    for s in ["general", "commerce"] { prepare(&PrepareSpec { source: s.into(), tokenizer: Tokenizer::Bytes, files: source(s), heldout }, &root.join(s), &mut |_| ControlFlow::Continue(())).unwrap(); }
    let run = |name: &str, base: Option<PathBuf>, share: f64, peak: f64, tokens: u64, tasks: bool| -> PathBuf {
        let steps = tokens.div_ceil(2048);
        let mut mixture: BTreeMap<String, f64> = [("commerce".into(), share), ("general".into(), 1.0 - share)].into();
        mixture.retain(|_, s| *s > 0.0);
        let t = |n: &str| (n.to_string(), Task { path: root.join(format!("tasks/{n}.yaml")).display().to_string(), sha256: String::new(), at: if base.is_some() { vec![steps] } else { vec![0, steps] } });
        let spec = TrainSpec { model: if base.is_some() { Model::Run("base".into()) } else { Model::Preset("llama-1m".into()) }, tokenizer: Tokenizer::Bytes,
            data: Data { heldout, sources: ["general", "commerce"].map(|s| (s.to_string(), source(s))).into(), mixture, document_masks: true },
            train: Train { tokens, context: 256, batch: 2048, micro_batch: 8, lr: Lr { peak, schedule: Schedule::Wsd, warmup_steps: (steps / 100).max(5), decay_steps: steps / 5, floor: 0.0 }, adamw: AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }, clip: 1.0, z_loss: 0.0, engine: Engine::Reference, devices: 1, seed: 1 },
            eval: Eval { heldout_at: vec![0, steps], tasks: if tasks { [t("aspects"), t("price")].into() } else { BTreeMap::new() } } };
        let datasets = ["general", "commerce"].map(|s| (s.to_string(), Dataset::open(&root.join(s)).unwrap())).into();
        let folder = root.join("runs").join(name);
        let started = std::time::Instant::now();
        let out = train(&spec, &Inputs { datasets, base, run_folder: folder, attempt: 1, resume: None, threads: 1 }, &mut W(name.into())).unwrap();
        println!("{name} took {:?}", started.elapsed());
        match out { Outcome::Finished { checkpoint, .. } => checkpoint, o => panic!("{o:?}") }
    };
    let base = run("base", None, 0.0, 3e-3, base_tokens, true);
    for (name, share, peak) in [("s75-3e-3", 0.75, 3e-3), ("s25-3e-3", 0.25, 3e-3), ("s75-1e-3", 0.75, 1e-3), ("s25-1e-3", 0.25, 1e-3), ("s75-1e-2", 0.75, 1e-2), ("s75-3e-4", 0.75, 3e-4), ("s75-1e-2b", 0.75, 3e-2)] { run(name, Some(base.clone()), share, peak, tokens, name.starts_with("s75") ); }
}
