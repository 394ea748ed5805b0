//! Arithmetic on slices, written so that the compiler can use vector registers.

/// Independent sums: floating-point addition may not be reordered by the compiler.
const LANES: usize = 16;

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

pub(super) fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for a in chunks {
        for lane in 0..LANES {
            lanes[lane] += a[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

pub(super) fn square_f64(a: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|a| f64::from(*a) * f64::from(*a)).sum();
    for a in chunks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(a[lane]) * f64::from(a[lane]);
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// The largest, or NaN if there is one: a fold by `f32::max` would hide it.
pub(super) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let larger = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for a in chunks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], a[lane]);
        }
    }
    lanes.iter().copied().fold(rest, larger)
}

/// e^x within 3e-7 of the true value, relatively; NaN stays NaN, what overflows is infinite, and
/// below -87 it is e^-87 instead of a denormal. libm's is exact to half a bit and four times slower:
/// it cannot be vectorized.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; 2^n by its bits, e^r by its Taylor series to r^7.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding and taking away 1.5 * 2^23 rounds to an integer, kept in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let clamped = if clamped > 89.0 { 89.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let series = 1.0 / 5040.0;
    let series = series * r + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    // In two halves: 2^128 is no f32, but the product of both may be one.
    let bits = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    let half = bits.cast_signed() >> 1;
    let rest = bits.cast_signed() - half;
    let power = |n: i32| f32::from_bits(((n + 127) << 23).cast_unsigned());
    series * power(half) * power(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        let mut x = -87.0_f32;
        while x < 88.7 {
            let true_value = f64::from(x).exp();
            let error = (f64::from(exp(x)) / true_value - 1.0).abs();
            assert!(error < 3e-7, "e^{x}: off by {error}");
            x += 0.003_7;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_miss_nothing_at_any_length() {
        for length in 0..70_u16 {
            let a: Vec<f32> = (0..length).map(f32::from).collect();
            let expected: f32 = a.iter().sum();
            assert_eq!(sum(&a), expected);
            assert_eq!(dot(&a, &a), a.iter().map(|a| a * a).sum::<f32>());
            assert_eq!(square_f64(&a), a.iter().map(|a| f64::from(a * a)).sum::<f64>());
            assert_eq!(max(&a), a.last().copied().unwrap_or(f32::NEG_INFINITY));
        }
    }

    #[test]
    fn the_largest_of_a_nan_is_a_nan() {
        for at in 0..40 {
            let mut a = vec![1.0; 40];
            a[at] = f32::NAN;
            assert!(max(&a).is_nan(), "at {at}");
        }
    }
}
