//! `AdamW` (1711.05101, algorithm 2) on slices, and norms.

use assay_api::spec::AdamW;

use super::math;

#[derive(Debug)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// What one update multiplies by, computed in f64 once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    beta1: f32,
    beta1_rest: f32,
    beta2: f32,
    beta2_rest: f32,
    /// 1 / (1 - beta^updates)
    first_scale: f32,
    second_scale: f32,
    eps: f32,
    /// 1 - lr * decay
    keep: f32,
    lr: f32,
}

impl Rates {
    /// `updates` counts from 1.
    #[expect(clippy::cast_possible_truncation, reason = "rates are applied in f32")]
    pub(super) fn new(adamw: &AdamW, updates: u64, lr: f64, weight_decay: f64) -> Self {
        let AdamW { beta1, beta2, eps, .. } = *adamw;
        let power = i32::try_from(updates).unwrap_or(i32::MAX);
        Self {
            beta1: beta1 as f32,
            beta1_rest: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            beta2_rest: (1.0 - beta2) as f32,
            first_scale: (1.0 / (1.0 - beta1.powi(power))) as f32,
            second_scale: (1.0 / (1.0 - beta2.powi(power))) as f32,
            eps: eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
            lr: lr as f32,
        }
    }

    /// Returns the squared norm of what was added.
    pub(super) fn update(self, value: &mut [f32], grad: &[f32], moments: &mut Moments) -> f64 {
        let Moments { first, second } = moments;
        let mut square = 0.0;
        let places = value.iter_mut().zip(grad).zip(first.iter_mut().zip(second));
        for ((value, grad), (first, second)) in places {
            *first = self.beta1 * *first + self.beta1_rest * grad;
            *second = self.beta2 * *second + self.beta2_rest * grad * grad;
            let direction =
                *first * self.first_scale / ((*second * self.second_scale).sqrt() + self.eps);
            let updated = *value * self.keep - self.lr * direction;
            let change = updated - *value;
            *value = updated;
            square += f64::from(change) * f64::from(change);
        }
        square
    }
}

/// The Euclidean norm of all slices together.
pub(super) fn norm<'a>(of: impl Iterator<Item = &'a [f32]>) -> f64 {
    of.map(math::square_f64).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The update written out for one number in f64, decayed and not.
    #[test]
    fn adamw_is_the_one_in_the_paper() {
        let adamw = AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
        for decay in [0.1, 0.0] {
            let mut value = [0.75_f32];
            let mut moments = Moments { first: vec![0.0], second: vec![0.0] };
            let (mut w, mut m, mut v) = (0.75_f64, 0.0, 0.0);
            for (step, grad) in (1..).zip([0.5_f32, -2.0, 0.1, 0.1, 3.0]) {
                let (g, lr) = (f64::from(grad), 0.01 * f64::from(step));
                m = 0.9 * m + 0.1 * g;
                v = 0.95 * v + 0.05 * g * g;
                let m_hat = m / (1.0 - 0.9_f64.powi(step));
                let v_hat = v / (1.0 - 0.95_f64.powi(step));
                let before = w;
                w -= lr * (m_hat / (v_hat.sqrt() + 1e-8) + decay * w);

                let rates = Rates::new(&adamw, u64::try_from(step).unwrap(), lr, decay);
                let square = rates.update(&mut value, &[grad], &mut moments);
                assert!((f64::from(value[0]) - w).abs() < 1e-6, "{step}: {} for {w}", value[0]);
                assert!((square.sqrt() - (w - before).abs()).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_norm_spans_all_slices() {
        let (one, other) = ([3.0, 0.0], [0.0, 4.0, 12.0]);
        assert_eq!(norm([one.as_slice(), other.as_slice()].into_iter()), 13.0);
        assert!(norm([[f32::NAN].as_slice()].into_iter()).is_nan());
    }
}
