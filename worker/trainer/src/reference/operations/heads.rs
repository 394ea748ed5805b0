//! From a row of heads to heads of rows, rotated on the way, and back.
//!
//! The rotation (2104.09864) pairs value i of a head with value i + e/2, as Hugging Face's weights
//! expect it. It is orthogonal: its backward pass is the opposite rotation.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{output, slice, tensor, view};

/// Rows, context, heads, head width.
type Dims = [usize; 4];

/// How far each pair is turned at each position.
#[derive(Clone, Debug)]
pub(in super::super) struct Angles {
    pub(in super::super) positions_bt: Arc<[u32]>,
    /// Row p: the cosine of each pair's angle at position p.
    pub(in super::super) cos: Arc<[f32]>,
    pub(in super::super) sin: Arc<[f32]>,
}

/// (n, h e) to (b, h, t, e), turned.
pub(in super::super) fn split_heads(
    x_nh: &Tensor,
    dims: Dims,
    angles: Option<&Angles>,
) -> Result<Tensor> {
    x_nh.apply_op1(SplitHeads { dims, angles: angles.cloned() })
}

/// (b, h, t, e) to (n, h e).
pub(in super::super) fn join_heads(y_bhte: &Tensor, dims: Dims) -> Result<Tensor> {
    y_bhte.apply_op1(JoinHeads { dims })
}

struct SplitHeads {
    dims: Dims,
    angles: Option<Angles>,
}

impl CustomOp1 for SplitHeads {
    fn name(&self) -> &'static str {
        "split-heads"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [b, t, h, e] = self.dims;
        let mut y = split(slice(x, layout)?, self.dims);
        if let Some(angles) = &self.angles {
            turn(&mut y, self.dims, angles, 1.0);
        }
        Ok(output(y, (b, h, t, e)))
    }

    fn bwd(&self, x_nh: &Tensor, _y: &Tensor, dy_bhte: &Tensor) -> Result<Option<Tensor>> {
        let dy_bhte = dy_bhte.contiguous()?;
        let dy = view(&dy_bhte)?;
        let dx = if let Some(angles) = &self.angles {
            let mut turned = dy.values().to_vec();
            turn(&mut turned, self.dims, angles, -1.0);
            join(&turned, self.dims)
        } else {
            join(dy.values(), self.dims)
        };
        Ok(Some(tensor(dx, x_nh.shape())?))
    }
}

struct JoinHeads {
    dims: Dims,
}

impl CustomOp1 for JoinHeads {
    fn name(&self) -> &'static str {
        "join-heads"
    }

    fn cpu_fwd(&self, y: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [b, t, h, e] = self.dims;
        Ok(output(join(slice(y, layout)?, self.dims), (b * t, h * e)))
    }

    fn bwd(&self, y_bhte: &Tensor, _x: &Tensor, dx_nh: &Tensor) -> Result<Option<Tensor>> {
        let dx_nh = dx_nh.contiguous()?;
        let dy = split(view(&dx_nh)?.values(), self.dims);
        Ok(Some(tensor(dy, y_bhte.shape())?))
    }
}

fn split(x: &[f32], [b, t, h, e]: Dims) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for row in 0..b {
        for head in 0..h {
            for at in 0..t {
                let from = ((row * t + at) * h + head) * e;
                y.extend_from_slice(&x[from..from + e]);
            }
        }
    }
    y
}

fn join(y: &[f32], [b, t, h, e]: Dims) -> Vec<f32> {
    let mut x = Vec::with_capacity(y.len());
    for row in 0..b {
        for at in 0..t {
            for head in 0..h {
                let from = ((row * h + head) * t + at) * e;
                x.extend_from_slice(&y[from..from + e]);
            }
        }
    }
    x
}

/// Turns (b, h, t, e) in place, by the angles times `direction`.
fn turn(y: &mut [f32], [_, t, h, e]: Dims, angles: &Angles, direction: f32) {
    for (at, y) in y.chunks_exact_mut(e).enumerate() {
        let (row, at) = (at / (h * t), at % t);
        let from = angles.positions_bt[row * t + at] as usize * (e / 2);
        let (cos, sin) = (&angles.cos[from..from + e / 2], &angles.sin[from..from + e / 2]);
        let (first, second) = y.split_at_mut(e / 2);
        for ((first, second), (cos, sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
            let sin = sin * direction;
            (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
        }
    }
}
