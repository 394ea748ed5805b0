//! What the tests stand on: the real router and store over a real Postgres, a pool that is a fake
//! with state, and workers that speak over HTTP like real ones.
#![forbid(unsafe_code)]

mod app;
pub mod bench;
mod books;
mod cluster;
mod corpus;
mod events;
mod machine;
mod pool;
mod port;
mod receiver;
mod worker;

pub use app::TestApp;
pub use books::{Books, until};
pub use cluster::{Cluster, Installation, OnNode};
pub use corpus::{Corpus, sweep};
pub use events::Events;
pub use machine::{Machine, Processes, program, signal};
pub use pool::FakePool;
pub use receiver::{Answer, Got, Receiver};
pub use worker::TestWorker;
