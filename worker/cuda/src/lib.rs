//! The engine that runs are trained with, on one NVIDIA GPU: [`Cuda`] is a
//! [`Backend`](assay_trainer::planned::Backend) in bf16 with exact f32 master weights.
//!
//! One stream, one arena. Nothing of CUDA is needed to build or to start: the driver, NVRTC and cublasLt
//! are [loaded](library) when an engine is opened, and the kernels in `kernels/` are
//! [compiled](kernels) for the card that is there.
//!
//! **Invariant:** an operation that cannot be enqueued is remembered, and everything after it is left out,
//! until [`check`](assay_trainer::planned::Backend::check) says so.
//!
//! **Invariant:** the same batches give the same bits: no sum depends on the order in which blocks run.

mod backend;
mod batch;
mod device;
mod error;
mod kernels;
mod library;
mod product;

use std::path::PathBuf;

use assay_trainer::engine::{Settings, Tensors};
use assay_trainer::model::Config;
use assay_trainer::planned::{Backend as _, Plan, Planned, Shape};

pub use backend::Cuda;
pub use device::{Card, Device};
pub use error::CudaError;
pub use kernels::{SOURCES, Source, compile};

/// The engine on a card, with as much kept of the forward pass as its free memory allows. Compiled kernels are
/// kept in a folder, if one is given.
///
/// # Errors
/// There is no card or no driver, the memory does not suffice, or these are not the model's weights.
pub fn open(
    config: &Config,
    settings: Settings,
    shape: &Shape,
    limit: Option<usize>,
    weights: &Tensors,
    kept_kernels: Option<PathBuf>,
) -> anyhow::Result<Planned<Cuda>> {
    let device = Device::open(0, kept_kernels)?;
    let free = device.free_memory()?;
    let limit = limit.map_or(free, |limit| limit.min(free));
    let plan = Plan::within(config, shape, Cuda::needs(config, shape), Some(limit))?;
    let backend = Cuda::new(device, &plan, config)?;
    Planned::new(config, settings, plan, backend, weights)
}
