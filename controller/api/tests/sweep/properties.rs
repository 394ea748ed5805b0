//! Random designs against a product written down independently, over plain numbers.

use std::collections::BTreeSet;

use assay_api::expand::Expansion;
use assay_api::spec::RunSpec;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{expansion, points, train};

/// A choice: thousandths of the rate, steps of warmup, hundredths of source b, thousands of tokens
/// per batch in contexts, seed.
type Choice = [u64; 5];

const SHORT: [&str; 5] = ["lr", "warmup", "mix.b", "train.batch", "seed"];

#[derive(Clone, Debug)]
struct Plan {
    is_grid: bool,
    base: Choice,
    /// Values of each axis; empty: no such axis.
    axes: [Vec<u64>; 5],
    /// Each excludes the choices that have these values: (axis, index of the value).
    exclude: Vec<Vec<(usize, usize)>>,
}

fn written(axis: usize, value: u64) -> String {
    match axis {
        0 => format!("{value}e-3"),
        1 => format!("{value} steps"),
        2 => format!("{value}%"),
        3 => (value * 256).to_string(),
        _ => value.to_string(),
    }
}

impl Plan {
    fn text(&self) -> String {
        let base = self.base;
        let mut text = format!(
            "assay: v1\nsweep: random\ndesign: {}\nbase:\n  model: {{preset: llama-1m}}\n  data:\n    \
             sources: {{a: {{path: a.txt}}, b: {{path: b.txt}}}}\n    mixture: {{a: {}%, b: {}%}}\n  \
             train: {{tokens: 1M, batch: {}, seed: {}, lr: {{peak: {}, warmup: {}}}}}\naxes:\n",
            if self.is_grid { "grid" } else { "one_at_a_time" },
            100 - base[2],
            base[2],
            written(3, base[3]),
            base[4],
            written(0, base[0]),
            written(1, base[1]),
        );
        for (axis, values) in self.axes.iter().enumerate().filter(|(_, values)| !values.is_empty())
        {
            let values: Vec<String> = values.iter().map(|value| written(axis, *value)).collect();
            text += &format!("  {}: [{}]\n", SHORT[axis], values.join(", "));
        }
        if self.axes.iter().all(Vec::is_empty) {
            text = text.replace("axes:\n", "");
        }
        for (index, matches) in self.exclusions().iter().enumerate() {
            let head = if index == 0 { "exclude:\n" } else { "" };
            let matches: Vec<String> = matches
                .iter()
                .map(|(axis, value)| format!("{}: {}", SHORT[*axis], written(*axis, *value)))
                .collect();
            text += &format!("{head}  - {{{}}}\n", matches.join(", "));
        }
        text
    }

    /// As axis and value, without those whose axis is not there.
    fn exclusions(&self) -> Vec<Vec<(usize, u64)>> {
        let value = |(axis, index): &(usize, usize)| {
            let values = &self.axes[*axis];
            (!values.is_empty()).then(|| (*axis, values[index % values.len()]))
        };
        let mut exclusions = Vec::new();
        for matches in &self.exclude {
            let mut seen = BTreeSet::new();
            let matches: Vec<(usize, u64)> =
                matches.iter().filter_map(value).filter(|(axis, _)| seen.insert(*axis)).collect();
            if !matches.is_empty() {
                exclusions.push(matches);
            }
        }
        exclusions
    }

