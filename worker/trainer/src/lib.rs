//! Trains and evaluates one run. Read `train.rs`, then `reference/model.rs`, then `planned.rs`.
//!
//! A run is a function of its spec: which tokens a step sees is a function of (seed, step), the
//! first parameters are a function of (seed, name), and what else a step depends on lies in the
//! checkpoint. So a run that was stopped and resumed gives, bit for bit, the losses of one that
//! never stopped: with the same engine, the same thread count and the same processor model.
//!
//! **Invariant:** knows no HTTP, no SQL and no Kubernetes. The world enters through
//! [`watcher::Watcher`], and nothing in here reads a clock or the environment.
//!
//! **Invariant:** the loop knows no engine. What differs between engines lies behind
//! [`engine::Engine`], in host memory.
//!
//! **Invariant:** a checkpoint is complete or does not exist; see [`checkpoint`].
//!
//! **Invariant:** unsafe code stands in modules that say why: `memory` asks the allocator to keep what
//! it has, the data module maps files, and `cpu` shares slices among threads (`threads`), calls the
//! crate that multiplies (`product`), writes blocks of columns (`attention`) and calls what was
//! compiled for the processor it found (`vector`).

pub mod by_name;
pub mod checkpoint;
pub mod cpu;
pub mod data;
pub mod divergence;
pub mod engine;
pub mod evaluate;
pub mod hugging_face;
pub mod initial;
pub mod memory;
pub mod merge;
pub mod model;
mod moments;
mod open;
pub mod planned;
pub mod reference;
pub mod safetensors;
pub mod schedule;
pub mod score;
pub mod synth;
pub mod task;
pub mod train;
pub mod watcher;

pub use score::score;
pub use train::train;
pub use watcher::{
    Gpu, Inputs, Measurement, Outcome, Phase, Saved, Shorter, Stepped, TrainError, Watcher,
};

/// Raised there with every change in here that gives the same spec another result.
pub use assay_api::result_key::SEMANTICS;
