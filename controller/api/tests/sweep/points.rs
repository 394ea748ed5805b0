//! Designs whose points are walked, written out or drawn.

use std::collections::{BTreeMap, BTreeSet};

use assay_api::expand::Expansion;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{expansion, file, points, train};

const TRAIN: &str = "tokens: 1M, lr: {peak: 1e-3}";

/// A file with `points:` or `exclude:` behind the axes.
fn with(text: &str, more: &str) -> String {
    format!("{text}{more}\n")
}

fn labels(expansion: &Expansion) -> Vec<&str> {
    points(expansion).iter().map(|run| run.label.as_str()).collect()
}

/// Labels in the order of the queue, without what is prepared.
fn queue(expansion: &Expansion) -> Vec<&str> {
    let mut runs = points(expansion);
    runs.sort_by_key(|run| run.order);
    runs.iter().map(|run| run.label.as_str()).collect()
}

fn random(n_points: u32, seed: u64, axes: &str) -> Expansion {
    expansion(&file(&format!("{{random: {{points: {n_points}, seed: {seed}}}}}"), TRAIN, axes))
}

/// What is drawn: every run but the base as written.
fn drawn(expansion: &Expansion) -> BTreeSet<&str> {
    let runs = points(expansion).into_iter().filter(|run| !run.is_baseline);
    runs.map(|run| run.label.as_str()).collect()
}

#[test]
fn zip_walks_its_axes_together_in_every_seed() {
    let axes = "lr: [1e-3, 1e-3, 3e-3], warmup: [0%, 2%, 0%], seed: [1, 2]";
    let expansion = expansion(&file("zip", TRAIN, axes));
    let expected = [
        "lr 1e-3 · warmup 0% · seed 1",
        "lr 1e-3 · warmup 0% · seed 2",
        "lr 1e-3 · warmup 2% · seed 1",
        "lr 1e-3 · warmup 2% · seed 2",
        "lr 3e-3 · warmup 0% · seed 1",
        "lr 3e-3 · warmup 0% · seed 2",
        "lr 1e-3 · warmup 40 steps · seed 1",
    ];
    assert_eq!(labels(&expansion), expected);
    assert!(points(&expansion)[6].is_baseline);
    assert_eq!(expansion.axes[0].values, [0.001, 0.003], "a value that stands twice is one");
}

#[test]
fn a_list_runs_what_is_written_and_the_rest_is_the_base_s() {
    let text = file("list", TRAIN, "seed: [1, 2]");
    let more = "points: [{lr: 3e-3, warmup: 0%}, {mix.b: 0.75, lr: 1e-4}, {train.lr.peak: 0.003}]";
    let expansion = expansion(&with(&text, more));
    let expected = [
        "seed 1 · lr 3e-3 · warmup 0% · mix.b 0.5",
        "seed 2 · lr 3e-3 · warmup 0% · mix.b 0.5",
        "seed 1 · lr 1e-4 · warmup 40 steps · mix.b 0.75",
        "seed 2 · lr 1e-4 · warmup 40 steps · mix.b 0.75",
        "seed 1 · lr 3e-3 · warmup 40 steps · mix.b 0.5",
        "seed 2 · lr 3e-3 · warmup 40 steps · mix.b 0.5",
        "seed 1 · lr 1e-3 · warmup 40 steps · mix.b 0.5",
    ];
    assert_eq!(labels(&expansion), expected);
    let third = points(&expansion)[2];
    assert_eq!((train(third).train.lr.peak, train(third).data.mixture["a"]), (1e-4, 0.25));
}

#[test]
fn a_point_of_a_list_may_have_its_own_seed() {
    let text = file("list", TRAIN, "").replace("axes: {}\n", "");
    let expansion =
        expansion(&with(&text, "points: [{lr: 3e-3, seed: 7}, {seed: 8}, {seed: 7}, {}]"));
    let seeds: Vec<u64> = points(&expansion).iter().map(|run| train(run).train.seed).collect();
    assert_eq!(seeds, [7, 8, 7, 1], "and an empty point is the base");
}

