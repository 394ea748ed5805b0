//! Arithmetic on metric series: what counts when attempts overlap, how points are kept in bytes, and
//! how to draw a million of them.
//!
//! **Invariant:** pure. No I/O, no clock. NaN and infinities are values like others.
//! **Invariant:** roll-ups are a function of the points that count: rebuilt where something changed,
//! never incremented.
#![forbid(unsafe_code)]

mod bucket;
mod bytes;
mod downsample;
mod draw;
mod merge;
mod packed;
mod rollup;

pub use bucket::{Bucket, Point, gather, pack_buckets, unpack_buckets};
pub use bytes::Damaged;
pub use downsample::{Buckets, downsample};
pub use draw::{draw, narrower, width_for};
pub use merge::{Chunk, Points, merge};
pub use packed::{pack, unpack};
pub use rollup::{Levels, Piece, Row, narrowest, rebuild, rebuilt_from, row_of};
