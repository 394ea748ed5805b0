//! Which tokens a sequence holds: exact shares, every window once an epoch, and nothing but a
//! function.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use assay_api::spec::{Heldout, PrepareSpec, Source, Tokenizer};
use assay_trainer::data::{BLOCK, Dataset, END_OF_DOCUMENT, Mixture, Sequence, prepare};
use proptest::prelude::*;
use tempfile::TempDir;

/// A source whose documents are numbers of different lengths: no two windows are alike.
fn dataset(folder: &TempDir, name: &str, documents: u64) -> Dataset {
    let path = folder.path().join(format!("{name}.txt"));
    let text: String = (0..documents).map(|i| format!("{name} {}\n\n", i * i * 7919)).collect();
    std::fs::write(&path, text).expect("a file");
    let spec = PrepareSpec {
        source: name.to_owned(),
        tokenizer: Tokenizer::Bytes,
        files: Source {
            path: path.to_string_lossy().into_owned(),
            field: "text".to_owned(),
            group_by: None,
            slices: Vec::new(),
        },
        heldout: Heldout { share: 0.0, tokens: 0 },
    };
    let out = folder.path().join(name);
    prepare(&spec, &out, &mut |_| ControlFlow::Continue(())).expect("a dataset");
    Dataset::open(&out).expect("complete")
}

struct Sources {
    _folder: TempDir,
    datasets: BTreeMap<String, Dataset>,
}

impl Sources {
    fn new(sizes: &[(&str, u64)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let entry =
            |(name, size): &(&str, u64)| ((*name).to_owned(), dataset(&folder, name, *size));
        let datasets = sizes.iter().map(entry).collect();
        Self { datasets, _folder: folder }
    }

    fn mixture(&self, shares: &[(&str, f64)], seed: u64, context: u32) -> Mixture<'_> {
        let datasets = self.datasets.iter().map(|(name, it)| (name.clone(), it)).collect();
        let shares = shares.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
        Mixture::new(&datasets, &shares, seed, context).expect("a mixture")
    }
}

fn count(sequences: impl Iterator<Item = Sequence>, sources: usize) -> Vec<u64> {
    let mut counts = vec![0; sources];
    sequences.for_each(|sequence| counts[sequence.source] += 1);
    counts
}

#[test]
fn each_block_holds_its_exact_counts() {
    let sources = Sources::new(&[("a", 90), ("b", 90), ("c", 90)]);
    let mixture = sources.mixture(&[("a", 0.5), ("b", 0.375), ("c", 0.125)], 3, 16);
    for block in [0, 1, 2, 1000] {
        let sequences = (block * BLOCK..(block + 1) * BLOCK).map(|i| mixture.sequence(i));
        assert_eq!(count(sequences, 3), [32, 24, 8]);
    }
}

#[test]
fn a_share_that_no_block_can_hold_is_exact_in_the_long_run() {
    let sources = Sources::new(&[("a", 90), ("b", 90), ("c", 90)]);
    let shares = [("a", 0.333), ("b", 0.666), ("c", 0.001)];
    let mixture = sources.mixture(&shares, 3, 16);
    let mut counted = vec![0; 3];
    for block in 0..400 {
        let sequences = (block * BLOCK..(block + 1) * BLOCK).map(|i| mixture.sequence(i));
        for (sum, n) in counted.iter_mut().zip(count(sequences, 3)) {
            *sum += n;
        }
        let seen = (block + 1) * BLOCK;
        assert_eq!(counted, mixture.counts(seen));
        for ((_, share), n) in shares.iter().zip(&counted) {
            assert!((share * seen as f64 - *n as f64).abs() < 1.5, "{counted:?} of {seen}");
        }
    }
    assert_eq!(counted.iter().sum::<u64>(), 400 * BLOCK);
    assert_eq!(counted[2], 26, "0.001 * 25600 = 25.6");
}

#[test]
fn an_epoch_shows_every_window_once_and_the_next_in_another_order() {
    let sources = Sources::new(&[("a", 100)]);
    let mixture = sources.mixture(&[("a", 1.0)], 5, 16);
    let windows = sources.datasets["a"].tokens_train() / 16;
    assert!(40 < windows);
    let epoch = |n: u64| -> Vec<Vec<u32>> {
        // A block's order is shuffled, so an epoch is told by the source's own count.
        let blocks = (windows * (n + 2)).div_ceil(BLOCK) * BLOCK;
        let targets: Vec<_> = (0..blocks).map(|i| mixture.sequence(i).targets).collect();
        let all: BTreeSet<_> = targets.iter().cloned().collect();
        assert_eq!(all.len() as u64, windows);
        targets
    };
    let shown = epoch(1);
    // After any number of whole blocks, no window was shown more than once more than another.
    let block = usize::try_from(BLOCK).unwrap();
    for blocks in 1..=shown.len() / block {
        let mut times: BTreeMap<&Vec<u32>, u64> = BTreeMap::new();
        let shown = &shown[..blocks * block];
        shown.iter().for_each(|window| *times.entry(window).or_default() += 1);
        let least = if times.len() as u64 == windows { *times.values().min().unwrap() } else { 0 };
        assert!(times.values().max().unwrap() - least <= 1, "{blocks} blocks");
    }
    // Windows begin where the one before ended: put in order, they are the stream.
    let stream = sources.mixture(&[("a", 1.0)], 9, u32::try_from(windows * 16).unwrap());
    let stream = stream.sequence(0).targets;
    let cut: BTreeSet<Vec<u32>> = stream.chunks(16).map(<[u32]>::to_vec).collect();
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), cut);
    assert!((mixture.epochs(windows * 3)["a"] - 3.0).abs() < 1e-12);
}

