//! Every operation of a backend against its formula in f64, and every backward pass against finite
//! differences of that formula, on odd shapes.

use std::ops::Range;

use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::Batch;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{
    Arena, Backend, Heads, Matrix, Norm, Onto, Parameters, Rates, Region, Shape, Turn, Weights,
};

/// A small step, and what its square leaves of a difference in f64.
const STEP: f64 = 1e-5;

/// Numbers between -1 and 1, the same for the same seed.
fn random(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // through f32, so that the backend gets the very numbers
        rounded((state >> 40) as f64 / f64::from(1 << 23) - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "backends are given f32")]
fn single(value: f64) -> f32 {
    value as f32
}

/// What is left of a number that a backend is given.
fn rounded(value: f64) -> f64 {
    f64::from(single(value))
}

/// A backend with some matrices in its arena.
struct Bench {
    backend: Cpu,
}

/// Lays out matrices, puts numbers in, and makes a backend around them.
fn bench<const N: usize>(
    threads: usize,
    batch: &Batch,
    matrices: [(usize, usize, &[f64]); N],
) -> (Bench, [Matrix; N]) {
    let mut arena = Arena::default();
    let config = Config { width: 64, ..preset("llama-1m").expect("listed") };
    let (rows, context) = (batch.rows.max(1), batch.context.max(1));
    let shape = Shape { rows, context, longest: context, threads };
    let workspace = arena.take("workspace", Cpu::workspace(&config, &shape), 1);
    let placed = matrices.map(|(rows, columns, _)| Matrix {
        region: arena.take("matrix", rows * columns, 4),
        rows,
        columns,
    });
    let mut backend =
        Cpu::new(arena.bytes(), workspace, batch.inputs.len(), threads, Products::F32)
            .expect("memory");
    backend.load(batch);
    for (matrix, (_, _, values)) in placed.iter().zip(matrices) {
        let values: Vec<f32> = values.iter().map(|value| single(*value)).collect();
        backend.write(matrix.region, &values);
    }
    (Bench { backend }, placed)
}

impl Bench {
    fn read(&self, region: Region) -> Vec<f64> {
        let mut values = vec![0.0; region.len];
        self.backend.read(region, &mut values);
        values.into_iter().map(f64::from).collect()
    }
}

#[track_caller]
fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().map(|value| value.abs()).fold(1e-3, f64::max);
    for ((at, found), expected) in found.iter().enumerate().zip(expected) {
        let error = (found - expected).abs();
        assert!(error < 2e-5 * size, "{what}, number {at}: {found}, not {expected}");
    }
}

/// The gradient of sum(weights * f(x)) by central differences.
fn differences(x: &[f64], weights: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let value = |x: &[f64]| f(x).iter().zip(weights).map(|(y, w)| y * w).sum::<f64>();
    let mut moved = x.to_vec();
    (0..x.len())
        .map(|at| {
            moved[at] = x[at] + STEP;
            let above = value(&moved);
            moved[at] = x[at] - STEP;
            let below = value(&moved);
            moved[at] = x[at];
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Rows of documents of these lengths, some targets ignored.
fn batch(rows: &[&[usize]], vocabulary: u64) -> Batch {
    let mut at = 0_u64;
    let mut sequence = |documents: &&[usize]| {
        let length: usize = documents.iter().sum();
        let mut token = || {
            at += 1;
            u32::try_from(at * at * 7 % vocabulary).expect("small")
        };
        let numbered = (0..).zip(documents.iter());
        Sequence {
            inputs: (0..length).map(|_| token()).collect(),
            targets: (0..length).map(|at| if at % 5 == 3 { IGNORED } else { token() }).collect(),
            documents: numbered.flat_map(|(number, length)| vec![number; *length]).collect(),
            source: 0,
        }
    };
    Batch::new(&rows.iter().map(&mut sequence).collect::<Vec<_>>())
}

/// No batch, for operations that do not look at it.
fn tokens(count: usize) -> Batch {
    batch(&[&[count]], 5)
}

fn times(a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
    let cell = |at: usize| (0..k).map(|i| a[at / n * k + i] * b[i * n + at % n]).sum();
    (0..m * n).map(cell).collect()
}

fn turned(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|at| a[at % rows * columns + at / rows]).collect()
}

#[test]
fn products() {
    for (n, inputs, outputs) in [(1, 1, 1), (1, 7, 5), (33, 17, 3), (65, 64, 130), (7, 130, 33)] {
        for threads in 1..4 {
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
        for threads in 1..4 {
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
        let (mut bench, [packed_at, table_at]) =
            bench(2, &batch, [(n, heads.packed(), &packed), (9, heads.width, &table)]);
        bench.backend.rope(packed_at, heads, table_at, Turn::Forward);
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
        assert_near("rotated", &bench.read(packed_at.region), &expected);
        bench.backend.rope(packed_at, heads, table_at, Turn::Back);
        assert_near("and back", &bench.read(packed_at.region), &packed);
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
        for threads in 1..4 {
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
        let (mut bench, [packed_at, hidden_at, dhidden_at]) = bench(
            2,
            &tokens(n),
            [(n, 2 * ffn, &packed), (n, ffn, &vec![0.0; n * ffn]), (n, ffn, &dhidden)],
        );
        bench.backend.swiglu(packed_at, hidden_at);
        let hidden = gated(&packed, ffn);
        assert_near("hidden", &bench.read(hidden_at.region), &hidden);
        bench.backend.swiglu_backward(packed_at, dhidden_at);
        let expected = differences(&packed, &dhidden, |packed| gated(packed, ffn));
        assert_near("dpacked", &bench.read(packed_at.region), &expected);
        assert_near("hidden again", &bench.read(dhidden_at.region), &hidden);
    }
}

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
        let (mut bench, [logits_at, again_at, out_at]) = bench(
            3,
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
        assert_near("likelihoods", &bench.read(out_at.region)[chunk], &likelihoods);
    }
}

#[test]
fn embedding() {
    let batch = batch(&[&[9], &[9]], 5);
    let n = batch.inputs.len();
    for (width, threads) in [(1, 1), (7, 3), (64, 2)] {
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
    for (len, decayed, threads) in [(1, 0, 1), (70, 64, 1), (5000, 2049, 3), (64, 64, 2)] {
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
