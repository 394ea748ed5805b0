//! Products of matrices.

use crate::bench::{EXACT, assert_near, bench, random, times, tokens, turned};

#[test]
fn products() {
    for (n, inputs, outputs) in [(1, 1, 1), (1, 7, 5), (33, 17, 3), (65, 64, 130), (7, 130, 33)] {
        for threads in EXACT..4 {
            let (x, w) = (random(1, n * inputs), random(2, outputs * inputs));
            let (dy, dw) = (random(3, n * outputs), random(4, outputs * inputs));
            let zero = vec![0.0; n * inputs.max(outputs)];
            let (mut bench, [x_at, w_at, y_at, dy_at, dx_at, dw_at]) = bench(
                threads,
                &tokens(n),
                [
                    (n, inputs, &x),
                    (outputs, inputs, &w),
                    (n, outputs, &zero[..n * outputs]),
                    (n, outputs, &dy),
                    (n, inputs, &zero[..n * inputs]),
                    (outputs, inputs, &dw),
                ],
            );
            bench.backend.linear(x_at, w_at, y_at);
            bench.backend.linear_dgrad(dy_at, w_at, dx_at);
            bench.backend.linear_wgrad(dy_at, x_at, dw_at);
            let y = times(&x, &turned(&w, outputs, inputs), (n, inputs, outputs));
            assert_near("y", &bench.read(y_at.region), &y);
            assert_near("dx", &bench.read(dx_at.region), &times(&dy, &w, (n, outputs, inputs)));
            let product = times(&turned(&dy, n, outputs), &x, (outputs, n, inputs));
            let sum: Vec<f64> = dw.iter().zip(product).map(|(a, b)| a + b).collect();
            assert_near("dw", &bench.read(dw_at.region), &sum);
        }
    }
}
