//! Matrix products whose operands are rounded to bf16 (nearest, ties to even) and whose sums are f32,
//! by the instruction that adds two products at a time to each of 16 sums (`vdpbf16ps`, AVX512-BF16).
//!
//! Blocked as `GotoBLAS` is (Goto and van de Geijn, 10.1145/1356052.1356053): a panel of `b` stays in the
//! first cache while panels of `a` stream past it from the second. Operands are rounded while they are
//! packed. Two neighbors along the depth lie in one u32: a pair.

use std::arch::x86_64::{
    __m512bh, __m512i, __mmask16, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};

use super::{View, ViewMut};
use crate::planned::Onto;

mod pack;

/// Of a tile: 24 sums of 16 numbers, two stretches of `b` and one number of `a` fill the 32 registers
/// but for a few.
const ROWS: usize = 12;
const COLUMNS: usize = 2 * LANES;
/// Numbers in a register, and pairs.
const LANES: usize = 16;
/// Depth of a block: a panel of `b` takes 16 KiB, half of the first cache.
const DEPTH: usize = 256;
const PAIRS: usize = DEPTH / 2;
/// Rows of a block of `a`: 120 KiB, some of the second cache.
const TALL: usize = 20 * ROWS;
/// Columns of a block of `b`: 512 KiB.
const WIDE: usize = 32 * COLUMNS;

/// What one thread packs into.
pub(crate) const SCRATCH: usize = (TALL + WIDE) * PAIRS;

/// Whether this processor has the instructions.
pub(crate) fn is_here() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

/// out (+)= a b, in the calling thread, with `SCRATCH` numbers to pack into.
///
/// # Panics
/// If the shapes do not fit together, or the processor lacks the instructions.
pub(crate) fn product(out: ViewMut<'_>, onto: Onto, a: View<'_>, b: View<'_>, scratch: &mut [u32]) {
    assert!(
        a.columns == b.rows && out.rows == a.rows && out.columns == b.columns,
        "({}, {}) times ({}, {}) into ({}, {})",
        a.rows,
        a.columns,
        b.rows,
        b.columns,
        out.rows,
        out.columns
    );
    assert!(is_here() && SCRATCH <= scratch.len(), "an engine is opened where it can run");
    if a.columns == 0 && onto == Onto::Fresh {
        let mut out = out;
        (0..out.rows).for_each(|row| out.row(row).fill(0.0));
        return;
    }
    // SAFETY: the instructions are there, and the views' constructors have checked that all their
    // numbers lie in their slices.
    unsafe { blocks(&out, onto, a, b, scratch) }
}

/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn blocks(out: &ViewMut<'_>, onto: Onto, a: View<'_>, b: View<'_>, scratch: &mut [u32]) {
    let (packed_a, packed_b) = scratch.split_at_mut(TALL * PAIRS);
    for left in (0..out.columns).step_by(WIDE) {
        let width = (out.columns - left).min(WIDE);
        for from in (0..a.columns).step_by(DEPTH) {
            let depth = (a.columns - from).min(DEPTH);
            let block = b.block(from, depth, left, width);
            // SAFETY: as the caller's, as all below.
            unsafe { pack::columns(block, packed_b) };
            for top in (0..out.rows).step_by(TALL) {
                let height = (out.rows - top).min(TALL);
                let block = a.block(top, height, from, depth);
                unsafe { pack::rows(block, packed_a) };
                let tiles = Tiles {
                    // SAFETY: the block lies in the output.
                    first: unsafe { out.first.add(top * out.row_stride + left) },
                    stride: out.row_stride,
                    height,
                    width,
                    pairs: depth.div_ceil(2),
                    is_sum: onto == Onto::Sum || 0 < from,
                };
                // how `a` was packed
                if block.column_stride == 1 {
                    unsafe { tiles.fill::<PAIRS, 1>(packed_a, packed_b) };
                } else {
                    unsafe { tiles.fill::<1, ROWS>(packed_a, packed_b) };
                }
            }
        }
    }
}

/// A block of the output.
struct Tiles {
    first: *mut f32,
    stride: usize,
    height: usize,
    width: usize,
    pairs: usize,
    is_sum: bool,
}

