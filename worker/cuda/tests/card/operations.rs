//! Each operation beside its formula in f64, on odd shapes.

use assay_cuda::{Cuda, Device};
use assay_trainer::engine::{Batch, Row};
use assay_trainer::model::preset;
use assay_trainer::planned::{
    Arena, Backend, Heads, Norm, Onto, Parameters, Rates, Region, Shape, Turn, Weights,
};

use crate::bench::{
    Kind::{F32, Rounded},
    batch, bench, bench_on, devices, near, random,
};
use crate::exact::{self, Exact};

/// What is rounded to bf16 once is off by 2^-8 of itself at most.
const ONCE: f64 = 4e-3;
/// Rounded before and after, or twice on the way.
const TWICE: f64 = 8e-3;
/// Sums in f32 in another order.
const SUMS: f64 = 1e-5;

#[test]
fn numbers_come_back() {
    let (rough, exact) =
        (random(1, 5000), random(2, 5000).iter().map(|x| x / 3.0).collect::<Vec<_>>());
    let bench = bench(&batch(&[&[1]], 5), 8, [(Rounded, 1, 5000, &rough), (F32, 1, 5000, &exact)]);
    for number in 0..2 {
        let [found, expected] = bench.read(number);
        assert_eq!(found, expected);
    }
}

#[test]
fn embedding() {
    for (width, documents) in [(1, vec![1]), (5, vec![17]), (8, vec![300]), (264, vec![90, 31])] {
        let batch = batch(&[&documents], 11);
        let n = batch.inputs.len();
        let (table, dx, dtable) =
            (random(1, 11 * width), random(2, n * width), random(3, 11 * width));
        let mut bench = bench(
            &batch,
            8,
            [
                (Rounded, 11, width, &table),
                (Rounded, n, width, &vec![7.0; n * width]),
                (Rounded, n, width, &dx),
                (F32, 11, width, &dtable),
            ],
        );
        bench.both(|backend, [table, x, dx, dtable]| {
            backend.embed(*table, *x);
            backend.embed_backward(*dx, *dtable);
        });
        bench.assert_near("rows", 1, 0.0);
        bench.assert_near("gradient", 3, SUMS);
    }
}

#[test]
fn normalization() {
    for (n, width) in
        [(1, 1), (3, 5), (17, 64), (9, 33), (700, 256), (300, 2048), (5, 8192), (2, 16384)]
    {
        let size = n * width;
        let (before, delta, gain) = (random(1, size), random(2, size), random(3, width));
        let (dy, dx, dgain) = (random(4, size), random(5, size), random(6, width));
        let zero = vec![3.0; size];
        let mut bench = bench(
            &batch(&[&[1]], 5),
            8,
            [
                (Rounded, n, width, &before),
                (Rounded, n, width, &delta),
                (Rounded, 1, width, &gain),
                (Rounded, n, width, &zero),
                (Rounded, n, width, &zero),
                (F32, 1, n, &zero[..n]),
                (Rounded, n, width, &dy),
                (Rounded, n, width, &dx),
                (F32, 1, width, &dgain),
                (Rounded, n, width, &zero),
            ],
        );
        let norm = |[_, _, gain, x, _, scale, ..]: &[_; 10]| -> Norm {
            let (gain, x, scale): (
                &assay_trainer::planned::Matrix,
                _,
                &assay_trainer::planned::Matrix,
            ) = (gain, x, scale);
            Norm { x: *x, gain: gain.region, scale: scale.region, eps: 1e-3 }
        };
        bench.both(|backend, all| backend.norm(Some((all[0], all[1])), &norm(all), all[4]));
        bench.assert_near("x", 3, ONCE);
        bench.assert_near("y", 4, TWICE);
        bench.assert_near("scale", 5, TWICE);
        // both go on from what the card has: the other stream is not rounded
        let [x, _] = bench.read(3);
        bench.put(3, &x);
        bench.both(|backend, all| backend.norm(None, &norm(all), all[4]));
        bench.assert_near("y without a delta", 4, ONCE);
        bench.assert_near("scale without a delta", 5, SUMS);
        bench.both(|backend, all| {
            backend.norm_backward(&norm(all), all[6], all[7], Onto::Sum, all[8].region);
        });
        bench.assert_near("dx", 7, ONCE);
        bench.assert_near("dgain", 8, SUMS);
        bench.assert_near("y again", 6, ONCE);
        bench.put(6, &dy);
        bench.both(|backend, all| {
            backend.norm_backward(&norm(all), all[6], all[9], Onto::Fresh, all[8].region);
        });
        // of a row of one number nothing is left but eps
        if 1 < width {
            bench.assert_near("dx afresh", 9, ONCE);
        }
    }
}

