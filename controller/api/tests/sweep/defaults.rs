//! The defaults of `assay: v1`, each worked out by hand from the design.

use assay_api::expand::{point_of, source_tokens_needed, train_flops};
use assay_api::spec::{Engine, Model, RunSpec, Schedule, Tokenizer};
use sha2::Digest as _;

use super::{errors, expansion, file, points, train};

fn only(train: &str) -> assay_api::spec::TrainSpec {
    let text = file("grid", train, "seed: [1]");
    super::train(points(&expansion(&text))[0]).clone()
}

#[test]
fn a_run_of_ten_million_tokens_gets_every_default() {
    let spec = only("tokens: 10M, lr: {peak: 1e-3}");
    assert_eq!(spec.model, Model::Preset("llama-1m".to_owned()));
    assert_eq!(spec.tokenizer, Tokenizer::Bytes);
    assert_eq!((spec.data.heldout.share, spec.data.heldout.tokens), (0.01, 1_000_000));
    assert!(spec.data.document_masks);
    let a = &spec.data.sources["a"];
    assert_eq!((a.path.as_str(), a.field.as_str()), ("/data/a.jsonl", "text"));
    let train = &spec.train;
    // min(the preset's 256, 4,096); 10M / 1,000 = 10,000 tokens are 39 sequences of 256.
    assert_eq!((train.context, train.batch, train.sequences()), (256, 9_984, 39));
    // 2,048 / 256 = 8 sequences a pass; of 39 = 3 · 13 the largest divisor up to 8 is 3.
    assert_eq!(train.micro_batch, 3);
    // 10,000,000 / 9,984 = 1,001.6 steps; 1 % are 10, so 40; 20 % are 200.4.
    assert_eq!(train.steps(), 1_002);
    assert_eq!(train.lr.schedule, Schedule::Wsd);
    assert_eq!((train.lr.warmup_steps, train.lr.decay_steps, train.lr.floor), (40, 200, 0.0));
    let adamw = train.adamw;
    assert_eq!((adamw.beta1, adamw.beta2, adamw.eps, adamw.weight_decay), (0.9, 0.95, 1e-8, 0.1));
    assert_eq!((train.clip, train.z_loss), (1.0, 0.0));
    assert_eq!((train.engine, train.devices, train.seed), (Engine::CpuF32, 1, 1));
    assert_eq!(spec.eval.heldout_at[..6], [0, 10, 20, 50, 100, 150]);
    assert_eq!(spec.eval.heldout_at.last(), Some(&1_002));
}

#[test]
fn reuse_is_asked_for_and_trains_nothing_else() {
    let text = file("grid", "tokens: 1M, lr: {peak: 1e-3}", "seed: [1, 2]");
    let plain = expansion(&text);
    let reusing = expansion(&format!("{text}reuse: true\n"));
    assert_eq!((plain.reuse, reusing.reuse), (false, true));
    assert!(!expansion(&format!("{text}reuse: false\n")).reuse);
    assert_eq!(plain.runs, reusing.runs);
}

#[test]
fn a_batch_is_at_most_half_a_million_tokens() {
    let spec = only("tokens: 10G, context: 1000, lr: {peak: 1e-3}");
    assert_eq!(spec.train.batch, 512_000);
    // 1 % of 19,532 steps is more than 40.
    assert_eq!(spec.train.lr.warmup_steps, 195);
}

#[test]
fn a_batch_is_whole_contexts_and_at_least_one() {
    assert_eq!(only("tokens: 1M, batch: 2k, lr: {peak: 1}").train.batch, 7 * 256);
    assert_eq!(only("tokens: 1M, batch: 100, lr: {peak: 1}").train.batch, 256);
    assert_eq!(only("tokens: 1k, lr: {peak: 1}").train.batch, 256);
}

#[test]
fn a_short_run_warms_up_for_at_most_half_of_it() {
    let spec = only("tokens: 12800, batch: 256, lr: {peak: 1}");
    assert_eq!((spec.train.steps(), spec.train.lr.warmup_steps), (50, 25));
    assert_eq!(spec.train.lr.decay_steps, 10);
}

#[test]
fn each_schedule_has_its_own_end() {
    let lr = |schedule: &str| {
        let text = format!(
            "tokens: 25600, batch: 256, lr: {{peak: 1, warmup: 10%, schedule: {schedule}}}"
        );
        let lr = only(&text).train.lr;
        (lr.warmup_steps, lr.decay_steps, lr.floor)
    };
    assert_eq!(lr("wsd"), (10, 20, 0.0));
    assert_eq!(lr("cosine"), (10, 0, 0.1));
    assert_eq!(lr("linear"), (10, 90, 0.0));
    assert_eq!(lr("constant"), (10, 0, 1.0));
}

#[test]
fn tasks_are_scored_in_the_shape_of_a_v() {
    let text = file("grid", "tokens: 102400, batch: 256, lr: {peak: 1}", "seed: [1]").replace(
        "axes:",
        "  eval: {tasks: {t: {path: t.yaml}, u: {path: u.yaml, every: 40%}}}\naxes:",
    );
    let expansion = expansion(&text);
    let tasks = &train(points(&expansion)[0]).eval.tasks;
    assert_eq!(tasks["t"].at, [0, 40, 100, 200, 400]);
    assert_eq!(tasks["u"].at, [0, 160, 320, 400]);
    assert_eq!((tasks["t"].path.as_str(), tasks["t"].sha256.as_str()), ("/data/t.yaml", ""));
}

