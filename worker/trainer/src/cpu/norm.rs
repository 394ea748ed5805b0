//! `RMSNorm` with the residual before it, forward and backward.

use std::ops::Range;

use super::threads::Threads;
use super::vector::{dot, dot3, vectorized};

/// stream = before + delta, then y = stream scale gain.
pub(super) fn forward(
    threads: &Threads,
    before: Option<(&[f32], &[f32])>,
    (stream, y, scale): (&mut [f32], &mut [f32], &mut [f32]),
    gain: &[f32],
    eps: f32,
) {
    let (n, width) = (scale.len(), gain.len());
    let slices = [(stream, width), (y, width), (scale, 1)];
    threads.split(n, slices, |rows, [stream, y, scale]| {
        if let Some((before, delta)) = before {
            let part = rows.start * width..rows.end * width;
            add(stream, &before[part.clone()], &delta[part]);
        }
        normalize(stream, y, scale, gain, eps);
    });
}

vectorized! {
    fn add(stream: &mut [f32], before: &[f32], delta: &[f32]) {
        for ((stream, before), delta) in stream.iter_mut().zip(before).zip(delta) {
            *stream = before + delta;
        }
    }
}

vectorized! {
    fn normalize(stream: &[f32], y: &mut [f32], scales: &mut [f32], gain: &[f32], eps: f32) {
        let width = gain.len();
        let rows = stream.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(scales);
        for ((x, y), scale) in rows {
            *scale = 1.0 / (dot(x, x) / count(width) + eps).sqrt();
            for ((y, x), gain) in y.iter_mut().zip(x).zip(gain) {
                *y = x * *scale * gain;
            }
        }
    }
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) stream: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) gain: &'a [f32],
}

/// `partial` holds a row of the gain's gradient for each thread.
pub(super) fn backward(
    threads: &Threads,
    seen: Seen<'_>,
    (dy, dx, is_sum): (&mut [f32], &mut [f32], bool),
    dgain: &mut [f32],
    partial: &mut [f32],
) {
    let (n, width) = (seen.scale.len(), seen.gain.len());
    let count = threads.count();
    let partial = &mut partial[..count * width];
    partial.fill(0.0);
    threads.split_with(n, [(dy, width), (dx, width)], (partial, width), |rows, [dy, dx], own| {
        back(seen, &rows, dy, dx, own, is_sum);
    });
    for own in partial.chunks_exact(width) {
        for (dgain, own) in dgain.iter_mut().zip(own) {
            *dgain += own;
        }
    }
}

vectorized! {
    fn back(
        seen: Seen<'_>,
        rows: &Range<usize>,
        dy: &mut [f32],
        dx: &mut [f32],
        dgain: &mut [f32],
        is_sum: bool,
    ) {
        let width = seen.gain.len();
        let gain = &seen.gain[..width];
        let dgain = &mut dgain[..width];
        let lines = dy.chunks_exact_mut(width).zip(dx.chunks_exact_mut(width));
        for (row, (dy, dx)) in rows.clone().zip(lines) {
            let x = &seen.stream[row * width..][..width];
            let scale = seen.scale[row];
            // g = dy gain; the mean of g x^
            let mean = dot3(dy, gain, x) * scale / count(width);
            let places = dy.iter_mut().zip(dx).zip(x).zip(gain).zip(dgain.iter_mut());
            for ((((dy, dx), x), gain), dgain) in places {
                let normal = x * scale;
                *dgain += *dy * normal;
                let before = if is_sum { *dx } else { 0.0 };
                *dx = before + scale * (*dy * gain - normal * mean);
                *dy = normal * gain;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows are shorter than 2^24")]
#[inline(always)]
fn count(of: usize) -> f32 {
    of as f32
}