impl Tiles {
    /// A pair of `a` lies `ROW` numbers from the one below it, and `PAIR` from the next along the depth.
    ///
    /// # Safety
    /// The processor has the instructions, the block is the caller's, and both are packed.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    unsafe fn fill<const ROW: usize, const PAIR: usize>(&self, a: &[u32], b: &[u32]) {
        for left in (0..self.width).step_by(COLUMNS) {
            let b = &b[left * PAIRS..][..COLUMNS * PAIRS];
            for top in (0..self.height).step_by(ROWS) {
                let a = &a[top * PAIRS..][..ROWS * PAIRS];
                // SAFETY: as the caller's; the tile lies in the block.
                unsafe { self.tile::<ROW, PAIR>(a, b, top, left) };
            }
        }
    }

    /// # Safety
    /// As of [`Tiles::fill`]; both panels are whole, and the tile begins in the block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    unsafe fn tile<const ROW: usize, const PAIR: usize>(
        &self,
        a: &[u32],
        b: &[u32],
        top: usize,
        left: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
        for _ in 0..self.pairs {
            // SAFETY: a panel holds `PAIRS` pairs of each of its lines, and `pairs` is no more.
            let (near, far) = unsafe { (pairs(b), pairs(b.add(LANES))) };
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let one = unsafe { all(*a.add(row * ROW)) };
                sums[0] = _mm512_dpbf16_ps(sums[0], one, near);
                sums[1] = _mm512_dpbf16_ps(sums[1], one, far);
            }
            a = a.wrapping_add(PAIR);
            b = b.wrapping_add(COLUMNS);
        }
        let (height, width) = (self.height - top, self.width - left);
        let masks = [first_lanes(width), first_lanes(width.saturating_sub(LANES))];
        for (row, sums) in sums.iter().enumerate() {
            if row < height {
                let at = self.first.wrapping_add((top + row) * self.stride + left);
                for (half, sum) in sums.iter().enumerate() {
                    let at = at.wrapping_add(half * LANES);
                    // SAFETY: what is masked away is not touched, and the rest lies in the block.
                    unsafe {
                        let before = if self.is_sum {
                            _mm512_maskz_loadu_ps(masks[half], at)
                        } else {
                            _mm512_setzero_ps()
                        };
                        _mm512_mask_storeu_ps(at, masks[half], _mm512_add_ps(*sum, before));
                    }
                }
            }
        }
    }
}

/// 16 pairs.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs(at: *const u32) -> __m512bh {
    // SAFETY: as the caller's; both types are 512 bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(at.cast())) }
}

/// One pair, 16 times.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn all(pair: u32) -> __m512bh {
    // SAFETY: both types are 512 bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair.cast_signed())) }
}

/// So many lanes of a register, from the first on.
#[inline]
fn first_lanes(count: usize) -> __mmask16 {
    if count < LANES { (1 << count) - 1 } else { __mmask16::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest bf16, ties to even, by its bits.
    fn rounded(value: f32) -> f64 {
        let bits = value.to_bits();
        let up = 0x7fff + ((bits >> 16) & 1);
        f64::from(f32::from_bits(bits.wrapping_add(up) & 0xffff_0000))
    }

    /// Against sums in f64 of the rounded operands, on shapes around every edge of tiles and blocks, in
    /// every orientation.
    #[test]
    fn products_are_sums_of_products_of_rounded_numbers() {
        if !is_here() {
            return; // `tests/planned.rs` sees that such a processor is refused
        }
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        };
        let mut scratch = vec![0x7fc0_7fc0; SCRATCH]; // NaN: nothing of it may be seen
        for (m, n, k) in [
            (1, 1, 1),
            (5, 7, 3),
            (13, 33, 65),
            (12, 32, 256),
            (100, 70, 300),
            (241, 17, 513),
            (30, 1030, 40),
            (3, 5, 0),
        ] {
            let a: Vec<f32> = (0..m * k).map(|_| next()).collect();
            let b: Vec<f32> = (0..k * n).map(|_| next()).collect();
            let turned = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                let at = |place: usize| values[place % rows * columns + place / rows];
                (0..rows * columns).map(at).collect()
            };
            let (a_turned, b_turned) = (turned(&a, m, k), turned(&b, k, n));
            for onto in [Onto::Sum, Onto::Fresh] {
                for (a_is_turned, b_is_turned) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let mut out = vec![2.0; m * n];
                    let a_view = if a_is_turned {
                        View::new(&a_turned, k, m, m).transposed()
                    } else {
                        View::new(&a, m, k, k)
                    };
                    let b_view = if b_is_turned {
                        View::new(&b_turned, n, k, k).transposed()
                    } else {
                        View::new(&b, k, n, n)
                    };
                    let into = ViewMut::new(&mut out, m, n, n);
                    product(into, onto, a_view, b_view, &mut scratch);
                    for (at, found) in out.iter().enumerate() {
                        let (row, column) = (at / n, at % n);
                        let one = |i: usize| rounded(a[row * k + i]) * rounded(b[i * n + column]);
                        let before = if onto == Onto::Sum { 2.0 } else { 0.0 };
                        let sum: f64 = (0..k).map(one).sum::<f64>() + before;
                        let error = (f64::from(*found) - sum).abs();
                        assert!(error < 1e-4, "{m} {n} {k}, number {at}: {found}, not {sum}");
                    }
                }
            }
        }
    }
}
