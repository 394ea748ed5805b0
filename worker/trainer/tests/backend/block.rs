//! What stands in a block beside its products: normalization, rotation, attention, the gate.

use assay_trainer::engine::{Batch, Row};
use assay_trainer::planned::{Heads, Matrix, Norm, Onto, Turn};

use crate::bench::{assert_near, batch, bench, branches, random, tokens};

#[test]
fn normalization() {
    let eps = 1e-3;
    for (n, width) in [(1, 1), (3, 5), (17, 64), (9, 33), (131, 257), (5, 2049)] {
        for threads in 1..4 {
            let size = n * width;
            let (before, delta, gain) = (random(1, size), random(2, size), random(3, width));
            let (dy, dx, dgain) = (random(4, size), random(5, size), random(6, width));
            let noise = vec![3.0; size];
            let mut bench = bench(
                threads,
                &tokens(n),
                [
                    (n, width, &before),
                    (n, width, &delta),
                    (1, width, &gain),
                    (n, width, &noise),
                    (n, width, &noise),
                    (1, n, &vec![3.0; n]),
                    (n, width, &dy),
                    (n, width, &dx),
                    (1, width, &dgain),
                    (n, width, &noise),
                    (n, width, &dy),
                ],
            );
            let norm = |all: &[Matrix; 11]| {
                let (x, gain, scale) = (all[3], all[2].region, all[5].region);
                Norm { x, gain, scale, eps }
            };
            bench.both(|backend, all| backend.norm(Some((all[0], all[1])), &norm(all), all[4]));
            for (what, number) in [("x", 3), ("y", 4), ("scale", 5)] {
                bench.assert_near(what, number);
            }
            bench.both(|backend, all| backend.norm(None, &norm(all), all[4]));
            bench.assert_near("y without a delta", 4);
            bench.both(|backend, all| {
                backend.norm_backward(&norm(all), all[6], all[7], Onto::Sum, all[8].region);
                backend.norm_backward(&norm(all), all[10], all[9], Onto::Fresh, all[8].region);
            });
            for (what, number) in
                [("dx", 7), ("dgain", 8), ("y again", 6), ("dx afresh", 9), ("y once more", 10)]
            {
                bench.assert_near(what, number);
            }
        }
    }
}

#[test]
fn rotation() {
    let batch = batch(&[&[3, 6], &[9]], 5);
    let n = batch.inputs.len();
    for (queries, keys, width) in [(3, 1, 6), (4, 2, 34), (2, 2, 64), (5, 5, 10), (8, 2, 128)] {
        let heads = Heads { queries, keys, width };
        let half = width / 2;
        let angle = |at: usize| (at / width) as f64 / (1.0 + (at % half) as f64);
        let table: Vec<f64> = (0..9 * width)
            .map(|at| if at % width < half { angle(at).cos() } else { angle(at).sin() })
            .collect();
        let packed = random(1, n * heads.packed());
        for threads in 1..4 {
            let matrices = [(n, heads.packed(), &*packed), (9, width, &table)];
            let mut bench = bench(threads, &batch, matrices);
            bench.both(|backend, all| backend.rope(all[0], heads, all[1], Turn::Forward));
            bench.assert_near("rotated", 0);
            bench.both(|backend, all| backend.rope(all[0], heads, all[1], Turn::Back));
            bench.assert_near("turned back", 0);
            assert_near("as it was", &bench.read(0), &packed);
        }
    }
}

fn attention_of(batch: &Batch, heads: Heads, with_backward: bool) {
    let n = batch.inputs.len();
    let packed: Vec<f64> = random(1, n * heads.packed()).iter().map(|x| 2.0 * x).collect();
    let dy = random(2, n * heads.joined());
    // what was there before must not matter
    let noise = random(3, n * heads.packed());
    for threads in 1..4 {
        let mut bench = bench(
            threads,
            batch,
            [
                (n, heads.packed(), &packed),
                (n, heads.joined(), &noise[..n * heads.joined()]),
                (n, heads.queries, &noise[..n * heads.queries]),
                (n, heads.joined(), &dy),
                (n, heads.packed(), &noise),
            ],
        );
        bench.both(|backend, all| backend.attention(all[0], heads, all[1], all[2].region));
        bench.assert_near("y", 1);
        bench.assert_near("log-partition", 2);
        if with_backward {
            bench.both(|backend, [packed, y, partitions, dy, dpacked]| {
                let forward = (*packed, *y, partitions.region);
                backend.attention_backward(forward, heads, *dy, *dpacked);
            });
            bench.assert_near("dpacked", 4);
        }
    }
}

#[test]
fn attention() {
    let shapes: [(&[&[usize]], Heads); 7] = [
        (&[&[1]], Heads { queries: 1, keys: 1, width: 2 }),
        (&[&[3, 4], &[7]], Heads { queries: 3, keys: 1, width: 6 }),
        (&[&[20, 1, 9], &[30]], Heads { queries: 4, keys: 2, width: 4 }),
        // more queries than are looked at together
        (&[&[40, 51]], Heads { queries: 1, keys: 1, width: 2 }),
        (&[&[131, 1, 125], &[257]], Heads { queries: 6, keys: 2, width: 34 }),
        (&[&[300, 1, 1, 210]], Heads { queries: 5, keys: 1, width: 80 }),
        (&[&[511]], Heads { queries: 16, keys: 4, width: 128 }),
    ];
    for (rows, heads) in shapes {
        attention_of(&batch(rows, 5), heads, true);
    }
}

/// Only what is scored has branches, and scoring has no backward pass.
#[test]
fn attention_of_branches() {
    let rows: Vec<Row> =
        [branches(5, &[3, 1, 9]), branches(161, &[70, 33, 90]), branches(0, &[90])].into();
    for (queries, keys, width) in [(4, 2, 10), (3, 1, 64)] {
        attention_of(&Batch::of_rows(&rows), Heads { queries, keys, width }, false);
    }
}

#[test]
fn swiglu() {
    for (n, ffn) in [(1, 1), (5, 3), (33, 17), (4, 130), (67, 1001)] {
        let packed: Vec<f64> = random(1, n * 2 * ffn).iter().map(|x| 9.0 * x).collect();
        let dhidden = random(2, n * ffn);
        for threads in 1..4 {
            let matrices =
                [(n, 2 * ffn, &*packed), (n, ffn, &vec![3.0; n * ffn]), (n, ffn, &dhidden)];
            let mut bench = bench(threads, &tokens(n), matrices);
            bench.both(|backend, [packed, hidden, dhidden]| {
                backend.swiglu(*packed, *hidden);
                backend.swiglu_backward(*packed, *dhidden);
            });
            for (what, number) in [("hidden", 1), ("dpacked", 0), ("hidden again", 2)] {
                bench.assert_near(what, number);
            }
        }
    }
}