#[test]
fn products() {
    let shapes = [
        (1, 1, 1),
        (3, 5, 7),
        (17, 33, 9),
        (2, 66, 130),
        (130, 256, 64),
        (300, 96, 264),
        (1, 128, 128),
        (1000, 264, 512),
    ];
    for (n, inputs, outputs) in shapes {
        let (x, w) = (random(1, n * inputs), random(2, outputs * inputs));
        let (dy, dw) = (random(3, n * outputs), random(4, outputs * inputs));
        let noise = vec![9.0; n * inputs.max(outputs)];
        let mut bench = bench(
            &batch(&[&[1]], 5),
            8,
            [
                (Rounded, n, inputs, &x),
                (Rounded, outputs, inputs, &w),
                (Rounded, n, outputs, &noise[..n * outputs]),
                (F32, n, outputs, &noise[..n * outputs]),
                (Rounded, n, outputs, &dy),
                (Rounded, n, inputs, &noise[..n * inputs]),
                (F32, outputs, inputs, &dw),
            ],
        );
        bench.both(|backend, [x, w, y, logits, dy, dx, dw]| {
            backend.linear(*x, *w, *y);
            backend.linear(*x, *w, *logits);
            backend.linear_dgrad(*dy, *w, *dx);
            backend.linear_wgrad(*dy, *x, *dw);
        });
        let what = format!("{n} x {inputs} x {outputs}: ");
        bench.assert_near(&(what.clone() + "y"), 2, ONCE);
        bench.assert_near(&(what.clone() + "logits"), 3, SUMS);
        bench.assert_near(&(what.clone() + "dx"), 5, ONCE);
        bench.assert_near(&(what + "dw"), 6, SUMS);
    }
}

#[test]
fn rotation() {
    let batch = batch(&[&[3, 6], &[9]], 5);
    let n = batch.inputs.len();
    for (queries, keys, width) in [(3, 1, 6), (4, 2, 34), (2, 2, 64), (8, 2, 128)] {
        let heads = Heads { queries, keys, width };
        let angle = |at: usize| (at / width) as f32 / (1.0 + (at % (width / 2)) as f32);
        let table: Vec<f32> = (0..9 * width)
            .map(|at| if at % width < width / 2 { angle(at).cos() } else { angle(at).sin() })
            .collect();
        let packed = random(1, n * heads.packed());
        let mut bench =
            bench(&batch, width, [(Rounded, n, heads.packed(), &packed), (F32, 9, width, &table)]);
        bench.both(|backend, [packed, table]| backend.rope(*packed, heads, *table, Turn::Forward));
        bench.assert_near("rotated", 0, ONCE);
        bench.both(|backend, [packed, table]| backend.rope(*packed, heads, *table, Turn::Back));
        bench.assert_near("and back", 0, TWICE);
    }
}

fn attention_of(device: &Device, batch: &Batch, heads: Heads, with_backward: bool) {
    let n = batch.inputs.len();
    let packed: Vec<f32> = random(1, n * heads.packed()).iter().map(|x| 2.0 * x).collect();
    let (joined, dy) = (n * heads.joined(), random(2, n * heads.joined()));
    let noise = vec![9.0; n * heads.packed()];
    let mut bench = bench_on(
        device.clone(),
        batch,
        heads.width,
        [
            (Rounded, n, heads.packed(), &packed),
            (Rounded, n, heads.joined(), &noise[..joined]),
            (F32, n, heads.queries, &vec![9.0; n * heads.queries]),
            (Rounded, n, heads.joined(), &dy),
            (Rounded, n, heads.packed(), &noise),
        ],
    );
    let card = &device.card().name;
    let what = format!("{card}: {heads:?}, {} x {}: ", batch.rows, batch.context);
    bench.both(|backend, [packed, y, partitions, ..]| {
        backend.attention(*packed, heads, *y, partitions.region);
    });
    bench.assert_near(&(what.clone() + "y"), 1, TWICE);
    bench.assert_near(&(what.clone() + "log-partitions"), 2, 1e-4);
    if with_backward {
        bench.both(|backend, [packed, y, partitions, dy, dpacked]| {
            let forward = (*packed, *y, partitions.region);
            backend.attention_backward(forward, heads, *dy, *dpacked);
        });
        // weights and their gradient are rounded before they are multiplied, and so was y
        bench.assert_near(&(what + "gradient"), 4, 1e-2);
    }
}

