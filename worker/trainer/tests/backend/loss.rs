//! The loss, and the embedding that its gradient ends in.

use std::ops::Range;

use assay_trainer::planned::{Losses, Weights};

use crate::bench::{assert_near, batch, bench, random};

#[test]
fn cross_entropy() {
    for vocabulary in [2, 7, 65, 1001, 32_001] {
        let batch = batch(&[&[4, 5], &[9]], vocabulary as u64);
        let n = batch.inputs.len();
        let chunk: Range<usize> = 3..16;
        let logits: Vec<f64> =
            random(1, chunk.len() * vocabulary).iter().map(|x| 5.0 * x).collect();
        for threads in 1..4 {
            let mut bench = bench(
                threads,
                &batch,
                [
                    (chunk.len(), vocabulary, &logits),
                    (chunk.len(), vocabulary, &logits),
                    (1, n, &vec![9.0; n]),
                ],
            );
            let weights = Weights { target: 0.25, z: 0.125 };
            bench.both(|backend, all| backend.cross_entropy(all[0], chunk.clone(), weights));
            bench.assert_near("dlogits", 0);
            let [found, expected] = bench.both(|backend, _| backend.losses());
            assert_near("losses", &[found.nats, found.z], &[expected.nats, expected.z]);
            let again = bench.both(|backend, _| backend.losses());
            assert_eq!(again, [Losses::default(); 2], "they are asked for once");
            bench.both(|backend, all| {
                backend.log_likelihoods(all[1], chunk.clone(), all[2].region);
            });
            bench.assert_near("likelihoods", 2);
            let others =
                bench.read(2).into_iter().enumerate().filter(|(at, _)| !chunk.contains(at));
            assert!(others.into_iter().all(|(_, value)| value == 9.0), "others are left alone");
        }
    }
}

#[test]
fn embedding() {
    for (vocabulary, rows) in [(5, [9, 9]), (1001, [131, 131])] {
        let batch = batch(&[&rows[..1], &rows[1..]], vocabulary as u64);
        let n = batch.inputs.len();
        for width in [1, 7, 64, 265] {
            let (table, dx) = (random(1, vocabulary * width), random(2, n * width));
            let dtable = random(3, vocabulary * width);
            for threads in 1..4 {
                let mut bench = bench(
                    threads,
                    &batch,
                    [
                        (vocabulary, width, &table),
                        (n, width, &vec![3.0; n * width]),
                        (n, width, &dx),
                        (vocabulary, width, &dtable),
                    ],
                );
                bench.both(|backend, [table, x, dx, dtable]| {
                    backend.embed(*table, *x);
                    backend.embed_backward(*dx, *dtable);
                });
                bench.assert_near("x", 1);
                bench.assert_near("dtable", 3);
            }
        }
    }
}
