//! Every operation of the CPU against the backend in f64, on odd shapes. What that one gives is held to numbers known
//! beforehand, and its backward passes to finite differences of its forward passes; the card's operations are held to it
//! as well.

mod bench;
mod block;
#[path = "../support/exact.rs"]
mod exact;
mod gradients;
mod known;
mod loss;
mod products;
mod update;
