//! The sweep file from outside: text in, runs or errors out.

mod bad;
mod defaults;
mod designs;
mod examples;
mod mutations;
mod of_base;
mod points;
mod properties;
mod schema;

use assay_api::expand::{Context, Expansion, PlannedRun, expand};
use assay_api::spec::{Engine, RunSpec, TrainSpec};
use assay_api::sweep::{parse, report};
use assay_api::view::RunKind;

fn context() -> Context {
    Context { folder: "/data".to_owned(), engine: Engine::CpuF32 }
}

/// The runs of a file that is right.
fn expansion(text: &str) -> Expansion {
    let sweep = parse(text).unwrap_or_else(|errors| panic!("{}", report(&errors, "file")));
    expand(&sweep, &context()).unwrap_or_else(|errors| panic!("{}", report(&errors, "file")))
}

/// The errors of a file that is wrong, as people read them.
fn errors(text: &str) -> String {
    let errors = match parse(text) {
        Ok(sweep) => expand(&sweep, &context()).expect_err("nothing is wrong with it"),
        Err(errors) => errors,
    };
    report(&errors, "file")
}

fn train(run: &PlannedRun) -> &TrainSpec {
    match &run.spec {
        RunSpec::Train(spec) => spec,
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => panic!("{} trains nothing", run.label),
    }
}

/// The train runs that stand for points of the design.
fn points(expansion: &Expansion) -> Vec<&PlannedRun> {
    let is_point = |run: &&PlannedRun| run.kind == RunKind::Train && !run.axes.is_empty();
    expansion.runs.iter().filter(is_point).collect()
}

/// A file with two sources: `train` and `axes` are given as YAML flow text.
fn file(design: &str, train: &str, axes: &str) -> String {
    format!(
        "assay: v1
sweep: test
design: {design}
base:
  model: {{preset: llama-1m}}
  data:
    sources: {{a: {{path: a.jsonl}}, b: {{path: b.txt}}}}
    mixture: {{a: 0.5, b: 0.5}}
  train: {{{train}}}
axes: {{{axes}}}
"
    )
}
