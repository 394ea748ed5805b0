//! The update of all parameters, and its norms.

use assay_trainer::planned::{Parameters, Rates};

use crate::bench::{assert_near, bench, random, rounded, tokens};

pub(crate) const RATES: Rates = Rates {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    lr: 0.01,
    updates: 3,
    grad_scale: 0.5,
};

#[test]
fn adamw() {
    for (len, decayed) in [(1, 0), (70, 64), (64, 64), (5000, 2049), (100_003, 70_001)] {
        let (w, g, m) = (random(1, len), random(2, len), random(3, len));
        let v: Vec<f64> = random(4, len).iter().map(|x| rounded(x * x)).collect();
        for threads in 1..4 {
            let matrices = [(1, len, &*w), (1, len, &g), (1, len, &m), (1, len, &v)];
            let mut bench = bench(threads, &tokens(1), matrices);
            let [found, expected] = bench.both(|backend, all| backend.square(all[1].region));
            assert_near("square", &[found], &[expected]);
            let [found, expected] = bench.both(|backend, all| {
                let [weights, grads, first, second] = all.map(|matrix| matrix.region);
                backend.adamw(&Parameters { weights, grads, first, second, decayed }, &RATES)
            });
            for (what, number) in [("weights", 0), ("first moments", 2), ("second moments", 3)] {
                bench.assert_near(what, number);
            }
            assert_eq!(bench.read(1), vec![0.0; len], "gradients are forgotten");
            assert_near("squares", &[found.weights], &[expected.weights]);
            let share = found.update / expected.update;
            assert!((share - 1.0).abs() < 1e-3, "{found:?}, not {expected:?}");
        }
    }
}

#[test]
fn a_nan_is_in_every_norm() {
    for at in [0, 63, 64, 2000, 4999] {
        let mut values = vec![1.0; 5000];
        values[at] = f64::NAN;
        let mut bench = bench(3, &tokens(1), [(1, 5000, &values)]);
        let squares = bench.both(|backend, all| backend.square(all[0].region));
        assert!(squares.iter().all(|square| square.is_nan()), "at {at}: {squares:?}");
    }
}
