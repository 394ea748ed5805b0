//! The engine that runs are trained with, on one NVIDIA GPU: [`Cuda`] is a
//! [`Backend`](assay_trainer::planned::Backend) in bf16, with exact f32 master weights where they fit, else with
//! updates that are rounded stochastically.
//!
//! One stream, one arena. Nothing of CUDA is needed to build or to start: the driver, NVRTC and cublasLt
//! are [loaded](library) when an engine is opened, and the kernels in `kernels/` are
//! [compiled](kernels) for the card that is there.
//!
//! **Invariant:** an operation that cannot be enqueued is remembered, and everything after it is left out,
//! until [`check`](assay_trainer::planned::Backend::check) says so.
//!
//! **Invariant:** the same batches give the same bits: no sum depends on the order in which blocks run.

mod argument;
mod attention;
mod backend;
mod batch;
mod device;
mod error;
mod kernels;
mod library;
mod nvidia;
mod product;
mod scratch;

use std::path::PathBuf;

use assay_trainer::by_name::ByName;
use assay_trainer::engine::{Engine, Settings};
use assay_trainer::model::Config;
use assay_trainer::planned::{Planned, Shape};
use assay_trainer::{Gpu, TrainError};

pub use backend::Cuda;
pub use device::{Argument, Card, Device, Driver, Function, Room};
pub use error::CudaError;
pub use kernels::{PRIMITIVES, SOURCES, Source, attention, compile};

/// Bytes for kernels and for what cublasLt and the driver keep of their own.
const MARGIN: usize = 512 << 20;

/// Opens engines on the first card that the driver shows.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    /// Where compiled kernels are kept, so that they need not be compiled again.
    pub kept_kernels: Option<PathBuf>,
}

impl Cards {
    /// An engine, with as much kept of the parameters' bits and of the forward pass as the card's free memory
    /// allows.
    ///
    /// # Errors
    /// There is no card or no driver, the memory does not suffice, or these are not the model's weights.
    pub fn engine(
        &self,
        config: &Config,
        settings: Settings,
        shape: &Shape,
        weights: &dyn ByName,
    ) -> anyhow::Result<Planned<Cuda>> {
        let device = Device::open(0, self.kept_kernels.clone())?;
        let Room { total, free } = device.room()?;
        let [total, free] = [total, free].map(|bytes| bytes.saturating_sub(MARGIN));
        let plan = Cuda::plan(config, shape, Room { total, free })?;
        let backend = Cuda::new(device, &plan, config)?;
        Planned::new(config, settings, plan, backend, weights)
    }
}

impl Gpu for Cards {
    fn open(
        &self,
        config: &Config,
        settings: Settings,
        shape: &Shape,
        weights: &dyn ByName,
    ) -> Result<Box<dyn Engine>, TrainError> {
        match self.engine(config, settings, shape, weights) {
            Ok(engine) => Ok(Box::new(engine)),
            Err(error) => {
                let is_final = error.downcast_ref().is_some_and(CudaError::is_final);
                Err(if is_final { TrainError::Gpu(error) } else { TrainError::Engine(error) })
            }
        }
    }
}
