//! The update of all parameters, and its norms.

use assay_trainer::planned::{Parameters, Rates};

use crate::bench::{EXACT, assert_near, bench, random, rounded, tokens};

/// The update as the paper writes it, in f64; squares of what is left and of what was added.
#[test]
fn adamw() {
    let rates = Rates {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        lr: 0.01,
        updates: 3,
        grad_scale: 0.5,
    };
    for (len, decayed, threads) in
        [(1, 0, 1), (70, 64, 1), (5000, 2049, 3), (64, 64, 2), (70, 64, EXACT)]
    {
        let (w, g, m) = (random(1, len), random(2, len), random(3, len));
        let v: Vec<f64> = random(4, len).iter().map(|x| rounded(x * x)).collect();
        let (mut bench, places) =
            bench(threads, &tokens(1), [(1, len, &w), (1, len, &g), (1, len, &m), (1, len, &v)]);
        let [weights, grads, first, second] = places.map(|matrix| matrix.region);
        let square = bench.backend.square(grads);
        assert_near("square", &[square], &[g.iter().map(|g| g * g).sum()]);
        let parameters = Parameters { weights, grads, first, second, decayed };
        let squares = bench.backend.adamw(&parameters, &rates);
        let mut expected = [Vec::new(), Vec::new(), Vec::new()];
        for at in 0..len {
            let g = g[at] * rates.grad_scale;
            let m = rates.beta1 * m[at] + (1.0 - rates.beta1) * g;
            let v = rates.beta2 * v[at] + (1.0 - rates.beta2) * g * g;
            let m_hat = m / (1.0 - rates.beta1.powi(3));
            let v_hat = v / (1.0 - rates.beta2.powi(3));
            let decay = if at < decayed { rates.weight_decay } else { 0.0 };
            let w = w[at] - rates.lr * (m_hat / (v_hat.sqrt() + rates.eps) + decay * w[at]);
            for (list, value) in expected.iter_mut().zip([w, m, v]) {
                list.push(value);
            }
        }
        assert_near("weights", &bench.read(weights), &expected[0]);
        assert_near("first moments", &bench.read(first), &expected[1]);
        assert_near("second moments", &bench.read(second), &expected[2]);
        assert_eq!(bench.read(grads), vec![0.0; len], "gradients are forgotten");
        let kept: f64 = expected[0].iter().map(|w| w * w).sum();
        let added: f64 = expected[0].iter().zip(&w).map(|(a, b)| (a - b) * (a - b)).sum();
        assert_near("squares", &[squares.weights], &[kept]);
        assert!((squares.update / added - 1.0).abs() < 1e-3, "{} for {added}", squares.update);
    }
}

#[test]
fn a_nan_is_in_every_norm() {
    for at in [0, 63, 64, 2000, 4999] {
        let mut values = vec![1.0; 5000];
        values[at] = f64::NAN;
        let (mut bench, [place]) = bench(3, &tokens(1), [(1, 5000, &values)]);
        assert!(bench.backend.square(place.region).is_nan(), "at {at}");
    }
}
