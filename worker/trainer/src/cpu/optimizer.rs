//! `AdamW` over all parameters at once, and norms.

use super::threads::Threads;
use super::vector::{self, vectorized};
use crate::planned::{Rates, Squares};

/// Numbers that are summed in f32 before their sum goes on in f64.
const STRETCH: usize = 1024;

vectorized! {
    pub(super) fn square(values: &[f32]) -> f64 {
        vector::square(values)
    }
}

/// What one update multiplies by, computed in f64 once.
#[derive(Clone, Copy)]
struct Factors {
    grad: f32,
    beta1: f32,
    beta1_rest: f32,
    beta2: f32,
    beta2_rest: f32,
    /// 1 / (1 - beta^updates)
    first: f32,
    second: f32,
    eps: f32,
    /// 1 - lr * decay
    keep: f32,
    lr: f32,
}

impl Factors {
    #[expect(clippy::cast_possible_truncation, reason = "rates are applied in f32")]
    fn new(rates: &Rates, weight_decay: f64) -> Self {
        let Rates { beta1, beta2, eps, lr, .. } = *rates;
        let power = i32::try_from(rates.updates).unwrap_or(i32::MAX);
        Self {
            grad: rates.grad_scale as f32,
            beta1: beta1 as f32,
            beta1_rest: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            beta2_rest: (1.0 - beta2) as f32,
            first: (1.0 / (1.0 - beta1.powi(power))) as f32,
            second: (1.0 / (1.0 - beta2.powi(power))) as f32,
            eps: eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
            lr: lr as f32,
        }
    }
}

/// `values` and what belongs to each: weights, gradients, first and second moments. The first
/// `decayed` are. `partial` holds two sums for each thread.
pub(super) fn update(
    threads: &Threads,
    values: [&mut [f32]; 4],
    decayed: usize,
    rates: &Rates,
    partial: &mut [f64],
) -> Squares {
    let plain = Factors::new(rates, 0.0);
    let pulled = Factors::new(rates, rates.weight_decay);
    let len = values[0].len();
    let partial = &mut partial[..2 * threads.count()];
    threads.split_with(
        len,
        values.map(|values| (values, 1)),
        (partial, 2),
        |places, values, sums| {
            let border = decayed.clamp(places.start, places.end) - places.start;
            let [w, g, m, v] = values.map(|values| values.split_at_mut(border));
            let one = advance(w.0, g.0, m.0, v.0, pulled);
            let other = advance(w.1, g.1, m.1, v.1, plain);
            sums[0] = one.weights + other.weights;
            sums[1] = one.update + other.update;
        },
    );
    let mut squares = Squares::default();
    for sums in partial.chunks_exact(2) {
        squares.weights += sums[0];
        squares.update += sums[1];
    }
    squares
}

vectorized! {
    fn advance(w: &mut [f32], g: &mut [f32], m: &mut [f32], v: &mut [f32], by: Factors) -> Squares {
        let mut squares = Squares::default();
        let stretches = w.chunks_mut(STRETCH).zip(g.chunks_mut(STRETCH));
        let moments = m.chunks_mut(STRETCH).zip(v.chunks_mut(STRETCH));
        for ((w, g), (m, v)) in stretches.zip(moments) {
            let mut change = [0.0_f32; STRETCH];
            let change = &mut change[..w.len()];
            let places = w.iter_mut().zip(g).zip(m.iter_mut().zip(v)).zip(change.iter_mut());
            for (((w, g), (m, v)), change) in places {
                let grad = *g * by.grad;
                *m = by.beta1 * *m + by.beta1_rest * grad;
                *v = by.beta2 * *v + by.beta2_rest * grad * grad;
                let direction = *m * by.first / ((*v * by.second).sqrt() + by.eps);
                let updated = *w * by.keep - by.lr * direction;
                *change = updated - *w;
                *w = updated;
                *g = 0.0;
            }
            squares.update += vector::square(change);
            squares.weights += vector::square(w);
        }
        squares
    }
}