    /// Every choice that must be there, by five nested loops.
    fn expected(&self) -> BTreeSet<Choice> {
        let exclusions = self.exclusions();
        let is_excluded = |choice: &Choice| {
            exclusions.iter().any(|all| all.iter().all(|(axis, value)| choice[*axis] == *value))
        };
        let or_base = |axis: usize| {
            let mut values = self.axes[axis].clone();
            if values.is_empty() || !self.is_grid && axis != 4 {
                values.push(self.base[axis]);
            }
            values
        };
        let mut choices = BTreeSet::new();
        for lr in or_base(0) {
            for warmup in or_base(1) {
                for mix in or_base(2) {
                    for batch in or_base(3) {
                        for seed in or_base(4) {
                            let choice = [lr, warmup, mix, batch, seed];
                            let n_changed = (0..4).filter(|axis| choice[*axis] != self.base[*axis]);
                            if (self.is_grid || n_changed.count() <= 1) && !is_excluded(&choice) {
                                choices.insert(choice);
                            }
                        }
                    }
                }
            }
        }
        choices.insert(self.base);
        choices
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn found(expansion: &Expansion) -> Vec<Choice> {
    let choice = |spec: &assay_api::spec::TrainSpec| {
        let (train, b) = (&spec.train, spec.data.mixture["b"]);
        assert!((spec.data.mixture["a"] + b - 1.0).abs() < 1e-9);
        [
            (train.lr.peak * 1e3).round() as u64,
            train.lr.warmup_steps,
            (b * 100.0).round() as u64,
            train.batch / 256,
            train.seed,
        ]
    };
    let runs = expansion.runs.iter();
    runs.filter_map(|run| match &run.spec {
        RunSpec::Train(spec) => Some(choice(spec)),
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => None,
    })
    .collect()
}

fn plans() -> impl Strategy<Value = Plan> {
    let axis = |from: u64, to: u64| {
        prop_oneof![
            Just(Vec::new()),
            btree_set(from..to, 1..4).prop_map(|set| set.into_iter().collect())
        ]
    };
    let exclusion = vec((0_usize..5, 0_usize..4), 1..3);
    let small = (1_u64..6, 0_u64..5, 0_u64..5, 1_u64..5, 1_u64..5)
        .prop_map(|(lr, warmup, mix, batch, seed)| [lr, warmup, 20 + mix, batch, seed]);
    let axes = (axis(1, 6), axis(0, 5), axis(20, 25), axis(1, 5), axis(1, 5))
        .prop_map(|(lr, warmup, mix, batch, seed)| [lr, warmup, mix, batch, seed]);
    (any::<bool>(), small, axes, vec(exclusion, 0..3))
        .prop_map(|(is_grid, base, axes, exclude)| Plan { is_grid, base, axes, exclude })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_point_is_missing_and_none_is_there_twice(plan in plans()) {
        let expansion = expansion(&plan.text());
        let found = found(&expansion);
        let expected = plan.expected();
        prop_assert_eq!(&found.iter().copied().collect::<BTreeSet<_>>(), &expected);
        prop_assert_eq!(found.len(), expected.len());
        let hashes: BTreeSet<&str> = expansion.runs.iter().map(|run| run.point.as_str()).collect();
        prop_assert_eq!(hashes.len(), expansion.runs.len());
    }

    #[test]
    fn the_same_file_gives_the_same_runs(plan in plans()) {
        prop_assert_eq!(expansion(&plan.text()), expansion(&plan.text()));
    }

    #[test]
    fn the_order_of_axes_in_the_file_changes_no_point(plan in plans(), turn in 0_usize..5) {
        let hashes = |text: &str| -> BTreeSet<String> {
            expansion(text).runs.into_iter().map(|run| run.point).collect()
        };
        let text = plan.text();
        let mut lines: Vec<&str> = text.lines().collect();
        let is_axis = |line: &&str| SHORT.iter().any(|short| line.starts_with(&format!("  {short}: [")));
        let at: Vec<usize> = (0..lines.len()).filter(|at| is_axis(&lines[*at])).collect();
        if let (Some(first), Some(last)) = (at.first(), at.last()) {
            lines[*first..=*last].rotate_left(turn % at.len());
            lines[*first..=*last].reverse();
        }
        prop_assert_eq!(hashes(&text), hashes(&lines.join("\n")));
    }

    #[test]
    fn the_queue_is_a_permutation_and_needs_come_first(plan in plans()) {
        let runs = expansion(&plan.text()).runs;
        let orders: BTreeSet<usize> = runs.iter().map(|run| run.order as usize).collect();
        prop_assert_eq!(orders, (0..runs.len()).collect::<BTreeSet<_>>());
        for (index, run) in runs.iter().enumerate() {
            let needs: BTreeSet<&usize> = run.needs.iter().collect();
            prop_assert_eq!(needs.len(), run.needs.len(), "each is named once");
            for need in &run.needs {
                prop_assert!(*need < index);
                prop_assert!(runs[*need].order < run.order);
            }
        }
        prop_assert_eq!(runs.iter().filter(|run| run.is_baseline).count(), 1);
    }

    #[test]
    fn every_spec_survives_json(plan in plans()) {
        for run in expansion(&plan.text()).runs {
            let json = serde_json::to_string(&run.spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), run.spec);
        }
    }

    #[test]
    fn what_a_run_says_of_its_axes_is_what_it_trains(plan in plans()) {
        let expansion = expansion(&plan.text());
        for run in points(&expansion) {
            for (path, value) in &run.axes {
                let spec = train(run);
                let expected = match path.as_str() {
                    "train.lr.peak" => serde_json::json!(spec.train.lr.peak),
                    "train.lr.warmup" => serde_json::json!(format!("{} steps", spec.train.lr.warmup_steps)),
                    "data.mixture.b" => serde_json::json!(spec.data.mixture["b"]),
                    "train.batch" => serde_json::json!(spec.train.batch),
                    _ => serde_json::json!(spec.train.seed),
                };
                prop_assert_eq!(value, &expected);
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:{}\\[\\] \n\t*&<!%0-9.,\"'|>-]{0,120}") {
        let errors = assay_api::sweep::parse(&text).expect_err("no such text is a sweep");
        prop_assert!(!errors.is_empty());
    }
}
