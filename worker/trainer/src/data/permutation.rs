//! Pseudo-random order without a table: a permutation that can be asked for any one place.

/// Rounds of the Feistel network. Four are enough to look random (Luby and Rackoff); two more cost
/// nothing beside a training step.
const ROUNDS: u64 = 6;

/// A permutation of `0..size`, another for each key.
///
/// A Feistel network permutes the smallest power of four that is not below the size. Where it leaves
/// the range it is applied again until it comes back: the cycle that it walks returns at the latest
/// at its start, and takes fewer than four steps on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    size: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    pub(crate) fn new(size: u64, key: u64) -> Self {
        assert!(0 < size, "nothing to permute");
        let bits = (size - 1).checked_ilog2().map_or(0, |log| log + 1);
        Self { size, half_bits: bits.div_ceil(2).max(1), key }
    }

    /// What stands at a place.
    pub(crate) fn at(&self, place: u64) -> u64 {
        assert!(place < self.size, "place {place} of {}", self.size);
        let mut value = self.network(place);
        while self.size <= value {
            value = self.network(value);
        }
        value
    }

    fn network(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            let scrambled = mix(mix(self.key ^ round) ^ right) & mask;
            (left, right) = (right, left ^ scrambled);
        }
        left << self.half_bits | right
    }
}

/// A number that looks unrelated to the one given: the finalizer of `SplitMix64`.
pub(crate) fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::{Permutation, mix};

    #[test]
    fn mixing_is_splitmix64() {
        // The first two outputs of the published generator seeded with 1234567.
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(
            mix(1_234_567_u64.wrapping_add(0x9e37_79b9_7f4a_7c15)),
            3_203_168_211_198_807_973
        );
    }

    #[test]
    fn every_size_gives_a_permutation() {
        for size in (1..70).chain([1000, 4096, 4097]) {
            for key in 0..5 {
                let permutation = Permutation::new(size, key);
                let mut seen: Vec<u64> = (0..size).map(|place| permutation.at(place)).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..size), "size {size}, key {key}");
            }
        }
    }

    #[test]
    fn every_place_is_about_equally_likely() {
        // 6000 keys put the first of six into each place about 1000 times; the standard deviation is
        // sqrt(6000 * 1/6 * 5/6) = 29, and five of them are 145.
        let mut counts = [0_u32; 6];
        for key in 0..6000 {
            counts[usize::try_from(Permutation::new(6, mix(key)).at(0)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 145), "{counts:?}");
    }
}
