//! Files that a run reads, damaged at random: a clear error, or what was written. Nothing here may panic,
//! and nothing else than what was written may be read without a word.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

mod checkpoints;
mod datasets;
mod models;
mod tasks;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What can happen to a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Garbage(Vec<u8>),
    Double,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    let block = || prop_oneof![vec(any::<u8>(), 1..40), (1..40_usize).prop_map(|n| vec![0; n])];
    prop_oneof![
        2 => index().prop_map(Damage::Cut),
        6 => (index(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (index(), block()).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        2 => (index(), block()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => vec(any::<u8>(), 0..200).prop_map(Damage::Garbage),
        1 => Just(Damage::Double),
    ]
}

impl Damage {
    fn of(&self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let place = |index: &Index| index.index(whole.len().max(1));
        match self {
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Flip(at, bit) => {
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Overwrite(at, with) => {
                let at = place(at).min(bytes.len());
                bytes[at..].iter_mut().zip(with).for_each(|(old, new)| *old = *new);
            }
            Self::Insert(at, with) => {
                let at = place(at).min(bytes.len());
                bytes.splice(at..at, with.iter().copied());
            }
            Self::Garbage(with) => bytes.clone_from(with),
            Self::Double => bytes.extend_from_slice(whole),
        }
        bytes
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}
