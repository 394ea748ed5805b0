//! The gate of the feed-forward layer (2002.05202): y = gate sigmoid(gate) up.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::super::math::exp;
use super::{output, slice, tensor, view};

pub(in super::super) fn swiglu(gate_nf: &Tensor, up_nf: &Tensor) -> Result<Tensor> {
    gate_nf.apply_op2(up_nf, SwiGlu)
}

struct SwiGlu;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slice(gate, gate_layout)?, slice(up, up_layout)?);
        let y = gate.iter().zip(up).map(|(gate, up)| gate * sigmoid(*gate) * up).collect();
        Ok(output(y, gate_layout.shape()))
    }

    /// With s = sigmoid(gate): dgate = dy up s (1 + gate (1 - s)), dup = dy gate s.
    fn bwd(
        &self,
        gate_nf: &Tensor,
        up_nf: &Tensor,
        _y_nf: &Tensor,
        dy_nf: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy_nf = dy_nf.contiguous()?;
        let (gate, up, dy) = (view(gate_nf)?, view(up_nf)?, view(&dy_nf)?);
        let (gate, up, dy) = (gate.values(), up.values(), dy.values());
        let mut dgate = vec![0.0; gate.len()];
        let mut dup = vec![0.0; gate.len()];
        let places = dgate.iter_mut().zip(&mut dup).zip(gate.iter().zip(up).zip(dy));
        for ((dgate, dup), ((gate, up), dy)) in places {
            let s = sigmoid(*gate);
            *dgate = dy * up * s * (1.0 + gate * (1.0 - s));
            *dup = dy * gate * s;
        }
        Ok((Some(tensor(dgate, gate_nf.shape())?), Some(tensor(dup, up_nf.shape())?)))
    }
}
