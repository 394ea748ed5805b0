//! Products of matrices.

use crate::bench::{bench, random, tokens};

#[test]
fn products() {
    let shapes = [
        (1, 1, 1),
        (1, 7, 5),
        (33, 17, 3),
        (65, 64, 130),
        (7, 130, 33),
        (129, 257, 131),
        (301, 96, 265),
    ];
    for (n, inputs, outputs) in shapes {
        let (x, w) = (random(1, n * inputs), random(2, outputs * inputs));
        let (dy, dw) = (random(3, n * outputs), random(4, outputs * inputs));
        let noise = vec![9.0; n * inputs.max(outputs)];
        for threads in 1..4 {
            let mut bench = bench(
                threads,
                &tokens(n),
                [
                    (n, inputs, &x),
                    (outputs, inputs, &w),
                    (n, outputs, &noise[..n * outputs]),
                    (n, outputs, &dy),
                    (n, inputs, &noise[..n * inputs]),
                    (outputs, inputs, &dw),
                ],
            );
            bench.both(|backend, [x, w, y, dy, dx, dw]| {
                backend.linear(*x, *w, *y);
                backend.linear_dgrad(*dy, *w, *dx);
                backend.linear_wgrad(*dy, *x, *dw);
            });
            for (what, number) in [("y", 2), ("dx", 4), ("dw", 5)] {
                bench.assert_near(what, number);
            }
        }
    }
}
