//! Chance that is a function: the same names give the same throws, on every machine.

use crate::data::mix;

#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of their own for whatever these numbers name together.
    pub(super) fn new(names: &[u64]) -> Self {
        Self(names.iter().fold(0, |state, name| mix(state ^ mix(*name))))
    }

    /// A number of `0..sides`.
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The high half of the product is uniform but for sides / 2^64.
        let product = u128::from(mix(self.0)) * u128::from(sides);
        u64::try_from(product >> 64).expect("less than the sides")
    }

    /// A number of `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(super) fn place<T>(&mut self, list: &[T]) -> usize {
        usize::try_from(self.below(list.len() as u64)).expect("a place in a list")
    }

    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.place(list)]
    }

    /// Whether something happens that happens in so many cases of a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.place(&list[..=last]);
            list.swap(last, other);
        }
    }
}