#[test]
fn attention() {
    let rows: [&[&[usize]]; 6] = [
        &[&[1]],
        &[&[3, 4], &[7]],
        &[&[20, 1, 9], &[30], &[15, 15]],
        &[&[64], &[64]],
        &[&[40, 51, 109]],
        &[&[300, 1, 1, 210], &[512], &[100, 412]],
    ];
    let heads = [
        (1, 1, 2),
        (3, 1, 6),
        (4, 2, 10),
        (8, 2, 32),
        (4, 4, 64),
        (6, 2, 80),
        (8, 2, 128),
        (16, 1, 96),
    ];
    for device in devices() {
        let is_emulated = device.stream().is_none();
        for rows in rows {
            for (queries, keys, width) in heads {
                // several tiles take an emulated card seconds
                let is_large = rows.len() * rows[0].iter().sum::<usize>() > 1000;
                if is_emulated && is_large && ![64, 128].contains(&width) {
                    continue;
                }
                attention_of(&device, &batch(rows, 5), Heads { queries, keys, width }, true);
            }
        }
    }
}

#[test]
fn attention_of_branches() {
    let sequence = |shared: usize, own: usize, salt: u32| {
        let inputs: Vec<u32> =
            (0..shared + own).map(|at| if at < shared { 3 } else { 5 + salt }).collect();
        let length = inputs.len();
        let mut targets = vec![assay_trainer::data::IGNORED; length];
        targets[shared..].fill(1);
        assay_trainer::data::Sequence { inputs, targets, documents: vec![0; length], source: 0 }
    };
    let sets = [
        vec![sequence(5, 3, 1), sequence(5, 1, 2), sequence(5, 9, 3)],
        vec![sequence(161, 70, 4), sequence(161, 33, 5), sequence(161, 90, 6)],
        vec![sequence(0, 90, 8)],
    ];
    let rows: Vec<Row> = sets.iter().map(|set| Row::branched(set).0).collect();
    for device in devices() {
        for (queries, keys, width) in [(4, 2, 10), (8, 2, 64)] {
            let heads = Heads { queries, keys, width };
            attention_of(&device, &Batch::of_rows(&rows), heads, false);
        }
    }
}

#[test]
fn gates() {
    for (n, ffn) in [(1, 1), (3, 5), (17, 64), (300, 33), (130, 1408)] {
        let packed: Vec<f32> = random(1, n * 2 * ffn).iter().map(|x| 8.0 * x).collect();
        let dhidden = random(2, n * ffn);
        let mut bench = bench(
            &batch(&[&[1]], 5),
            8,
            [
                (Rounded, n, 2 * ffn, &packed),
                (Rounded, n, ffn, &vec![9.0; n * ffn]),
                (Rounded, n, ffn, &dhidden),
            ],
        );
        bench.both(|backend, [packed, hidden, dhidden]| {
            backend.swiglu(*packed, *hidden);
            backend.swiglu_backward(*packed, *dhidden);
        });
        for (what, number) in [("hidden", 1), ("gradients", 0), ("hidden again", 2)] {
            bench.assert_near(what, number, ONCE);
        }
    }
}

/// The gradient lies in the front half of the rows: it is looked at through the head's products.
#[test]
fn losses() {
    for vocabulary in [5, 72, 264, 1001, 32_000] {
        let batch = batch(&[&[40, 3]], vocabulary as u64);
        let (n, width) = (batch.inputs.len(), 16);
        let logits: Vec<f32> = random(1, n * vocabulary).iter().map(|x| 9.0 * x).collect();
        // every token's gradient through another direction
        let (x, w) = (random(2, n * width), random(3, vocabulary * width));
        let mut bench = bench(
            &batch,
            8,
            [
                (F32, n, vocabulary, &logits),
                (Rounded, n, width, &x),
                (Rounded, vocabulary, width, &w),
                (Rounded, n, width, &vec![9.0; n * width]),
                (F32, vocabulary, width, &vec![0.0; vocabulary * width]),
                (F32, 1, n, &vec![9.0; n]),
            ],
        );
        bench.both(|backend, all| backend.log_likelihoods(all[0], 0..n, all[5].region));
        bench.assert_near("log-likelihoods", 5, 1e-6);
        bench.put(0, &logits);
        let half = n / 2;
        let weights = Weights { target: 0.25, z: 1e-2 };
        bench.both(|backend, all| {
            for tokens in [0..half, half..n] {
                let logits = all[0].some_rows(&tokens);
                backend.cross_entropy(logits, tokens.clone(), weights);
                backend.linear_dgrad(logits, all[2], all[3].some_rows(&tokens));
                backend.linear_wgrad(logits, all[1].some_rows(&tokens), all[4]);
            }
        });
        bench.assert_near(&format!("{vocabulary}: gradient of x"), 3, TWICE);
        bench.assert_near(&format!("{vocabulary}: gradient of the head"), 4, TWICE);
        let [found, expected] = bench.ask(|backend, _| backend.losses());
        for (found, expected) in [(found.nats, expected.nats), (found.z, expected.z)] {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}");
        }
        let [again, _] = bench.ask(|backend, _| backend.losses());
        assert_eq!(again.nats, 0.0, "losses are forgotten once they are asked for");
    }
}

