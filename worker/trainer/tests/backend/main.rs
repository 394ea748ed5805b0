//! Every operation of a backend against its formula in f64, and every backward pass against finite
//! differences of that formula, on odd shapes: the CPU's, and those in f64 that the card's are held to.

mod bench;
mod block;
#[path = "../support/exact.rs"]
mod exact;
mod loss;
mod products;
mod update;
