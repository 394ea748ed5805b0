//! Every operation of a backend against its formula in f64, and every backward pass against finite
//! differences of that formula, on odd shapes.

mod bench;
mod block;
mod loss;
mod products;
mod update;
