//! Which tokens sequence `i` holds: a pure function of (datasets, shares, seed, context, `i`).
//!
//! Sequences come in blocks of [`BLOCK`]. How many of a block each source gives is exact: after any
//! number of sequences, what a source has given differs from its share by less than a sequence or
//! two, and the difference never adds up. Within a block the order is shuffled. Each source's own
//! order is a pseudo-random permutation of its windows, another in each epoch.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::dataset::Dataset;
use super::error::DataError;
use super::permutation::{Permutation, mix};
use super::split::Split;
use super::tokenize::END_OF_DOCUMENT;
use super::{IGNORED, Sequence};

/// Sequences of one block: small, so that short runs are near their shares too.
pub const BLOCK: u64 = 64;

/// Shares are whole multiples of 2^-32 of what the sources before have left.
const SHARE_BITS: u32 = 32;

/// How far shares may be from adding up to 1: what decimal fractions lose.
const SHARE_TOLERANCE: f64 = 1e-6;

#[derive(Debug)]
pub struct Mixture<'a> {
    sources: Vec<Source<'a>>,
    seed: u64,
    context: u32,
}

#[derive(Debug)]
struct Source<'a> {
    name: String,
    train: &'a Split,
    /// Whole windows of `context` tokens in the training stream.
    windows: u64,
    /// Its part of what the sources before it have left, times 2^32.
    part: u64,
    key: u64,
}

impl<'a> Mixture<'a> {
    /// Shares name datasets and add up to 1; a dataset without a share, or with share 0, is not used.
    pub fn new(
        datasets: &BTreeMap<String, &'a Dataset>,
        shares: &BTreeMap<String, f64>,
        seed: u64,
        context: u32,
    ) -> Result<Self, DataError> {
        check(datasets, shares)?;
        if context == 0 {
            return Err(DataError::Mixture("a context of 0 tokens holds nothing".to_owned()));
        }
        let mut left: f64 = shares.values().sum();
        let mut sources = Vec::new();
        for (name, share) in shares.iter().filter(|(_, share)| 0.0 < **share) {
            let train = &datasets[name].train;
            let windows = train.size.tokens / u64::from(context);
            if windows == 0 {
                return Err(DataError::Mixture(format!(
                    "source `{name}` has {} training tokens, fewer than one context of {context}; \
                     give it more data, or lower train.context",
                    train.size.tokens
                )));
            }
            let part = fixed(share / left);
            left -= share;
            let key = mix(seed ^ name_key(name));
            sources.push(Source { name: name.clone(), train, windows, part, key });
        }
        // Rounding must leave nothing to a source that does not exist.
        sources.last_mut().expect("shares add up to 1").part = 1 << SHARE_BITS;
        Ok(Self { sources, seed, context })
    }

    /// The sources that are used, in the order of [`Sequence::source`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.name.as_str())
    }

    /// How many of the first `sequences` each source gives, in the order of the names.
    ///
    /// The first source gets its share, rounded; the second its share of the rest; and so on. The
    /// rest grows with `sequences` by 0 or 1, and so does each rounded share of it: no count ever
    /// falls, and the counts always add up.
    #[must_use]
    pub fn counts(&self, sequences: u64) -> Vec<u64> {
        let mut rest = sequences;
        let count = |source: &Source<'_>| {
            let product = u128::from(rest) * u128::from(source.part);
            let rounded = (product + (1 << (SHARE_BITS - 1))) >> SHARE_BITS;
            let count = u64::try_from(rounded).expect("at most the rest");
            rest -= count;
            count
        };
        self.sources.iter().map(count).collect()
    }

    /// How often the first `sequences` go through each source, by name.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "epochs are shown, not counted with")]
    pub fn epochs(&self, sequences: u64) -> BTreeMap<String, f64> {
        let counts = self.counts(sequences);
        let epochs = self.sources.iter().zip(counts);
        epochs.map(|(it, count)| (it.name.clone(), count as f64 / it.windows as f64)).collect()
    }

    /// Sequence `i`.
    #[must_use]
    pub fn sequence(&self, i: u64) -> Sequence {
        let (source, nth) = self.choose(i);
        let it = &self.sources[source];
        let (epoch, place) = (nth / it.windows, nth % it.windows);
        let window = Permutation::new(it.windows, mix(it.key ^ epoch)).at(place);
        window_of(it.train, window, self.context, source)
    }

    /// Which source gives sequence `i`, and how many it has given before.
    fn choose(&self, i: u64) -> (usize, u64) {
        let (block, place) = (i / BLOCK, i % BLOCK);
        let before = self.counts(block * BLOCK);
        let after = self.counts((block + 1) * BLOCK);
        let mut slot = Permutation::new(BLOCK, mix(mix(self.seed) ^ block)).at(place);
        for (source, (before, after)) in before.into_iter().zip(after).enumerate() {
            if slot < after - before {
                return (source, before + slot);
            }
            slot -= after - before;
        }
        unreachable!("the counts of a block add up to its size")
    }
}

fn check(
    datasets: &BTreeMap<String, &Dataset>,
    shares: &BTreeMap<String, f64>,
) -> Result<(), DataError> {
    for (name, share) in shares {
        if !datasets.contains_key(name) {
            let known: Vec<&str> = datasets.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Err(DataError::Mixture(format!("no source `{name}`; there are: {known}")));
        }
        if !(0.0..=1.0).contains(share) {
            return Err(DataError::Mixture(format!("the share of `{name}` is {share}, not 0..=1")));
        }
    }
    let sum: f64 = shares.values().sum();
    if SHARE_TOLERANCE < (sum - 1.0).abs() {
        return Err(DataError::Mixture(format!("the shares add up to {sum}, not to 1")));
    }
    Ok(())
}

/// A part of 0..=1 in units of 2^-32.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=2^32")]
fn fixed(part: f64) -> u64 {
    (part.clamp(0.0, 1.0) * f64::from(SHARE_BITS).exp2()).round() as u64
}

/// Another source, another order, whatever the other sources are called.
fn name_key(name: &str) -> u64 {
    let digest = Sha256::digest(name);
    u64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

/// The window's tokens are the targets; its inputs are the tokens one place before. Before the first
/// token of all stands the end of a document that is not there.
fn window_of(train: &Split, window: u64, context: u32, source: usize) -> Sequence {
    let begin = window * u64::from(context);
    let targets: Vec<u32> = train.tokens(begin..begin + u64::from(context)).collect();
    let before = begin.checked_sub(1);
    let first = before.and_then(|at| train.tokens(at..begin).next()).unwrap_or(END_OF_DOCUMENT);
    let inputs: Vec<u32> =
        std::iter::once(first).chain(targets.iter().copied()).take(targets.len()).collect();
    let documents = documents_of(train, begin, targets.len());
    debug_assert!(!targets.contains(&IGNORED), "a token is never the mark of none");
    Sequence { inputs, targets, documents, source }
}

/// The document of each target, counted from the window's first.
fn documents_of(train: &Split, begin: u64, length: usize) -> Vec<u32> {
    let mut document = train.document_at(begin);
    let mut end = train.document(document).end;
    let mut number = 0;
    let mut documents = Vec::with_capacity(length);
    for at in (begin..).take(length) {
        if at == end {
            document += 1;
            end = train.document(document).end;
            number += 1;
        }
        documents.push(number);
    }
    documents
}