#[test]
fn norms() {
    for count in [1, 1000, 3_000_001] {
        let values = random(1, count);
        let mut bench =
            bench(&batch(&[&[1]], 5), 8, [(Rounded, 1, count, &values), (F32, 1, count, &values)]);
        for number in 0..2 {
            let [found, expected] = bench.ask(|backend, all| backend.square(all[number].region));
            assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}");
        }
    }
    let mut bench = bench(&batch(&[&[1]], 5), 8, [(F32, 1, 3, &[1.0, f32::NAN, 2.0])]);
    let [found, _] = bench.ask(|backend, all| backend.square(all[0].region));
    assert!(found.is_nan());
}

/// Some updates of weights that are f32.
#[test]
fn updates() {
    let count = 64 * 1000;
    let lay = |arena: &mut Arena, workspace, sizes: [usize; 5]| {
        let workspace = arena.take("workspace", workspace, 1);
        (workspace, sizes.map(|size| arena.take("state", if size == 0 { 0 } else { count }, size)))
    };
    let config = preset("llama-1m").expect("listed");
    let shape = Shape { rows: 1, context: 1, longest: 1, threads: 1 };
    let decayed = 64 * 700 + 3;
    let of = |[weights, _, grads, first, second]: [Region; 5]| Parameters {
        weights,
        grads,
        first,
        second,
        decayed,
    };
    let mut arena = Arena::default();
    let (_, regions) = lay(&mut arena, 0, [exact::SIZE, 0, exact::SIZE, exact::SIZE, exact::SIZE]);
    let (mut exact, in_exact) = (Exact::new(arena.bytes()), of(regions));
    let mut arena = Arena::default();
    let needed = Cuda::needs(&config, &shape).workspace;
    let (workspace, regions) = lay(&mut arena, needed, [2, 2, 4, 4, 4]);
    let [weights, rest, ..] = regions;
    let device = devices().swap_remove(0);
    let mut card = Cuda::with_arena(device, arena.bytes(), (workspace, weights, rest), 1, 8)
        .expect("an arena");
    let on_card = of(regions);
    // not what bf16 has
    let values = |seed| random(seed, count).iter().map(|x| x / 3.0 + 1e-7).collect::<Vec<f32>>();
    let w = values(1);
    card.write(weights, &w);
    exact.write(in_exact.weights, &w);
    let (mut found, mut expected) = (vec![0.0; count], vec![0.0; count]);
    card.read(weights, &mut found);
    assert_eq!(found, w, "masters are exact");
    let some = weights.part(640, 1000);
    card.read(some, &mut found[..1000]);
    assert_eq!(found[..1000], w[640..1640]);
    for updates in 1..=4 {
        let g = values(10 + updates);
        card.write(on_card.grads, &g);
        exact.write(in_exact.grads, &g);
        let rates = Rates {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            lr: 1e-3,
            updates,
            grad_scale: 0.5,
        };
        let squares = card.adamw(&on_card, &rates);
        let of = exact.adamw(&in_exact, &rates);
        for (what, on_card, in_exact) in [
            ("weights", weights, in_exact.weights),
            ("first moments", on_card.first, in_exact.first),
            ("second moments", on_card.second, in_exact.second),
        ] {
            card.read(on_card, &mut found);
            exact.read(in_exact, &mut expected);
            card.check().expect("nothing failed");
            near(what, &found, &expected, 1e-6);
            // go on from the same numbers
            card.write(on_card, &expected);
            exact.write(in_exact, &expected);
        }
        assert!((squares.weights / of.weights - 1.0).abs() < 1e-5, "{squares:?}, not {of:?}");
        assert!((squares.update / of.update - 1.0).abs() < 1e-4, "{squares:?}, not {of:?}");
        card.read(on_card.grads, &mut found);
        assert!(found.iter().all(|grad| *grad == 0.0), "gradients are forgotten");
    }
    let (square, expected) = (card.square(weights), exact.square(in_exact.weights));
    assert!((square / expected - 1.0).abs() < 1e-6, "{square}, not {expected}: with low halves");
}
