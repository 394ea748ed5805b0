//! The files that users start from.

use std::collections::{BTreeMap, BTreeSet};

use assay_api::expand::PlannedRun;
use assay_api::spec::{Model, RunSpec, TrainSpec};
use assay_api::sweep::{Overlap, Timetable};
use assay_api::view::RunKind;

use super::{expansion, file, points, train};

const QUICKSTART: &str = include_str!("../../../../examples/quickstart.yaml");
const E_LLAMA: &str = include_str!("../../../../examples/e-llama.yaml");
const OWN_TEXT: &str = include_str!("../../../../examples/own-text.yaml");
const NIGHTLY: &str = include_str!("../../../../examples/nightly.yaml");

#[test]
fn the_quickstart_varies_one_base_at_least_twelve_times() {
    let expansion = expansion(QUICKSTART);
    assert!(points(&expansion).len() >= 12);
    assert_eq!(expansion.runs.iter().filter(|run| run.is_baseline).count(), 1);
    let find = |label: &str| expansion.runs.iter().position(|run| run.label == label).unwrap();
    let (general, commerce) = (find("prepare general"), find("prepare commerce"));
    let base = find("small-base");
    assert_eq!(expansion.runs[base].needs, [general]);
    for run in points(&expansion) {
        assert_eq!(run.needs, [commerce, general, base], "{}", run.label);
        assert_eq!(train(run).model, Model::Run("small-base".to_owned()));
        assert_eq!(train(run).eval.tasks["price"].path, "/data/data/tasks/price.yaml");
    }
    let prepares = expansion.runs.iter().filter(|run| run.kind == RunKind::Prepare);
    assert_eq!(prepares.count(), 2, "the base's prepared text serves all");
}

#[test]
fn own_text_varies_each_axis_alone_in_two_seeds() {
    let expansion = expansion(OWN_TEXT);
    // The base, two rates, three shares and one schedule, in two seeds each.
    assert_eq!(points(&expansion).len(), 7 * 2);
    let mine = points(&expansion).into_iter().find(|run| run.label.contains("mix.mine 100%"));
    let mine = train(mine.unwrap());
    assert_eq!(mine.data.mixture["general"].to_string(), "0", "evaluated, not trained on");
    assert!(mine.data.sources.contains_key("general"));
}

#[test]
fn the_nightly_sweep_is_due_at_two_in_berlin_and_continues_from_one_base() {
    let expansion = expansion(NIGHTLY);
    let cron = "0 2 * * *".to_owned();
    let zone = "Europe/Berlin".to_owned();
    let expected = Timetable { cron, zone, overlap: Overlap::Skip, keep: Some(14) };
    assert_eq!(expansion.schedule, Some(expected));
    assert_eq!(points(&expansion).len(), 3, "the base, one rate and one share");
    for run in points(&expansion) {
        assert_eq!(train(run).model, Model::Run("general-base".to_owned()));
    }
}

#[test]
fn a_schedule_that_is_only_a_time_is_in_utc_skips_and_keeps_all() {
    let text = file("grid", "tokens: 1M, lr: {peak: 1e-3}", "lr: [1e-3]");
    assert_eq!(expansion(&text).schedule, None);
    let scheduled = expansion(&format!("{text}schedule: 0 2 * * mon\n")).schedule.unwrap();
    assert_eq!((scheduled.cron.as_str(), scheduled.zone.as_str()), ("0 2 * * mon", "UTC"));
    assert_eq!((scheduled.overlap, scheduled.keep), (Overlap::Skip, None));
    let name = "a".repeat(47);
    let named = text.replace("sweep: test", &format!("sweep: {name}"));
    let scheduled = expansion(&format!("{named}schedule: {{cron: 0 2 * * mon, overlap: wait}}\n"));
    assert_eq!(scheduled.schedule.map(|schedule| schedule.overlap), Some(Overlap::Wait));
}

#[test]
fn the_study_varies_rate_share_language_and_size_alone_in_three_seeds() {
    let expansion = expansion(E_LLAMA);
    // The base, four rates, six mixtures and one size.
    assert_eq!(points(&expansion).len(), 12 * 3);
    let merged: Vec<_> =
        expansion.runs.iter().filter(|run| run.kind == RunKind::Evaluate).collect();
    assert_eq!(merged.len(), 3 * 12 * 3, "each at three weights");
    for run in merged {
        let needed = run.needs.iter().map(|at| &expansion.runs[*at]);
        let trained = needed.filter(|run| run.kind == RunKind::Train);
        assert_eq!(trained.count(), 2, "the point and its base: {}", run.label);
    }
    let domain = |run: &PlannedRun| {
        let mixture = &train(run).data.mixture;
        ((mixture["listings"] + mixture["shop"]) * 1e4).round() / 1e4
    };
    let shares: BTreeSet<String> =
        points(&expansion).iter().map(|run| domain(run).to_string()).collect();
    assert_eq!(shares.into_iter().collect::<Vec<_>>(), ["0", "0.25", "0.5", "0.75", "1"]);
    let general = |run: &PlannedRun| train(run).data.mixture["other"] / (1.0 - domain(run));
    let languages: BTreeSet<String> = points(&expansion)
        .iter()
        .filter(|run| domain(run) < 1.0)
        .map(|run| format!("{:.2}", general(run)))
        .collect();
    assert_eq!(languages.into_iter().collect::<Vec<_>>(), ["0.00", "0.10", "0.30"]);
}

#[test]
fn the_study_carries_the_ratio_and_not_the_rate_to_the_larger_model() {
    let expansion = expansion(E_LLAMA);
    let rates: BTreeMap<String, f64> = points(&expansion)
        .iter()
        .filter(|run| domain_is_half(train(run)) && train(run).train.seed == 1)
        .map(|run| {
            (
                format!("{:?} {}", train(run).model, run.axes["train.lr.peak"]),
                train(run).train.lr.peak,
            )
        })
        .collect();
    assert_eq!(rates[r#"Run("base-6m") "0.1x""#], 3e-4);
    assert_eq!(rates[r#"Run("base-6m") "10x""#], 3e-2);
    assert_eq!(rates[r#"Run("base-30m") "0.1x""#], 1.5e-4);
    let limits = expansion.limits;
    assert_eq!((limits.gpu_hours, limits.same_error), (Some(1_500.0), Some(3)));
    assert_eq!(expansion.resources.pool, "cluster");
}

fn domain_is_half(spec: &TrainSpec) -> bool {
    (spec.data.mixture["listings"] + spec.data.mixture["shop"] - 0.5).abs() < 1e-9
}

#[test]
fn every_spec_of_the_examples_survives_json() {
    for text in [QUICKSTART, OWN_TEXT, E_LLAMA, NIGHTLY] {
        for run in expansion(text).runs {
            let json = serde_json::to_string(&run.spec).unwrap();
            assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), run.spec);
        }
    }
}
