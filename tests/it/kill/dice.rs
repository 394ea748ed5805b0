//! Chance from a seed: `SplitMix64`, whose numbers are the same on every machine.

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 1 to `sides`.
    pub(super) fn throw(&mut self, sides: u64) -> u64 {
        1 + self.next() % sides
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let sides = u64::try_from(all.len()).ok().filter(|sides| 0 < *sides)?;
        let at = usize::try_from(self.throw(sides) - 1).ok()?;
        all.get(at).copied()
    }
}
