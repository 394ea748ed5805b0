//! Arithmetic on metric series: what counts when attempts overlap, and how to draw a million points.
//!
//! **Invariant:** pure. No I/O, no clock. NaN and infinities are values like others.
#![forbid(unsafe_code)]

mod downsample;
mod merge;

pub use downsample::{Buckets, downsample};
pub use merge::{Chunk, Points, merge};
