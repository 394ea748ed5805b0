//! `AdamW` over all parameters at once, and norms.

use super::threads::Threads;
use super::vector::{self, vectorized};
use crate::planned::{Factors, Rates, Squares};

/// Numbers that are summed in f32 before their sum goes on in f64.
const STRETCH: usize = 1024;

vectorized! {
    pub(super) fn square(values: &[f32]) -> f64 {
        vector::square(values)
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
    let plain = rates.factors(0.0);
    let pulled = rates.factors(rates.weight_decay);
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
