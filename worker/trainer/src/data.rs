//! Data: what a run reads, from a user's file to one sequence.
//!
//! [`prepare()`] tokenizes a source once, splits off the held-out documents and writes a folder that
//! can be memory-mapped. [`Dataset`] opens such a folder. [`Mixture`] says which tokens sequence `i`
//! of a run holds. Nothing here has state: a resumed run asks for sequence `i` and gets the same
//! tokens.
//!
//! The training stream of a source is its training documents one after another, each followed by
//! [`END_OF_DOCUMENT`]. Read as an input, that token opens the next document: it predicts the first
//! token, and the last token predicts it. So every token of the stream is a target exactly once, and
//! no target needs to look across a border.

mod dataset;
mod draft;
mod error;
mod fingerprint;
mod heldout;
mod map;
mod mixture;
mod nearest;
mod permutation;
mod prepare;
mod reader;
mod split;
mod tokenize;

pub use dataset::Dataset;
pub use error::DataError;
pub use fingerprint::{Manifest, SplitSize};
pub use heldout::HeldoutSequence;
pub use mixture::{BLOCK, Mixture};
pub use prepare::{Prepared, Progress, prepare};
pub use tokenize::{END_OF_DOCUMENT, decode, encode, vocabulary_size};

pub(crate) use fingerprint::hex;
pub(crate) use nearest::nearest;
pub(crate) use permutation::{Permutation, mix};

/// A target that is not scored.
pub const IGNORED: u32 = u32::MAX;

/// What an engine is given: `inputs[j]` and all before it in the same document predict `targets[j]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub inputs: Vec<u32>,
    /// [`IGNORED`] where nothing is scored.
    pub targets: Vec<u32>,
    /// Positions with the same number belong to one document; the numbers ascend from 0.
    pub documents: Vec<u32>,
    /// Which source it comes from: its place in [`Mixture::names`]; 0 outside a mixture.
    pub source: usize,
}
