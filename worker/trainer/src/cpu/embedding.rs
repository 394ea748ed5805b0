//! Rows of a table by token, and the gradient's way back.

use super::threads::Threads;

pub(super) fn forward(
    threads: &Threads,
    table: &[f32],
    inputs: &[u32],
    x: &mut [f32],
    width: usize,
) {
    threads.split(inputs.len(), [(x, width)], |rows, [x]| {
        for (x, input) in x.chunks_exact_mut(width).zip(&inputs[rows]) {
            x.copy_from_slice(&table[*input as usize * width..][..width]);
        }
    });
}

/// Each thread has some rows of the table, and goes through all tokens for them: every row is summed
/// in the order of the tokens, whatever the number of threads.
pub(super) fn backward(
    threads: &Threads,
    dx: &[f32],
    inputs: &[u32],
    dtable: &mut [f32],
    width: usize,
) {
    let vocabulary = dtable.len() / width;
    threads.split(vocabulary, [(dtable, width)], |rows, [dtable]| {
        for (dx, input) in dx.chunks_exact(width).zip(inputs) {
            let input = *input as usize;
            if rows.contains(&input) {
                let into = &mut dtable[(input - rows.start) * width..][..width];
                for (into, dx) in into.iter_mut().zip(dx) {
                    *into += dx;
                }
            }
        }
    });
}
