//! Chance from a seed: the same on every machine, and in every later version.
//!
//! Counter-based: a word is a function of (seed, stream, counter) and of nothing that was drawn
//! before. Only whole numbers and the operations that IEEE 754 rounds exactly are used (`+`, `-`,
//! `*`, `/` and the square root), so that no library and no processor can move a bit.
//!
//! **Invariant:** what is drawn never changes: points of stored sweeps were drawn by it.

use std::collections::HashMap;

/// The increment and the mix of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable
/// pseudorandom number generators").
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64 random bits.
pub(crate) fn word(seed: u64, stream: u64, counter: u64) -> u64 {
    [seed, stream, counter]
        .into_iter()
        .fold(0, |hash: u64, key| mix(hash.wrapping_add(GAMMA) ^ key))
}

/// A number below `n` from a word: the upper half of their product. Off an even draw by `n` in
/// 2^64, which nobody can measure.
pub(crate) fn below(word: u64, n: u64) -> u64 {
    let product = u128::from(word) * u128::from(n);
    u64::try_from(product >> 64).expect("the upper half of 128 bits")
}

/// `ratio` to the power of the word's upper 32 bits read as a fraction: a product of square roots of
/// square roots, one for each bit that is set.
pub(crate) fn power(ratio: f64, word: u64) -> f64 {
    let (mut root, mut power) = (ratio, 1.0);
    for bit in (32..64).rev() {
        root = root.sqrt();
        if word >> bit & 1 == 1 {
            power *= root;
        }
    }
    power
}

/// The numbers below `n` in a random order: the shuffle of Fisher and Yates, of which only what has
/// moved is written down. The first of them do not depend on how many are taken.
#[derive(Debug)]
pub(crate) struct Shuffle {
    seed: u64,
    stream: u64,
    n: u64,
    next: u64,
    moved: HashMap<u64, u64>,
}

impl Shuffle {
    pub(crate) fn new(seed: u64, stream: u64, n: u64) -> Self {
        Self { seed, stream, n, next: 0, moved: HashMap::new() }
    }
}

impl Iterator for Shuffle {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let here = self.next;
        if here == self.n {
            return None;
        }
        self.next += 1;
        let there = here + below(word(self.seed, self.stream, here), self.n - here);
        let own = self.moved.remove(&here).unwrap_or(here);
        if there == here {
            return Some(own);
        }
        Some(self.moved.insert(there, own).unwrap_or(there))
    }
}

#[cfg(test)]
mod tests {
    use super::{Shuffle, below, power, word};

    /// Computed by a program of ten lines in another language, from the definition above.
    #[test]
    fn what_is_drawn_never_changes() {
        assert_eq!(word(0, 0, 0), WORDS[0]);
        assert_eq!(word(1, 0, 0), WORDS[1]);
        assert_eq!(word(1, 2, 3), WORDS[2]);
        assert_eq!(Shuffle::new(1, 0, 10).collect::<Vec<_>>(), SHUFFLE);
    }
    const WORDS: [u64; 3] = [0x2382_75BC_38FC_BE91, 0xFC04_2709_5604_21DA, 0xEABC_FA2C_623C_5A59];
    const SHUFFLE: [u64; 10] = [9, 8, 6, 7, 4, 3, 1, 2, 0, 5];

    #[test]
    fn a_shuffle_has_every_number_once_and_a_beginning_that_stays() {
        for seed in 0..50 {
            let mut all: Vec<u64> = Shuffle::new(seed, 7, 100).collect();
            assert_eq!(Shuffle::new(seed, 7, 100).take(30).collect::<Vec<_>>(), all[..30]);
            all.sort_unstable();
            assert_eq!(all, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_order_of_three_is_as_likely_as_the_others() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6_000 {
            let order: Vec<u64> = Shuffle::new(seed, 0, 3).collect();
            *counts.entry(order).or_insert(0_i32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // five standard deviations of 6,000 draws with chance 1/6
        for (order, count) in counts {
            assert!((count - 1_000).abs() < 5 * 29, "{order:?}: {count}");
        }
    }

    #[test]
    fn a_number_below_n_reaches_both_ends() {
        assert_eq!((below(0, 7), below(u64::MAX, 7)), (0, 6));
        assert_eq!(below(1 << 63, 10), 5);
    }

    #[test]
    fn a_power_is_what_mathematics_says() {
        for (word, exponent) in [(0, 0.0), (1 << 63, 0.5), (3 << 62, 0.75), (1 << 60, 0.0625)] {
            assert!((power(100.0, word) - 100_f64.powf(exponent)).abs() < 1e-12);
        }
        assert!((power(100.0, u64::MAX) - 100.0).abs() < 1e-6);
    }
}
