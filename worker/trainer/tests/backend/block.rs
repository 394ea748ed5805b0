//! What stands in a block beside its products: normalization, rotation, attention, the gate.

use assay_trainer::engine::Batch;
use assay_trainer::planned::{Heads, Norm, Onto, Turn};

use crate::bench::{
    EXACT, assert_near, batch, bench, differences, random, rounded, single, tokens,
};

fn normalized(x: &[f64], gain: &[f64], eps: f64) -> Vec<f64> {
    let width = gain.len();
    let row = |x: &[f64]| {
        let square: f64 = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let scale = 1.0 / (square + eps).sqrt();
        x.iter().zip(gain).map(|(x, gain)| x * scale * gain).collect::<Vec<f64>>()
    };
    x.chunks_exact(width).flat_map(row).collect()
}

#[test]
fn normalization() {
    let eps = 1e-3;
    for (n, width) in [(1, 1), (3, 5), (17, 64), (9, 33)] {
        for threads in EXACT..4 {
            let size = n * width;
            let (before, delta, gain) = (random(1, size), random(2, size), random(3, width));
            let (dy, dx, dgain) = (random(4, size), random(5, size), random(6, width));
            let zero = vec![0.0; size];
            let (
                mut bench,
                [
                    before_at,
                    delta_at,
                    gain_at,
                    x_at,
                    y_at,
                    scale_at,
                    dy_at,
                    dx_at,
                    dgain_at,
                    fresh_at,
                ],
            ) = bench(
                threads,
                &tokens(n),
                [
                    (n, width, &before),
                    (n, width, &delta),
                    (1, width, &gain),
                    (n, width, &zero),
                    (n, width, &zero),
                    (1, n, &zero[..n]),
                    (n, width, &dy),
                    (n, width, &dx),
                    (1, width, &dgain),
                    (n, width, &zero),
                ],
            );
            let norm = Norm { x: x_at, gain: gain_at.region, scale: scale_at.region, eps };
            bench.backend.norm(Some((before_at, delta_at)), &norm, y_at);
            let x: Vec<f64> = before.iter().zip(&delta).map(|(a, b)| a + b).collect();
            let y = normalized(&x, &gain, eps);
            assert_near("x", &bench.read(x_at.region), &x);
            assert_near("y", &bench.read(y_at.region), &y);
            bench.backend.norm(None, &norm, y_at);
            assert_near("y without a delta", &bench.read(y_at.region), &y);

            let of_x = differences(&x, &dy, |x| normalized(x, &gain, eps));
            let of_gain = differences(&gain, &dy, |gain| normalized(&x, gain, eps));
            bench.backend.norm_backward(&norm, dy_at, dx_at, Onto::Sum, dgain_at.region);
            let sum = |a: &[f64], b: &[f64]| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| a + b).collect()
            };
            assert_near("dx", &bench.read(dx_at.region), &sum(&dx, &of_x));
            assert_near("dgain", &bench.read(dgain_at.region), &sum(&dgain, &of_gain));
            assert_near("y again", &bench.read(dy_at.region), &y);
            let dy: Vec<f32> = dy.iter().map(|dy| single(*dy)).collect();
            bench.backend.write(dy_at.region, &dy);
            bench.backend.norm_backward(&norm, dy_at, fresh_at, Onto::Fresh, dgain_at.region);
            assert_near("dx afresh", &bench.read(fresh_at.region), &of_x);
        }
    }
}

#[test]
fn rotation() {
    let rows: [&[usize]; 2] = [&[3, 6], &[9]];
    let batch = batch(&rows, 5);
    let n = batch.inputs.len();
    for heads in [Heads { queries: 3, keys: 1, width: 6 }, Heads { queries: 4, keys: 2, width: 34 }]
    {
        let half = heads.width / 2;
        let angle = |position: usize, pair: usize| position as f64 / (1.0 + pair as f64);
        let table: Vec<f64> = (0..9)
            .flat_map(|p| {
                let cos = (0..half).map(move |pair| rounded(angle(p, pair).cos()));
                cos.chain((0..half).map(move |pair| rounded(angle(p, pair).sin())))
            })
            .collect();
        let packed = random(1, n * heads.packed());
        let matrices = [(n, heads.packed(), &*packed), (9, heads.width, &table)];
        let mut expected = packed.clone();
        for (token, row) in expected.chunks_exact_mut(heads.packed()).enumerate() {
            let position = batch.positions[token] as usize;
            for head in
                row[..(heads.queries + heads.keys) * heads.width].chunks_exact_mut(heads.width)
            {
                for pair in 0..half {
                    let (x, y) = (head[pair], head[pair + half]);
                    let (sin, cos) = angle(position, pair).sin_cos();
                    head[pair] = x * cos - y * sin;
                    head[pair + half] = x * sin + y * cos;
                }
            }
        }
        for threads in [EXACT, 2] {
            let (mut bench, [packed_at, table_at]) = bench(threads, &batch, matrices);
            bench.backend.rope(packed_at, heads, table_at, Turn::Forward);
            assert_near("rotated", &bench.read(packed_at.region), &expected);
            bench.backend.rope(packed_at, heads, table_at, Turn::Back);
            assert_near("and back", &bench.read(packed_at.region), &packed);
        }
    }
}