#[test]
fn another_seed_gives_another_order_and_the_same_seed_the_same() {
    let sources = Sources::new(&[("a", 400), ("b", 400)]);
    let shares = [("a", 0.5), ("b", 0.5)];
    let (one, again, other) = (
        sources.mixture(&shares, 1, 16),
        sources.mixture(&shares, 1, 16),
        sources.mixture(&shares, 2, 16),
    );
    let backwards: Vec<Sequence> = (0..300).rev().map(|i| again.sequence(i)).collect();
    let forwards: Vec<Sequence> = (0..300).map(|i| one.sequence(i)).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()), "random access, whatever came before");
    let same = (0..300).filter(|i| one.sequence(*i) == other.sequence(*i)).count();
    assert!(same < 10, "{same} of 300 sequences are the same");
    // Not the order within a block alone: other windows come first.
    let first = |mixture: &Mixture<'_>| -> BTreeSet<Vec<u32>> {
        (0..BLOCK).map(|i| mixture.sequence(i).targets).collect()
    };
    let shared = first(&one).intersection(&first(&other)).count();
    assert!(shared < 50, "{shared} of {BLOCK} windows are the same");
}

#[test]
fn a_source_keeps_its_order_whatever_it_is_mixed_with() {
    let sources = Sources::new(&[("a", 400), ("b", 400)]);
    let order = |shares: &[(&str, f64)]| -> BTreeSet<Vec<u32>> {
        let mixture = sources.mixture(shares, 1, 16);
        let place = mixture.names().position(|name| name == "b").expect("b is mixed in");
        let all = (0..4 * BLOCK).map(|i| mixture.sequence(i));
        all.filter(|it| it.source == place).take(32).map(|it| it.targets).collect()
    };
    let half = order(&[("a", 0.5), ("b", 0.5)]);
    let whole: BTreeSet<_> = {
        let mixture = sources.mixture(&[("a", 0.0), ("b", 1.0)], 1, 16);
        (0..BLOCK).map(|i| mixture.sequence(i).targets).collect()
    };
    assert!(half.is_subset(&whole), "the first windows of an arm are those of every arm");
}

#[test]
fn inputs_are_the_targets_one_place_before_and_documents_begin_behind_their_border() {
    let sources = Sources::new(&[("a", 60)]);
    let mixture = sources.mixture(&[("a", 1.0)], 1, 13);
    for i in 0..100 {
        let it = mixture.sequence(i);
        assert_eq!(it.inputs[1..], it.targets[..12]);
        assert_eq!(it.documents[0], 0);
        for place in 1..13 {
            let begins = u32::from(it.inputs[place] == END_OF_DOCUMENT);
            assert_eq!(it.documents[place] - it.documents[place - 1], begins);
        }
    }
}

#[test]
fn impossible_mixtures_are_refused() {
    let sources = Sources::new(&[("a", 2)]);
    let datasets = BTreeMap::from([("a".to_owned(), &sources.datasets["a"])]);
    let refuse = |name: &str, share: f64, context: u32| {
        let shares = BTreeMap::from([(name.to_owned(), share)]);
        Mixture::new(&datasets, &shares, 1, context).unwrap_err().to_string()
    };
    assert!(refuse("b", 1.0, 4).contains("no source `b`; there are: a"));
    assert!(refuse("a", 0.5, 4).contains("add up to 0.5"));
    assert!(refuse("a", f64::NAN, 4).contains("NaN"));
    assert!(refuse("a", 1.0, 4096).contains("fewer than one context of 4096"));
}

proptest! {
    #[test]
    fn counts_never_fall_and_always_add_up(
        weights in prop::collection::vec(0_u32..1000, 3),
        seed in any::<u64>(),
        start in 0_u64..1 << 40,
    ) {
        prop_assume!(0 < weights.iter().sum::<u32>());
        thread_local!(static SOURCES: Sources = Sources::new(&[("a", 9), ("b", 9), ("c", 9)]));
        SOURCES.with(|sources| {
            let sum = f64::from(weights.iter().sum::<u32>());
            let share = |place: usize| f64::from(weights[place]) / sum;
            let shares = [("a", share(0)), ("b", share(1)), ("c", share(2))];
            let mixture = sources.mixture(&shares, seed, 4);
            let mut before = mixture.counts(start);
            for n in start + 1..start + 200 {
                let counts = mixture.counts(n);
                assert_eq!(counts.iter().sum::<u64>(), n);
                let grown = counts.iter().zip(&before).map(|(now, then)| now - then);
                assert_eq!(grown.sum::<u64>(), 1, "one sequence more, of one source");
                before = counts;
            }
            let block = start / BLOCK * BLOCK;
            let expected: Vec<u64> = mixture
                .counts(block + BLOCK)
                .iter()
                .zip(mixture.counts(block))
                .map(|(after, before)| after - before)
                .collect();
            let sequences = (block..block + BLOCK).map(|i| mixture.sequence(i));
            assert_eq!(count(sequences, expected.len()), expected);
        });
    }
}
