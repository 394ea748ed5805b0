//! Operands on their way into panels: rounded to bf16, two neighbors along the depth in one u32, and
//! zeros where a panel is wider than the matrix.

use std::arch::x86_64::{
    __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_cvtneps_pbh, _mm512_mask_storeu_epi32, _mm512_maskz_loadu_ps, _mm512_or_si512,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::View;
use super::{COLUMNS, LANES, PAIRS, ROWS, first_lanes};

/// Panels of `ROWS` rows. Where the depth lies in one piece, row after row of `PAIRS` pairs; otherwise
/// pair after pair of `ROWS` rows.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn rows(a: View<'_>, out: &mut [u32]) {
    let tiles = a.rows.div_ceil(ROWS);
    let out = &mut out[..tiles * ROWS * PAIRS];
    if a.column_stride == 1 {
        for (row, out) in out.chunks_exact_mut(PAIRS).enumerate() {
            if row < a.rows {
                // SAFETY: as the caller's.
                unsafe { line(a.row(row), out) };
            } else {
                out.fill(0);
            }
        }
        return;
    }
    for (tile, out) in out.chunks_exact_mut(ROWS * PAIRS).enumerate() {
        let rows = tile * ROWS..a.rows.min((tile + 1) * ROWS);
        // SAFETY: as the caller's.
        unsafe { across::<ROWS>(a.some_rows(&rows).transposed(), out) };
    }
}

/// Panels of `COLUMNS` columns, pair after pair.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn columns(b: View<'_>, out: &mut [u32]) {
    let turned = b.transposed();
    for (tile, out) in out.chunks_exact_mut(COLUMNS * PAIRS).enumerate() {
        let columns = tile * COLUMNS..b.columns.min((tile + 1) * COLUMNS);
        if columns.end <= columns.start {
            return;
        }
        let part = turned.some_rows(&columns);
        // SAFETY: as the caller's.
        unsafe {
            if b.column_stride == 1 {
                across::<COLUMNS>(part.transposed(), out);
            } else {
                along(part, out);
            }
        }
    }
}

/// The bits of 16 numbers as bf16, each in the low half of a u32.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn bits(x: __m512) -> __m512i {
    // SAFETY: both types are 256 bits.
    let halves = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)) };
    _mm512_cvtepu16_epi32(halves)
}

/// Some numbers of a slice, at most 16, zeros after its end.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn numbers(values: &[f32], from: usize) -> __m512 {
    let count = values.len().saturating_sub(from);
    // SAFETY: what is masked away is not read.
    unsafe {
        _mm512_maskz_loadu_ps(
            first_lanes(count),
            values.as_ptr().wrapping_add(from.min(values.len())),
        )
    }
}

/// 32 numbers of a slice as 16 pairs, zeros after its end.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn sixteen_pairs(values: &[f32], from: usize) -> __m512i {
    // SAFETY: the caller has the instructions; both types are 512 bits.
    unsafe {
        let both = _mm512_cvtne2ps_pbh(numbers(values, from + LANES), numbers(values, from));
        std::mem::transmute::<__m512bh, __m512i>(both)
    }
}

/// A row that lies in one piece.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn line(values: &[f32], out: &mut [u32]) {
    let pairs = values.len().div_ceil(2);
    for (at, out) in out[..pairs].chunks_mut(LANES).enumerate() {
        // SAFETY: what is masked away is not written.
        unsafe {
            let packed = sixteen_pairs(values, 2 * LANES * at);
            _mm512_mask_storeu_epi32(out.as_mut_ptr().cast(), first_lanes(out.len()), packed);
        }
    }
}

/// A matrix whose rows follow the depth, and lie in one piece each: pair after pair of `WIDTH` columns.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn across<const WIDTH: usize>(matrix: View<'_>, out: &mut [u32]) {
    for (pair, out) in out.chunks_exact_mut(WIDTH).take(matrix.rows.div_ceil(2)).enumerate() {
        let first = matrix.row(2 * pair);
        let second = if 2 * pair + 1 < matrix.rows { matrix.row(2 * pair + 1) } else { &[] };
        for (at, out) in out.chunks_mut(LANES).enumerate() {
            // SAFETY: what is masked away is not written.
            unsafe {
                let low = bits(numbers(first, LANES * at));
                let high = _mm512_slli_epi32::<16>(bits(numbers(second, LANES * at)));
                let both = _mm512_or_si512(low, high);
                _mm512_mask_storeu_epi32(out.as_mut_ptr().cast(), first_lanes(out.len()), both);
            }
        }
    }
}

/// A matrix whose rows are the panel's columns, each in one piece along the depth.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn along(matrix: View<'_>, out: &mut [u32]) {
    let pairs = matrix.columns.div_ceil(2);
    for (step, out) in out[..pairs * COLUMNS].chunks_mut(LANES * COLUMNS).enumerate() {
        for side in 0..COLUMNS / LANES {
            let mut square = [_mm512_setzero_si512(); LANES];
            for (lane, packed) in square.iter_mut().enumerate() {
                let row = side * LANES + lane;
                if row < matrix.rows {
                    // SAFETY: as the caller's.
                    *packed = unsafe { sixteen_pairs(matrix.row(row), 2 * LANES * step) };
                }
            }
            // SAFETY: as the caller's.
            unsafe { turn(&mut square) };
            for (out, packed) in out.chunks_exact_mut(COLUMNS).zip(square) {
                let out = &mut out[side * LANES..][..LANES];
                // SAFETY: 16 numbers were just cut off.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), packed) };
            }
        }
    }
}

/// Turns a square of 16 by 16 numbers: first pairs of rows, then fours, then the quarters of registers.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn turn(rows: &mut [__m512i; LANES]) {
    let mut by_two = [_mm512_setzero_si512(); LANES];
    for pair in 0..8 {
        let (one, other) = (rows[2 * pair], rows[2 * pair + 1]);
        by_two[2 * pair] = _mm512_unpacklo_epi32(one, other);
        by_two[2 * pair + 1] = _mm512_unpackhi_epi32(one, other);
    }
    let mut by_four = [_mm512_setzero_si512(); LANES];
    for four in 0..4 {
        for half in 0..2 {
            let (one, other) = (by_two[4 * four + half], by_two[4 * four + 2 + half]);
            by_four[4 * four + 2 * half] = _mm512_unpacklo_epi64(one, other);
            by_four[4 * four + 2 * half + 1] = _mm512_unpackhi_epi64(one, other);
        }
    }
    for lane in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|four| by_four[four + lane]);
        let (even, odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (even_after, odd_after) =
            (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
        rows[lane] = _mm512_shuffle_i32x4::<0x88>(even, even_after);
        rows[lane + 4] = _mm512_shuffle_i32x4::<0x88>(odd, odd_after);
        rows[lane + 8] = _mm512_shuffle_i32x4::<0xdd>(even, even_after);
        rows[lane + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_after);
    }
}