#[test]
fn a_list_that_names_one_point_twice_runs_it_once() {
    let text = file("list", TRAIN, "").replace("axes: {}\n", "");
    let expansion = expansion(&with(&text, "points: [{lr: 3e-3}, {lr: 0.003}, {lr: 1e-3}]"));
    assert_eq!(labels(&expansion), ["lr 3e-3", "lr 1e-3"]);
}

#[test]
fn ends_of_points_come_before_the_others_and_the_first_seed_before_the_second() {
    let axes = "lr: [3e-4, 1e-3, 3e-3], warmup: [2%, 1%, 0%], seed: [1, 2]";
    let expected = [
        "lr 1e-3 · warmup 40 steps · seed 1",
        "lr 3e-4 · warmup 2% · seed 1",
        "lr 3e-3 · warmup 0% · seed 1",
        "lr 1e-3 · warmup 1% · seed 1",
        "lr 3e-4 · warmup 2% · seed 2",
        "lr 1e-3 · warmup 1% · seed 2",
        "lr 3e-3 · warmup 0% · seed 2",
    ];
    assert_eq!(queue(&expansion(&file("zip", TRAIN, axes))), expected);
}

#[test]
fn exclude_holds_for_what_is_walked_or_listed() {
    let axes = "lr: [3e-4, 3e-3], warmup: [2%, 0%], seed: [1, 2]";
    let zip = with(&file("zip", TRAIN, axes), "exclude: [{lr: 3e-3, seed: 2}]");
    let left = [
        "lr 3e-4 · warmup 2% · seed 1",
        "lr 3e-4 · warmup 2% · seed 2",
        "lr 3e-3 · warmup 0% · seed 1",
    ];
    assert_eq!(labels(&expansion(&zip))[..3], left);
    let list = file("list", TRAIN, "").replace("axes: {}\n", "");
    let list = with(&list, "points: [{lr: 3e-3}, {warmup: 2%}]\nexclude: [{lr: 3e-3}]");
    assert_eq!(labels(&expansion(&list))[0], "lr 1e-3 · warmup 2%");
}

/// Worked out by another program from docs/sweep-file.md: the same file draws these for ever.
#[test]
fn what_a_file_draws_never_changes() {
    let grid =
        random(4, 1, "lr: [1e-4, 3e-4, 1e-3, 3e-3], warmup: [0%, 1%, 2%], mix.b: [0.25, 0.75]");
    assert_eq!(labels(&grid)[..4], GRID);
    let axes = "warmup: {uniform: [0%, 5%]}, lr: {log_uniform: [1e-5, 1e-3]}, train.lr.schedule: [wsd, cosine]";
    assert_eq!(labels(&random(4, 7, axes))[..4], RANGES);
}
const GRID: [&str; 4] = [
    "lr 3e-3 · warmup 2% · mix.b 0.75",
    "lr 1e-3 · warmup 2% · mix.b 0.75",
    "lr 3e-4 · warmup 0% · mix.b 0.75",
    "lr 3e-4 · warmup 1% · mix.b 0.75",
];
const RANGES: [&str; 4] = [
    "warmup 2.87% · lr 2.61e-4 · train.lr.schedule cosine",
    "warmup 3.81% · lr 1.59e-4 · train.lr.schedule wsd",
    "warmup 4.81% · lr 3.94e-4 · train.lr.schedule cosine",
    "warmup 1.01% · lr 4.46e-4 · train.lr.schedule cosine",
];

#[test]
fn every_drawn_point_comes_in_every_seed() {
    let expansion =
        random(5, 3, "lr: {log_uniform: [1e-5, 1e-3]}, mix.b: [0.25, 0.75], seed: [1, 2, 3]");
    let mut seeds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for run in points(&expansion).into_iter().filter(|run| !run.is_baseline) {
        let (point, _) = run.label.rsplit_once(" · ").unwrap();
        seeds.entry(point.to_owned()).or_default().push(train(run).train.seed);
    }
    assert_eq!(seeds.len(), 5);
    assert!(seeds.values().all(|seeds| *seeds == [1, 2, 3]), "{seeds:?}");
}

