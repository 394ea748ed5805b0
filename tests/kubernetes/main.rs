//! Attempts on a real cluster: how they live, and how they die.
//!
//! `make test-kubernetes` runs these; `ASSAY_SKIP_KUBERNETES=1 make test` leaves them out. Each test
//! has a namespace of its own on one cluster that `tests/with-cluster` brought up; those that break
//! nodes or the API server have a cluster of theirs.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

/// So that `--skip kubernetes::` leaves them all out.
#[path = "."]
mod kubernetes {
    mod ends;
    mod life;
    mod nodes;
    mod pools;
    mod queue;
}
