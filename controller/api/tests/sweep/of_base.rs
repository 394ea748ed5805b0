//! Rates as ratios of what the base was trained with.

use serde_json::json;

use super::{errors, expansion, file, points, train};

fn from_folder(model: &str, peak: &str, axes: &str) -> String {
    file("grid", &format!("tokens: 1M, context: 256, lr: {{peak: {peak}}}"), axes)
        .replace("{preset: llama-1m}", &format!("{{{model}}}\n  tokenizer: bytes"))
}

/// Labels, and the rates that are stored.
fn rates(text: &str) -> Vec<(String, f64)> {
    let expansion = expansion(text);
    let rate = |run: &&assay_api::expand::PlannedRun| (run.label.clone(), train(run).train.lr.peak);
    points(&expansion).iter().map(rate).collect()
}

#[test]
fn the_label_has_the_ratio_and_the_spec_the_rate() {
    let text = from_folder(
        "from: /models/Llama-3.1-70B",
        "{of_base: 0.1}",
        "lr: {of_base: [0.03, 0.1, 1]}",
    );
    let expected = [("lr 0.03x", 4.5e-6), ("lr 0.1x", 1.5e-5), ("lr 1x", 1.5e-4)];
    assert_eq!(rates(&text), expected.map(|(label, rate)| (label.to_owned(), rate)));
    let expansion = expansion(&text);
    assert_eq!(expansion.axes[0].values, [json!("0.03x"), json!("0.1x"), json!("1x")]);
    let baseline = expansion.runs.iter().find(|run| run.is_baseline).unwrap();
    assert_eq!(baseline.axes["train.lr.peak"], json!("0.1x"));
}

#[test]
fn what_is_written_comes_before_what_is_known_and_is_no_part_of_the_point() {
    let own = from_folder(
        "from: /models/Llama-3.1-8B, pretraining_lr: 1e-3",
        "{of_base: 0.1}",
        "seed: [1]",
    );
    assert_eq!(rates(&own)[0].1, 1e-4);
    let plain = from_folder("from: /models/Llama-3.1-8B", "1e-4", "seed: [1]");
    assert_eq!(points(&expansion(&own))[0].point, points(&expansion(&plain))[0].point);
}

#[test]
fn a_ratio_and_its_rate_are_one_point() {
    // 0.1 times 3e-4 is 3.0000000000000004e-5 in doubles
    let text = from_folder("from: /models/Llama-3.1-8B", "3e-5", "lr: [{of_base: 0.1}, 1e-4]");
    let found = rates(&text);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], ("lr 0.1x".to_owned(), 3e-5));
}

#[test]
fn a_run_under_first_brings_its_own_peak() {
    let first = "first:\n  one: {model: {preset: llama-1m}, data: {sources: {c: {path: c.txt}}}, \
                 train: {tokens: 1M, lr: {peak: 2e-3}}}\n  \
                 two: {model: {run: one}, data: {sources: {c: {path: c.txt}}}, \
                 train: {tokens: 1M, lr: {peak: {of_base: 0.5}}}}\nbase:";
    let axes =
        "model: [{run: one}, {run: two}, {run: two, pretraining_lr: 1}], lr: {of_base: [0.1]}";
    let text = file("grid", "tokens: 1M, lr: {peak: {of_base: 0.5}}", axes)
        .replace("{preset: llama-1m}\n  data", "{run: two}\n  data")
        .replace("\nbase:", &format!("\n{first}"));
    let found: Vec<f64> = rates(&text).into_iter().map(|(_, rate)| rate).collect();
    // of 2e-3, of half of that, of what is written; and the base as written
    assert_eq!(found, [2e-4, 1e-4, 0.1, 5e-4]);
}

#[test]
fn ratios_can_be_drawn() {
    let text = from_folder(
        "from: /models/Llama-3.1-8B",
        "1e-5",
        "lr: {of_base: {log_uniform: [0.01, 1]}}",
    )
    .replace("design: grid", "design: {random: {points: 10}}");
    let found = rates(&text);
    assert_eq!(found.len(), 11);
    for (label, rate) in &found[..10] {
        let ratio: f64 =
            label.strip_prefix("lr ").unwrap().strip_suffix('x').unwrap().parse().unwrap();
        assert!((0.01..=1.0).contains(&ratio));
        assert!((rate - ratio * 3e-4).abs() < 1e-15, "{label}: {rate}");
    }
}

#[test]
fn ratios_can_be_excluded_as_they_are_written() {
    let text = from_folder("from: /models/Llama-3.1-8B", "1e-5", "lr: {of_base: [0.1, 1]}");
    let found = rates(&format!("{text}exclude: [{{lr: {{of_base: 1.0}}}}]\n"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].0, "lr 0.1x");
}

#[test]
fn a_ratio_of_nothing_says_what_to_write() {
    let text = from_folder("from: /models/mine", "{of_base: 0.1}", "seed: [1]");
    let message = errors(&text);
    assert!(
        message.contains("write `model: {from: /models/mine, pretraining_lr: 3e-4}`"),
        "{message}"
    );
}