#[test]
fn a_run_takes_the_context_of_the_run_it_starts_from() {
    let text = file("grid", "tokens: 1M, lr: {peak: 1}", "seed: [1]")
        .replace("{preset: llama-1m}", "{run: first}")
        .replace(
            "base:",
            "first:\n  first: {model: {preset: llama-135m}, data: {sources: {c: {path: c.txt}}}, \
             train: {tokens: 1M, context: 512, lr: {peak: 1}}}\nbase:",
        );
    let expansion = expansion(&text);
    let run = points(&expansion)[0];
    assert_eq!(train(run).train.context, 512);
    assert_eq!(run.preset.unwrap().name, "llama-135m");
}

#[test]
fn a_first_run_holds_out_what_the_base_holds_out() {
    let text = file("grid", "tokens: 1M, lr: {peak: 1}", "seed: [1]")
        .replace("    sources:", "    heldout: {share: 2%, tokens: 5k}\n    sources:")
        .replace("{preset: llama-1m}", "{run: first}")
        .replace(
            "base:",
            "first:\n  first: {model: {preset: llama-1m}, data: {sources: {x: {path: b.txt}}}, \
             train: {tokens: 1M, lr: {peak: 1}}}\nbase:",
        );
    let expansion = expansion(&text);
    let n_prepares = expansion.runs.iter().filter(|run| run.label.starts_with("prepare")).count();
    assert_eq!(n_prepares, 2, "x and b are one file, prepared once");
    let leaking = text.replace("data: {sources: {x", "data: {heldout: {share: 1%}, sources: {x");
    assert!(errors(&leaking).contains("of which this run would train on some"));
}

#[test]
fn a_point_is_what_trains_it() {
    let spec = only("tokens: 1M, lr: {peak: 1e-3}");
    let point = |change: &dyn Fn(&mut assay_api::spec::TrainSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        point_of(&RunSpec::Train(spec), None)
    };
    let same = point(&|_| {});
    assert_eq!(same, point(&|spec| spec.eval.heldout_at = vec![0]));
    assert_ne!(same, point(&|spec| spec.train.seed = 2));
    assert_ne!(same, point(&|spec| spec.train.devices = 2));
    assert_ne!(same, point(&|spec| spec.train.lr.peak = 2e-3));
    assert_ne!(same, point(&|spec| spec.data.document_masks = false));
    let run = RunSpec::Train(spec.clone());
    assert_ne!(point_of(&run, Some("aa")), point_of(&run, Some("bb")), "the base's point counts");
}

/// Points lie in databases: this hash changes only with `assay: v2`. Worked out by another program:
/// `printf '%s' '{"data":…}' | sha256sum` over the canonical JSON.
#[test]
fn the_hash_of_a_known_run_stays() {
    let spec = only("tokens: 1M, lr: {peak: 1e-3}");
    let canonical = concat!(
        r#"{"data":{"document_masks":true,"heldout":{"share":0.01,"tokens":1000000},"#,
        r#""mixture":{"a":0.5,"b":0.5},"sources":{"#,
        r#""a":{"field":"text","group_by":null,"path":"/data/a.jsonl","slices":[]},"#,
        r#""b":{"field":"text","group_by":null,"path":"/data/b.txt","slices":[]}}},"#,
        r#""kind":"train","model":{"preset":"llama-1m"},"tokenizer":"bytes","train":{"#,
        r#""adamw":{"beta1":0.9,"beta2":0.95,"eps":0.00000001,"weight_decay":0.1},"#,
        r#""batch":768,"clip":1,"context":256,"devices":1,"engine":"cpu-f32","#,
        r#""lr":{"decay_steps":261,"floor":0,"peak":0.001,"schedule":"wsd","warmup_steps":40},"#,
        r#""micro_batch":3,"seed":1,"tokens":1000000,"z_loss":0}}"#,
    );
    let hash = sha2::Sha256::digest(canonical.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(point_of(&RunSpec::Train(spec), None), hex);
}

#[test]
fn arithmetic_and_passes_are_estimated_from_what_is_trained() {
    // 10 steps of 256 tokens, half of them from each source.
    let spec = only("tokens: 2560, batch: 256, lr: {peak: 1}");
    let needed = source_tokens_needed(&spec);
    assert_eq!((needed["a"], needed["b"]), (1_280, 1_280));
    // 2,560 · 6 · 1,000,000, and for attention 2,560 · 6 · 4 · 128 · 256.
    assert_eq!(train_flops(&spec.train, 1_000_000, None).to_string(), "15360000000");
    let attention = 2_560.0 * 6.0 * 4.0 * 128.0 * 256.0;
    let flops = train_flops(&spec.train, 1_000_000, Some((4, 128)));
    assert_eq!(flops.to_string(), (15_360_000_000.0_f64 + attention).to_string());
}

#[test]
fn sources_of_one_file_are_prepared_once_and_needed_once() {
    let text = "assay: v1
sweep: twice
base:
  model: {preset: llama-300k}
  tokenizer: bytes
  data:
    sources: {a: {path: /d/a.jsonl}, b: {path: /d/a.jsonl}, c: {path: /d/c.jsonl}}
    mixture: {a: 0.5, b: 0.3, c: 0.2}
  train: {tokens: 1M, lr: {peak: 1e-3}}
";
    let runs = super::expansion(text).runs;
    let labels: Vec<&str> = runs.iter().map(|run| run.label.as_str()).collect();
    assert_eq!(labels, ["prepare a", "prepare c", "base"]);
    assert_eq!(runs[2].needs, [0, 1]);
}
