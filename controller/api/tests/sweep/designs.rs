//! What the designs give: points, baseline, order, labels, shares.

use assay_api::expand::PlannedRun;
use assay_api::spec::RunSpec;
use serde_json::json;

use super::{expansion, file, points, train};

const TRAIN: &str = "tokens: 1M, lr: {peak: 1e-3}";

/// Labels in the order of the queue.
fn queue(text: &str) -> Vec<String> {
    let mut runs: Vec<PlannedRun> = expansion(text).runs;
    runs.sort_by_key(|run| run.order);
    runs.into_iter().map(|run| run.label).collect()
}

#[test]
fn the_queue_gives_an_answer_early_and_precision_later() {
    let text =
        file("grid", TRAIN, "lr: [3e-4, 1e-3, 3e-3], mix.b: [0.25, 0.5, 0.75], seed: [1, 2]");
    let queue = queue(&text);
    assert_eq!(queue.len(), 2 + 18);
    let expected = [
        "prepare a",
        "prepare b",
        "lr 1e-3 · mix.b 0.5 · seed 1",
        "lr 3e-4 · mix.b 0.25 · seed 1",
        "lr 3e-4 · mix.b 0.75 · seed 1",
        "lr 3e-3 · mix.b 0.25 · seed 1",
        "lr 3e-3 · mix.b 0.75 · seed 1",
        "lr 3e-4 · mix.b 0.5 · seed 1",
    ];
    assert_eq!(queue[..8], expected);
    assert!(queue[2..11].iter().all(|label| label.ends_with("seed 1")), "{queue:?}");
    assert!(queue[11..].iter().all(|label| label.ends_with("seed 2")), "{queue:?}");
}

#[test]
fn the_baseline_is_added_where_the_grid_lacks_it() {
    let runs = expansion(&file("grid", TRAIN, "lr: [1, 2], warmup: [0%, 2%]")).runs;
    let points: Vec<_> = runs.iter().filter(|run| !run.axes.is_empty()).collect();
    assert_eq!(points.len(), 5);
    let baseline: Vec<_> = points.iter().filter(|run| run.is_baseline).collect();
    assert_eq!(baseline.len(), 1);
    assert_eq!(baseline[0].label, "lr 1e-3 · warmup 40 steps");
    assert_eq!(baseline[0].axes["train.lr.peak"], json!(0.001));
}

#[test]
fn the_baseline_is_a_point_of_the_grid_where_the_grid_has_it() {
    let expansion = expansion(&file("grid", TRAIN, "lr: [0.001, 2], mix.b: [50%, 0.9]"));
    assert_eq!(points(&expansion).len(), 4);
    let baseline = expansion.runs.iter().find(|run| run.is_baseline).unwrap();
    assert_eq!(baseline.label, "lr 0.001 · mix.b 50%", "as the axes write it");
}

#[test]
fn one_at_a_time_varies_each_axis_alone_in_all_seeds() {
    let text = file("one_at_a_time", TRAIN, "lr: [1e-3, 3e-3], warmup: [0%], seed: [1, 2, 3]");
    let expansion = expansion(&text);
    // The base and lr 1e-3 are one point; lr 3e-3 and no warmup are two more; three seeds each.
    assert_eq!(points(&expansion).len(), 3 * 3);
    let changed = |run: &&&PlannedRun| {
        let is_base = |path: &str, value| run.axes[path] == value;
        !is_base("train.lr.peak", json!(0.001)) && is_base("train.lr.warmup", json!("0%"))
    };
    assert_eq!(points(&expansion).iter().filter(changed).count(), 0, "no two axes at once");
}

#[test]
fn the_base_keeps_its_own_seed_beside_the_axis() {
    let text = file("one_at_a_time", "tokens: 1M, lr: {peak: 1}, seed: 7", "seed: [1, 2]");
    let expansion = expansion(&text);
    let mut seeds: Vec<_> =
        points(&expansion).iter().map(|run| (train(run).train.seed, run.is_baseline)).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [(1, false), (2, false), (7, true)]);
}

#[test]
fn excluded_points_are_left_out_and_the_baseline_stays() {
    let axes = "lr: [1e-3, 3e-3], warmup: [0%, 2%]";
    let text = file("grid", "tokens: 1M, lr: {peak: 1e-3, warmup: 2%}", axes);
    let text = format!("{text}exclude: [{{lr: 0.003, warmup: 0.0%}}, {{lr: 1e-3}}]\n");
    let expansion = expansion(&text);
    let labels: Vec<&str> = points(&expansion).iter().map(|run| run.label.as_str()).collect();
    assert_eq!(labels, ["lr 3e-3 · warmup 2%", "lr 1e-3 · warmup 2%"]);
}

#[test]
fn the_other_sources_shrink_in_proportion() {
    let text = file("grid", TRAIN, "mix.c: [0, 0.4, 1]")
        .replace("b: {path: b.txt}}", "b: {path: b.txt}, c: {path: c.txt}}")
        .replace("{a: 0.5, b: 0.5}", "{a: 0.6, b: 0.2, c: 0.2}");
    let expansion = expansion(&text);
    let shares: Vec<String> = points(&expansion)
        .iter()
        .map(|run| train(run).data.mixture.values().map(|share| format!("{share} ")).collect())
        .collect();
    assert_eq!(shares, ["0.75 0.25 0 ", "0.45 0.15 0.4 ", "0 0 1 ", "0.6 0.2 0.2 "]);
}

