//! The loss, and the embedding that its gradient ends in.

use std::ops::Range;

use assay_trainer::data::IGNORED;
use assay_trainer::planned::Weights;

use crate::bench::{EXACT, assert_near, batch, bench, differences, random};

/// Nats and squared log-partition of each token; nothing where it is ignored.
fn lost(logits: &[f64], targets: &[u32], vocabulary: usize) -> Vec<[f64; 2]> {
    let one = |(logits, target): (&[f64], &u32)| {
        let partition = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        match *target {
            IGNORED => [0.0, 0.0],
            target => [partition - logits[target as usize], partition * partition],
        }
    };
    logits.chunks_exact(vocabulary).zip(targets).map(one).collect()
}

#[test]
fn cross_entropy() {
    for vocabulary in [2, 7, 65] {
        let batch = batch(&[&[4, 5], &[9]], vocabulary as u64);
        let n = batch.inputs.len();
        let chunk: Range<usize> = 3..16;
        let logits: Vec<f64> =
            random(1, chunk.len() * vocabulary).iter().map(|x| 5.0 * x).collect();
        for threads in [EXACT, 3] {
            let (mut bench, [logits_at, again_at, out_at]) = bench(
                threads,
                &batch,
                [
                    (chunk.len(), vocabulary, &logits),
                    (chunk.len(), vocabulary, &logits),
                    (1, n, &vec![9.0; n]),
                ],
            );
            let weights = Weights { target: 0.25, z: 0.125 };
            bench.backend.cross_entropy(logits_at, chunk.clone(), weights);
            let targets = &batch.targets[chunk.clone()];
            let all = lost(&logits, targets, vocabulary);
            let losses = bench.backend.losses();
            let sums = [0, 1].map(|which| all.iter().map(|token| token[which]).sum());
            assert_near("losses", &[losses.nats, losses.z], &sums);
            let again = bench.backend.losses();
            assert_eq!((again.nats, again.z), (0.0, 0.0), "they are asked for once");
            let expected =
                differences(&logits, &[weights.target, weights.z].repeat(chunk.len()), |logits| {
                    lost(logits, targets, vocabulary).concat()
                });
            assert_near("dlogits", &bench.read(logits_at.region), &expected);
            bench.backend.log_likelihoods(again_at, chunk.clone(), out_at.region);
            let likelihoods: Vec<f64> = all.iter().map(|token| -token[0]).collect();
            assert_near("likelihoods", &bench.read(out_at.region)[chunk.clone()], &likelihoods);
        }
    }
}

#[test]
fn embedding() {
    let batch = batch(&[&[9], &[9]], 5);
    let n = batch.inputs.len();
    for (width, threads) in [(1, 1), (7, 3), (64, 2), (7, EXACT)] {
        let (table, dx, dtable) =
            (random(1, 5 * width), random(2, n * width), random(3, 5 * width));
        let (mut bench, [table_at, x_at, dx_at, dtable_at]) = bench(
            threads,
            &batch,
            [
                (5, width, &table),
                (n, width, &vec![0.0; n * width]),
                (n, width, &dx),
                (5, width, &dtable),
            ],
        );
        bench.backend.embed(table_at, x_at);
        bench.backend.embed_backward(dx_at, dtable_at);
        let look = |table: &[f64]| -> Vec<f64> {
            let row = |token: &u32| table[*token as usize * width..][..width].to_vec();
            batch.inputs.iter().flat_map(row).collect()
        };
        assert_near("x", &bench.read(x_at.region), &look(&table));
        let of_table = differences(&table, &dx, look);
        let sum: Vec<f64> = dtable.iter().zip(of_table).map(|(a, b)| a + b).collect();
        assert_near("dtable", &bench.read(dtable_at.region), &sum);
    }
}