/// Output, and log-partitions as (rows, heads, context).
fn attended(packed: &[f64], heads: Heads, batch: &Batch) -> (Vec<f64>, Vec<f64>) {
    let (columns, width, context) = (heads.packed(), heads.width, batch.context);
    let mut y = vec![0.0; batch.inputs.len() * heads.joined()];
    let mut partitions = vec![0.0; batch.inputs.len() * heads.queries];
    let of = |token: usize, head: usize| &packed[token * columns + head * width..][..width];
    for token in 0..batch.inputs.len() {
        let row = token / context * context;
        for head in 0..heads.queries {
            let served = head / (heads.queries / heads.keys);
            let keys = row + batch.starts[token] as usize..token + 1;
            let q = of(token, head);
            let scores: Vec<f64> = keys
                .clone()
                .map(|key| {
                    let k = of(key, heads.queries + served);
                    q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (width as f64).sqrt()
                })
                .collect();
            let total: f64 = scores.iter().map(|score| score.exp()).sum();
            let place = (token / context * heads.queries + head) * context + token % context;
            partitions[place] = total.ln();
            for (key, score) in keys.zip(scores) {
                let v = of(key, heads.queries + heads.keys + served);
                let y = &mut y[token * heads.joined() + head * width..][..width];
                for (y, v) in y.iter_mut().zip(v) {
                    *y += score.exp() / total * v;
                }
            }
        }
    }
    (y, partitions)
}

#[test]
fn attention() {
    let shapes: [(&[&[usize]], Heads); 4] = [
        (&[&[1]], Heads { queries: 1, keys: 1, width: 2 }),
        (&[&[3, 4], &[7]], Heads { queries: 3, keys: 1, width: 6 }),
        (&[&[20, 1, 9], &[30]], Heads { queries: 4, keys: 2, width: 4 }),
        // more queries than are looked at together
        (&[&[40, 51]], Heads { queries: 1, keys: 1, width: 2 }),
    ];
    for (rows, heads) in shapes {
        for threads in EXACT..4 {
            let batch = batch(rows, 5);
            let n = batch.inputs.len();
            let packed: Vec<f64> = random(1, n * heads.packed()).iter().map(|x| 2.0 * x).collect();
            let dy = random(2, n * heads.joined());
            // what was there before must not matter
            let noise = random(3, n * heads.packed());
            let (mut bench, [packed_at, y_at, partition_at, dy_at, dpacked_at]) = bench(
                threads,
                &batch,
                [
                    (n, heads.packed(), &packed),
                    (n, heads.joined(), &noise[..n * heads.joined()]),
                    (n, heads.queries, &noise[..n * heads.queries]),
                    (n, heads.joined(), &dy),
                    (n, heads.packed(), &noise),
                ],
            );
            bench.backend.attention(packed_at, heads, y_at, partition_at.region);
            let (y, partitions) = attended(&packed, heads, &batch);
            assert_near("y", &bench.read(y_at.region), &y);
            assert_near("log-partition", &bench.read(partition_at.region), &partitions);
            let forward = (packed_at, y_at, partition_at.region);
            bench.backend.attention_backward(forward, heads, dy_at, dpacked_at);
            let expected = differences(&packed, &dy, |packed| attended(packed, heads, &batch).0);
            assert_near("dpacked", &bench.read(dpacked_at.region), &expected);
        }
    }
}

fn gated(packed: &[f64], ffn: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let (gate, up) = row.split_at(ffn);
        let one = |(gate, up): (&f64, &f64)| gate / (1.0 + (-gate).exp()) * up;
        gate.iter().zip(up).map(one).collect::<Vec<f64>>()
    };
    packed.chunks_exact(2 * ffn).flat_map(row).collect()
}

#[test]
fn swiglu() {
    for (n, ffn) in [(1, 1), (5, 3), (33, 17), (4, 130)] {
        let packed: Vec<f64> = random(1, n * 2 * ffn).iter().map(|x| 9.0 * x).collect();
        let dhidden = random(2, n * ffn);
        let zero = vec![0.0; n * ffn];
        for threads in [EXACT, 2] {
            let matrices = [(n, 2 * ffn, &*packed), (n, ffn, &*zero), (n, ffn, &*dhidden)];
            let (mut bench, [packed_at, hidden_at, dhidden_at]) =
                bench(threads, &tokens(n), matrices);
            bench.backend.swiglu(packed_at, hidden_at);
            let hidden = gated(&packed, ffn);
            assert_near("hidden", &bench.read(hidden_at.region), &hidden);
            bench.backend.swiglu_backward(packed_at, dhidden_at);
            let expected = differences(&packed, &dhidden, |packed| gated(packed, ffn));
            assert_near("dpacked", &bench.read(packed_at.region), &expected);
            assert_near("hidden again", &bench.read(dhidden_at.region), &hidden);
        }
    }
}
