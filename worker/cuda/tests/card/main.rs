//! The backend on a card. Where none is, its operations are tested on one that is emulated, and the rest is left
//! out: `make test-gpu`.

mod bench;
mod chance;
mod emulated;
mod engine;
#[path = "../../../trainer/tests/support/exact.rs"]
mod exact;
#[path = "../../../../tests/golden/golden.rs"]
mod golden;
mod operations;
mod pytorch;