#[test]
fn two_shares_leave_the_rest_to_the_third() {
    let text = file("grid", TRAIN, "mix.b: [0.1], mix.c: [0.3]")
        .replace("b: {path: b.txt}}", "b: {path: b.txt}, c: {path: c.txt}}")
        .replace("{a: 0.5, b: 0.5}", "{a: 1}");
    let expansion = expansion(&text);
    let mixture = &train(points(&expansion)[0]).data.mixture;
    assert_eq!((mixture["a"], mixture["b"], mixture["c"]), (0.6, 0.1, 0.3));
}

#[test]
fn a_file_that_is_a_point_twice_is_trained_once() {
    let expansion = expansion(&file("grid", TRAIN, "lr: [1e-3, 0.001], warmup: [40 steps]"));
    assert_eq!(points(&expansion).len(), 1);
    assert_eq!(expansion.axes[0].values, [json!(0.001)]);
}

#[test]
fn an_axis_over_models_needs_the_runs_that_it_names() {
    let first = "{model: {preset: llama-1m}, data: {sources: {c: {path: c.txt}}}, train: {tokens: 1M, \
                 lr: {peak: 1}}}";
    let text = file("grid", TRAIN, "model: [{preset: llama-3m}, {run: one}, {run: two}]").replace(
        "base:",
        &format!(
            "first:\n  two: {}\n  one: {first}\nbase:",
            first.replace("{preset: llama-1m}", "{run: one}")
        ),
    );
    let expansion = expansion(&text);
    let find = |label: &str| expansion.runs.iter().position(|run| run.label == label).unwrap();
    let (one, two) = (find("one"), find("two"));
    assert!(expansion.runs[two].needs.contains(&one));
    assert!(expansion.runs[find("model two")].needs.contains(&two));
    let from_scratch = &expansion.runs[find("model llama-3m")];
    assert!(!from_scratch.needs.iter().any(|need| [one, two].contains(need)));
    assert_eq!(from_scratch.preset.unwrap().name, "llama-3m");
}

#[test]
fn a_first_run_that_is_also_a_point_is_trained_once() {
    let text = file("grid", TRAIN, "seed: [1, 2]").replace(
        "base:",
        "first:\n  same: {model: {preset: llama-1m}, data: {sources: {a: {path: a.jsonl}, b: {path: \
         b.txt}}, mixture: {a: 0.5, b: 0.5}}, train: {tokens: 1M, lr: {peak: 1e-3}}}\nbase:",
    );
    let expansion = expansion(&text);
    let n_trains =
        expansion.runs.iter().filter(|run| matches!(run.spec, RunSpec::Train(_))).count();
    assert_eq!(n_trains, 2);
    assert_eq!(expansion.runs.iter().filter(|run| run.is_baseline).count(), 1);
}

#[test]
fn a_first_run_that_is_also_the_baseline_still_comes_before_what_starts_from_it() {
    let data = "data: {sources: {a: {path: a.jsonl}, b: {path: b.txt}}, mixture: {a: 0.5, b: 0.5}}";
    let train = "train: {tokens: 1M, lr: {peak: 1e-3}}";
    let text = file("grid", TRAIN, "seed: [1, 2]").replace(
        "base:",
        &format!(
            "first:\n  same: {{model: {{preset: llama-1m}}, {data}, {train}}}\n  next: {{model: \
             {{run: same}}, {data}, {train}}}\nbase:"
        ),
    );
    let runs = expansion(&text).runs;
    let next = runs.iter().find(|run| run.label == "next").unwrap();
    let same = runs.iter().find(|run| run.is_baseline).unwrap();
    assert!(next.needs.iter().any(|need| runs[*need].point == same.point));
    assert!(same.order < next.order);
}

#[test]
fn a_source_in_two_versions_is_prepared_twice() {
    let text = file("grid", TRAIN, "data.sources.a.path: [a.jsonl, a2.jsonl]");
    let labels = queue(&text);
    assert_eq!(labels[..3], ["prepare a", "prepare b", "prepare a (2)"]);
}

#[test]
fn anchors_and_merge_keys_stand_for_what_they_name() {
    let plain = expansion(&file("grid", TRAIN, "lr: [1, 2]"));
    let text = file("grid", "<<: *train, tokens: 1M", "lr: [1, 2]")
        .replace("base:", "first:\n  one: {model: {preset: llama-1m}, data: {sources: {c: {path: c.txt}}}, train: &train {tokens: 2M, lr: {peak: 1e-3}}}\nbase:");
    let anchored = expansion(&text);
    let all = |expansion: &assay_api::expand::Expansion| -> Vec<String> {
        points(expansion).iter().map(|run| run.point.clone()).collect()
    };
    assert_eq!(all(&plain), all(&anchored));
}

#[test]
fn slots_are_the_devices_that_a_run_takes() {
    let expansion = expansion(&file("grid", "tokens: 1M, lr: {peak: 1}, devices: 2", "seed: [1]"));
    let slots: Vec<u32> = expansion.runs.iter().map(|run| run.slots).collect();
    assert_eq!(slots, [1, 1, 2]);
}

#[test]
fn ten_thousand_points_are_a_sweep() {
    let ten = |unit: &str| (1..=10).map(|n| format!("{n}{unit}")).collect::<Vec<_>>().join(", ");
    let axes = format!(
        "lr: [{}], warmup: [{}], mix.b: [{}], seed: [{}]",
        ten("e-3"),
        ten(" steps"),
        ten("%"),
        ten("")
    );
    let text = file("grid", "tokens: 1M, lr: {peak: 1e-3, warmup: 1 steps}", &axes);
    let text = text.replace("{a: 0.5, b: 0.5}", "{a: 95%, b: 5%}");
    assert_eq!(points(&expansion(&text)).len(), 10_000);
}
