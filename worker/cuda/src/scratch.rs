//! The plan's workspace, cut up: what operations need beside the arena's regions.

use assay_trainer::model::Config;
use assay_trainer::planned::{Heads, SCORED_TOKENS, Shape};
use cudarc::driver::sys::CUdeviceptr;

use crate::batch::OnDevice;
use crate::product;

/// Blocks that sum up parameters: some for every multiprocessor.
pub(crate) const SUMMING: usize = 1024;
/// Blocks that go back through a normalization.
pub(crate) const NORM_BLOCKS: usize = 264;
/// Numbers on their way between host and arena at a time.
pub(crate) const STAGED: usize = 4 << 20;
const ALIGN: usize = 256;

/// Parts of the plan's workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch {
    /// Two sums of losses, in f64.
    pub(crate) losses: CUdeviceptr,
    /// Two sums, in f64.
    pub(crate) sums: CUdeviceptr,
    pub(crate) batch: CUdeviceptr,
    /// Whatever one operation needs.
    pub(crate) free: CUdeviceptr,
}

impl Scratch {
    pub(crate) fn new(begin: CUdeviceptr, tokens: usize) -> Self {
        let losses = begin + product::WORKSPACE as CUdeviceptr;
        let (sums, batch) = (losses + ALIGN as CUdeviceptr, losses + 2 * ALIGN as CUdeviceptr);
        let free = batch + OnDevice::bytes(tokens).next_multiple_of(ALIGN) as CUdeviceptr;
        Self { losses, sums, batch, free }
    }

    /// Bytes of all, for batches of such a shape.
    pub(crate) fn bytes(config: &Config, shape: &Shape) -> usize {
        let tokens = (shape.rows * shape.context).max(shape.longest).max(SCORED_TOKENS);
        let heads = Heads::of(config);
        let free = [
            STAGED * size_of::<f32>(),
            2 * SUMMING * size_of::<f64>(),
            NORM_BLOCKS * config.width * size_of::<f32>(),
            tokens * heads.queries * size_of::<f32>(),
            2 * tokens * size_of::<f32>(),
        ];
        let fixed = product::WORKSPACE + 2 * ALIGN;
        fixed
            + OnDevice::bytes(tokens).next_multiple_of(ALIGN)
            + free.into_iter().max().unwrap_or(0)
    }
}
