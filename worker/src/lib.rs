//! The process that runs one attempt: fetch, train, evaluate, report, exit.
//!
//! `agent` is the life of an attempt, `recorder` turns what the trainer says into reports,
//! `portion` makes them fit, `spool` keeps them on disk until they are acknowledged, `reporter` sends them. `supervise` is the small
//! parent of a local worker; `by_hand` trains from a JSON spec without any controller.
//!
//! **Invariant:** training never waits for the network, and never fails because of it.
//!
//! **Invariant:** knows no SQL and no Kubernetes. Reads the environment in `config` alone.
#![forbid(unsafe_code)]

pub mod agent;
pub mod by_hand;
pub mod card;
pub mod clock;
pub mod config;
pub mod data;
pub mod memory;
pub mod plan;
pub mod portion;
pub mod recorder;
pub mod reporter;
pub mod spool;
pub mod stopwatch;
pub mod supervise;
pub mod usage;
