//! `SwiGLU`, forward and backward.

use super::threads::Threads;
use super::vector::{sigmoid, vectorized};

pub(super) fn forward(threads: &Threads, packed: &[f32], hidden: &mut [f32], ffn: usize) {
    threads.split(hidden.len() / ffn, [(hidden, ffn)], |rows, [hidden]| {
        open(&packed[rows.start * 2 * ffn..rows.end * 2 * ffn], hidden, ffn);
    });
}

vectorized! {
    fn open(packed: &[f32], hidden: &mut [f32], ffn: usize) {
        for (packed, hidden) in packed.chunks_exact(2 * ffn).zip(hidden.chunks_exact_mut(ffn)) {
            let (gate, up) = packed.split_at(ffn);
            for ((hidden, gate), up) in hidden.iter_mut().zip(gate).zip(up) {
                *hidden = gate * sigmoid(*gate) * up;
            }
        }
    }
}

pub(super) fn backward(threads: &Threads, packed: &mut [f32], dhidden: &mut [f32], ffn: usize) {
    let slices = [(packed, 2 * ffn), (dhidden, ffn)];
    let rows = slices[1].0.len() / ffn;
    threads.split(rows, slices, |_, [packed, dhidden]| back(packed, dhidden, ffn));
}

vectorized! {
    fn back(packed: &mut [f32], dhidden: &mut [f32], ffn: usize) {
        let rows = packed.chunks_exact_mut(2 * ffn).zip(dhidden.chunks_exact_mut(ffn));
        for (packed, dhidden) in rows {
            let (gate, up) = packed.split_at_mut(ffn);
            for ((hidden, gate), up) in dhidden.iter_mut().zip(gate).zip(up) {
                let (share, dhidden) = (sigmoid(*gate), *hidden);
                let silu = *gate * share;
                *hidden = silu * *up;
                *gate = dhidden * *up * (share * (1.0 - silu) + silu);
                *up = dhidden * silu;
            }
        }
    }
}
