//! The metric store: a report is a row when it is acknowledged, its points join chunks and roll-ups
//! soon after, and readers put both together.
//!
//! - `fold` moves what a run has reported into chunks and rebuilds the roll-ups that they touch, in one
//!   transaction that holds the run: with the report that makes the tail too long, before a resume
//!   hides points, and for runs that have gone quiet.
//! - `read` answers charts and streams.
//! - `equal` answers what each run of a sweep had come to after the same number of tokens.
//! - `keep` is the small loop that folds what is left and throws folded reports away.
//!
//! **Invariant:** what is not folded of a series lies behind everything that is, and ascends: a report
//! that breaks this is folded at once. So a reader appends the tail, and has the series.

mod equal;
mod fold;
mod keep;
mod read;

pub use equal::at_equal_tokens;
pub use fold::{fold, hide};
pub use keep::{keep, run};
pub use read::{changed, query};

/// Reports of a run that are folded at once, at the latest: a reader of a chart reads so many rows of
/// each run, and a worker that reports twice a second fills them in a minute.
pub const TAIL_REPORTS: i64 = 128;
/// The same in bytes: 20 series with 1,300 points each.
pub const TAIL_BYTES: i64 = 256 << 10;
