//! Rotary positions, in place on the packed projections.

use super::threads::Threads;
use super::vector::vectorized;
use crate::planned::{Heads, Turn};

/// `table` holds a row of a head's width for each position: cosines, then sines.
pub(super) fn rotate(
    threads: &Threads,
    packed: &mut [f32],
    heads: Heads,
    (table, positions): (&[f32], &[u32]),
    turn: Turn,
) {
    let sign = match turn {
        Turn::Forward => 1.0,
        Turn::Back => -1.0,
    };
    threads.split(positions.len(), [(packed, heads.packed())], |rows, [packed]| {
        turned(packed, heads, table, &positions[rows], sign);
    });
}

vectorized! {
    fn turned(packed: &mut [f32], heads: Heads, table: &[f32], positions: &[u32], sign: f32) {
        let width = heads.width;
        let turned = (heads.queries + heads.keys) * width;
        for (row, position) in packed.chunks_exact_mut(heads.packed()).zip(positions) {
            let (cos, sin) = table[*position as usize * width..][..width].split_at(width / 2);
            for head in row[..turned].chunks_exact_mut(width) {
                let (low, high) = head.split_at_mut(width / 2);
                let pairs = low.iter_mut().zip(high).zip(cos.iter().zip(sin));
                for ((low, high), (cos, sin)) in pairs {
                    let sin = sign * sin;
                    let (x, y) = (*low, *high);
                    *low = x * cos - y * sin;
                    *high = y * cos + x * sin;
                }
            }
        }
    }
}
