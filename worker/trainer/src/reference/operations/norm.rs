//! Root mean square normalization (1910.07467): y = gain x / sqrt(mean(x^2) + eps).

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::super::math::dot;
use super::{output, single, slice, tensor, view};

/// Normalizes each row.
pub(in super::super) fn rms_norm(x_nd: &Tensor, gain_d: &Tensor, eps: f64) -> Result<Tensor> {
    x_nd.apply_op2(gain_d, RmsNorm { eps: single(eps) })
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    /// 1 / the root mean square.
    #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
    fn scale(&self, x: &[f32]) -> f32 {
        1.0 / (dot(x, x) / x.len() as f32 + self.eps).sqrt()
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gain) = (slice(x, x_layout)?, slice(gain, gain_layout)?);
        let mut y = Vec::with_capacity(x.len());
        for x in x.chunks_exact(gain.len()) {
            let scale = self.scale(x);
            y.extend(x.iter().zip(gain).map(|(x, gain)| x * scale * gain));
        }
        Ok(output(y, x_layout.shape()))
    }

    /// With s the scale and u = gain dy: dx = s u - s^3 mean(u x) x, dgain = sum of dy s x.
    fn bwd(
        &self,
        x_nd: &Tensor,
        gain_d: &Tensor,
        _y_nd: &Tensor,
        dy_nd: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy_nd = dy_nd.contiguous()?;
        let (x, gain, dy) = (view(x_nd)?, view(gain_d)?, view(&dy_nd)?);
        let gain = gain.values();
        let d = gain.len();
        let mut dx = Vec::with_capacity(x.values().len());
        let mut dgain = vec![0.0; d];
        let mut u = vec![0.0; d];
        for (x, dy) in x.values().chunks_exact(d).zip(dy.values().chunks_exact(d)) {
            let scale = self.scale(x);
            for ((u, dgain), ((x, dy), gain)) in
                u.iter_mut().zip(&mut dgain).zip(x.iter().zip(dy).zip(gain))
            {
                *u = gain * dy;
                *dgain += dy * scale * x;
            }
            #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
            let pull = scale * scale * scale * dot(&u, x) / d as f32;
            dx.extend(u.iter().zip(x).map(|(u, x)| scale * u - pull * x));
        }
        Ok((Some(tensor(dx, x_nd.shape())?), Some(tensor(dgain, gain_d.shape())?)))
    }
}