#[test]
fn a_value_that_was_drawn_stands_on_its_axis_in_order() {
    let expansion = random(50, 1, "lr: {log_uniform: [1e-5, 1e-3]}");
    let values: Vec<f64> =
        expansion.axes[0].values.iter().map(|value| value.as_f64().unwrap()).collect();
    assert!(values.is_sorted_by(|left, right| left < right), "{values:?}");
    assert!(values.iter().all(|value| (1e-5..=1e-3).contains(value)), "{values:?}");
    for run in points(&expansion).into_iter().filter(|run| !run.is_baseline) {
        assert!(values.contains(&train(run).train.lr.peak), "{}", run.label);
    }
}

#[test]
fn ten_thousand_points_can_be_drawn() {
    let axes =
        "lr: {log_uniform: [1e-6, 1]}, train.clip: {uniform: [0.5, 2]}, mix.b: {uniform: [0, 1]}";
    assert_eq!(drawn(&random(10_000, 1, axes)).len(), 10_000);
}

#[derive(Clone, Debug)]
struct Grid {
    lr: Vec<u64>,
    warmup: Vec<u64>,
    mix: Vec<u64>,
}

impl Grid {
    fn axes(&self) -> String {
        let list = |values: &[u64], unit: &str| {
            values.iter().map(|value| format!("{value}{unit}")).collect::<Vec<_>>().join(", ")
        };
        let (lr, warmup, mix) =
            (list(&self.lr, "e-3"), list(&self.warmup, " steps"), list(&self.mix, "%"));
        format!("lr: [{lr}], warmup: [{warmup}], mix.b: [{mix}]")
    }

    fn labels(&self) -> BTreeSet<String> {
        let mut labels = BTreeSet::new();
        for lr in &self.lr {
            for warmup in &self.warmup {
                for mix in &self.mix {
                    labels.insert(format!("lr {lr}e-3 · warmup {warmup} steps · mix.b {mix}%"));
                }
            }
        }
        labels
    }

    /// The draw as docs/sweep-file.md has it, with the whole grid written down and shuffled.
    fn shuffled(&self, seed: u64) -> Vec<String> {
        let mut all = Vec::new();
        // by path: data.mixture.b, train.lr.peak, train.lr.warmup
        for mix in &self.mix {
            for lr in &self.lr {
                for warmup in &self.warmup {
                    all.push(format!("lr {lr}e-3 · warmup {warmup} steps · mix.b {mix}%"));
                }
            }
        }
        for i in 0..all.len() {
            let rest = (all.len() - i) as u128;
            let j = i + usize::try_from((u128::from(word(seed, 0, i as u64)) * rest) >> 64)
                .expect("small");
            all.swap(i, j);
        }
        all
    }
}

fn word(seed: u64, stream: u64, counter: u64) -> u64 {
    let mut h = 0_u64;
    for key in [seed, stream, counter] {
        h = h.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ key;
        h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        h ^= h >> 31;
    }
    h
}

