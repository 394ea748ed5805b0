//! Loops for the widest vectors that the processor has.
//!
//! An operation's inner function is written once, in plain loops, and compiled three times by
//! [`vectorized`]: for AVX-512, for AVX2 with FMA, and for whatever is there. What it calls is inlined
//! always, or it would be compiled for the last alone.

use std::sync::OnceLock;

/// What the processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Plain,
}

pub(super) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let has_fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if has_fma && has_512 {
                return Level::Avx512;
            }
            if has_fma {
                return Level::Avx2;
            }
        }
        Level::Plain
    })
}

/// Defines a function whose body is compiled for each [`Level`], and chosen when it is called.
macro_rules! vectorized {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        #[expect(unsafe_code, reason = "a level is chosen only where it was detected")]
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match $crate::cpu::vector::level() {
                // SAFETY: the processor has what the function is compiled for.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::vector::Level::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::vector::Level::Avx2 => unsafe { avx2($($argument),*) },
                $crate::cpu::vector::Level::Plain => body($($argument),*),
            }
        }
    };
}
pub(super) use vectorized;

/// Numbers that are summed apart: addition may not be reordered by the compiler.
const LANES: usize = 64;

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut sum = 0.0;
    for (a, b) in a_chunks.remainder().iter().zip(b_chunks.remainder()) {
        sum += a * b;
    }
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    sum + total(lanes)
}

/// The sum of a b c.
#[inline(always)]
pub(super) fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = [a.chunks_exact(LANES), b.chunks_exact(LANES), c.chunks_exact(LANES)];
    let mut sum = 0.0;
    let [a, b, c] = chunks.each_ref().map(std::slice::ChunksExact::remainder);
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        sum += a * b * c;
    }
    let [a, b, c] = chunks;
    for ((a, b), c) in a.zip(b).zip(c) {
        for lane in 0..LANES {
            lanes[lane] = (a[lane] * b[lane]).mul_add(c[lane], lanes[lane]);
        }
    }
    sum + total(lanes)
}

#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES;
    while 1 < width {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

/// The sum of squares: short stretches in f32, then in f64.
#[inline(always)]
pub(super) fn square(a: &[f32]) -> f64 {
    let mut total = 0.0;
    for part in a.chunks(16 * LANES) {
        total += f64::from(dot(part, part));
    }
    total
}

/// The largest. A NaN may go unnoticed: what is made of these numbers shows it.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let mut top = f32::NEG_INFINITY;
    for a in chunks.remainder() {
        top = if top < *a { *a } else { top };
    }
    for a in chunks {
        for lane in 0..LANES {
            lanes[lane] = if lanes[lane] < a[lane] { a[lane] } else { lanes[lane] };
        }
    }
    for lane in lanes {
        top = if top < lane { lane } else { top };
    }
    top
}

/// Each number becomes e^((number - top) scale); returns their sum.
#[inline(always)]
pub(super) fn exp_sum(a: &mut [f32], top: f32, scale: f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut sum = 0.0;
    let mut chunks = a.chunks_exact_mut(LANES);
    for a in &mut chunks {
        for lane in 0..LANES {
            a[lane] = exp((a[lane] - top) * scale);
            lanes[lane] += a[lane];
        }
    }
    for a in chunks.into_remainder() {
        *a = exp((*a - top) * scale);
        sum += *a;
    }
    sum + total(lanes)
}

/// e^x for x that are not above 0 by more than rounding, within 3e-7 of the true value, relatively;
/// NaN stays NaN, and below -87 it is e^-87 instead of a denormal.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; 2^n by its bits, e^r by its Taylor series to r^6.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding and taking away 1.5 * 2^23 rounds to an integer, kept in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let series = (1.0 / 720.0_f32).mul_add(r, 1.0 / 120.0);
    let series = series.mul_add(r, 1.0 / 24.0);
    let series = series.mul_add(r, 1.0 / 6.0);
    let series = series.mul_add(r, 0.5);
    let series = series.mul_add(r, 1.0);
    let series = series.mul_add(r, 1.0);
    // the exponent's bits: what n adds to them is in the low bits of the shifted number
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// 1 / (1 + e^-x)
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let share = 1.0 / (1.0 + small);
    if x < 0.0 { small * share } else { share }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere_below_zero() {
        let mut x = -87.0_f32;
        while x < 0.1 {
            let error = (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs();
            assert!(error < 3e-7, "e^{x}: off by {error}");
            let sigmoid =
                [x, -x].map(|x| (f64::from(sigmoid(x)), 1.0 / (1.0 + f64::from(-x).exp())));
            for (found, expected) in sigmoid {
                assert!((found / expected - 1.0).abs() < 5e-7, "sigmoid of {x}: {found}");
            }
            x += 0.003_7;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(0.0), sigmoid(1000.0)), (0.5, 1.0));
    }

    #[test]
    fn a_sum_of_exponentials_shows_every_nan() {
        for length in [1, 63, 64, 65, 150] {
            let mut a = vec![-1.0; length];
            assert_eq!(max(&a), -1.0);
            let total = exp_sum(&mut a, -1.0, 0.5);
            assert_eq!(f64::from(total), length as f64);
            for at in 0..length {
                let mut a = vec![1.0; length];
                a[at] = f32::NAN;
                let top = max(&a);
                assert!(exp_sum(&mut a, top, 1.0).is_nan(), "at {at}");
            }
        }
    }

    #[test]
    fn nothing_is_missed_at_any_length() {
        for length in 0..300_u16 {
            let a: Vec<f32> = (0..length).map(|at| f32::from(at % 37)).collect();
            assert_eq!(dot(&a, &a), a.iter().map(|a| a * a).sum::<f32>());
            assert_eq!(square(&a), a.iter().map(|a| f64::from(a * a)).sum::<f64>());
            let largest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&a), largest);
        }
    }

    #[test]
    fn a_nan_is_found_wherever_it_is() {
        for at in 0..150 {
            let mut a = vec![1.0; 150];
            a[at] = f32::NAN;
            assert!(dot(&a, &a).is_nan() && square(&a).is_nan(), "at {at}");
        }
    }
}
