//! What needs a card: `make test-gpu`. Without one these are left out.

mod bench;
mod chance;
mod engine;
#[path = "../../../../tests/golden/golden.rs"]
mod golden;
mod operations;
mod pytorch;