fn grids() -> impl Strategy<Value = Grid> {
    let axis = |to: u64| btree_set(1..to, 1..5).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    // the base's rate is 1e-3, its warmup 40 steps: not among them
    (axis(9), axis(30), axis(30)).prop_map(|(lr, warmup, mix)| Grid { lr, warmup, mix })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_draw_is_the_one_that_is_documented(grid in grids(), seed in 0..1_000_u64, part in 1..100_u32) {
        let all = grid.labels();
        let n_points = (u32::try_from(all.len()).unwrap() * part).div_ceil(100);
        let expansion = random(n_points, seed, &grid.axes());
        let expected = grid.shuffled(seed);
        let expected: BTreeSet<&str> = expected[..n_points as usize].iter().map(String::as_str).collect();
        prop_assert_eq!(drawn(&expansion), expected);
    }

    #[test]
    fn all_of_a_grid_can_be_drawn_and_nothing_else(grid in grids(), seed in any::<u32>()) {
        let all = grid.labels();
        let expansion = random(u32::try_from(all.len()).unwrap(), seed.into(), &grid.axes());
        prop_assert_eq!(drawn(&expansion), all.iter().map(String::as_str).collect::<BTreeSet<_>>());
    }

    #[test]
    fn more_points_keep_those_that_were_drawn(seed in 0..1_000_u64, few in 1..20_u32, more in 0..20_u32) {
        for axes in [
            "lr: [1, 2, 3, 4, 5, 6, 7], warmup: [0%, 1%, 2%, 3%, 4%, 5%]",
            "lr: {log_uniform: [1e-5, 1e-3]}, warmup: [0%, 1%, 2%, 3%, 4%, 5%]",
        ] {
            let (short, long) = (random(few, seed, axes), random(few + more, seed, axes));
            prop_assert!(drawn(&short).is_subset(&drawn(&long)));
            prop_assert_eq!(drawn(&long).len(), (few + more) as usize);
        }
    }

    #[test]
    fn the_order_of_axes_changes_no_draw(seed in 0..1_000_u64) {
        let axes = ["lr: {log_uniform: [1e-5, 1e-3]}", "warmup: [0%, 1%, 2%]", "mix.b: {uniform: [0, 1]}"];
        let hashes = |axes: &[&str]| -> BTreeSet<String> {
            random(6, seed, &axes.join(", ")).runs.into_iter().map(|run| run.point).collect()
        };
        prop_assert_eq!(hashes(&axes), hashes(&[axes[2], axes[0], axes[1]]));
    }

    #[test]
    fn what_is_excluded_is_not_drawn_and_the_others_take_its_place(seed in 0..1_000_u64) {
        let axes = "lr: [1, 2, 3, 4, 5], warmup: [0%, 1%, 2%, 3%, 4%]";
        let text = file(&format!("{{random: {{points: 15, seed: {seed}}}}}"), TRAIN, axes);
        let text = with(&text, "exclude: [{lr: 2}, {lr: 3, warmup: 1%}]");
        let expansion = expansion(&text);
        let drawn = drawn(&expansion);
        prop_assert_eq!(drawn.len(), 15);
        prop_assert!(!drawn.iter().any(|label| label.contains("lr 2 ") || *label == "lr 3 · warmup 1%"));
    }

    #[test]
    fn zip_and_list_say_the_same_in_two_ways(rows in vec((1..9_u64, 1..30_u64), 1..8)) {
        let column = |of: fn(&(u64, u64)) -> String| rows.iter().map(of).collect::<Vec<_>>().join(", ");
        let lr = column(|(lr, _)| format!("{lr}e-3"));
        let warmup = column(|(_, warmup)| format!("{warmup} steps"));
        let zip = file("zip", TRAIN, &format!("lr: [{lr}], warmup: [{warmup}]"));
        let listed = column(|(lr, warmup)| format!("{{lr: {lr}e-3, warmup: {warmup} steps}}"));
        let list = file("list", TRAIN, "").replace("axes: {}\n", "");
        let list = with(&list, &format!("points: [{listed}]"));
        let (zip, list) = (expansion(&zip), expansion(&list));
        prop_assert_eq!(&zip.runs, &list.runs);
        // and both are what was written, by itself
        let found: BTreeSet<(u64, u64)> = points(&zip)
            .iter()
            .filter(|run| !run.is_baseline)
            .map(|run| &train(run).train.lr)
            .map(|lr| (format!("{:.0}", lr.peak * 1e3).parse().unwrap(), lr.warmup_steps))
            .collect();
        prop_assert_eq!(found, rows.iter().copied().collect::<BTreeSet<_>>());
    }
}
