//! What needs a card: `make test-gpu`. Without one these are left out.

mod bench;
mod engine;
mod golden;
mod operations;
