//! Operations with their backward passes, on slices.
//!
//! Written from candle's own operations, each of these is five to ten passes over memory forward and
//! more backward; here it is one. `tests` compares every one with that composition.

mod attention;
mod heads;
mod loss;
mod norm;
mod swiglu;
#[cfg(test)]
mod tests;

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Device, Error, Layout, Result, Shape, Storage, Tensor};

pub(super) use attention::{Attended, attention_weights};
pub(super) use heads::{Angles, join_heads, split_heads};
pub(super) use loss::{Weights, cross_entropy, log_likelihoods};
pub(super) use norm::rms_norm;
pub(super) use swiglu::swiglu;

/// The values of a contiguous f32 tensor on the CPU, without a copy.
pub(super) struct View<G> {
    storage: G,
    range: Range<usize>,
}

impl<G: Deref<Target = Storage>> View<G> {
    pub(super) fn values(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            Storage::Cpu(_) | Storage::Cuda(_) | Storage::Metal(_) => {
                unreachable!("checked when the view was made")
            }
        }
    }
}

pub(super) fn view(tensor: &Tensor) -> Result<View<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = contiguous(layout)?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => {}
        Storage::Cpu(_) | Storage::Cuda(_) | Storage::Metal(_) => {
            return Err(Error::Msg("not an f32 tensor on the CPU".to_owned()));
        }
    }
    Ok(View { storage, range })
}

/// The same in a forward pass.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    Ok(&storage.as_slice::<f32>()?[contiguous(layout)?])
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::Msg(format!("not contiguous: {layout:?}")))?;
    Ok(start..end)
}

fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

fn tensor(values: Vec<f32>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// `value` as f32, where f64 holds more than is needed.
#[expect(clippy::cast_possible_truncation, reason = "tensors are f32")]
fn single(value: f64) -> f32 {
    value as f32
}
