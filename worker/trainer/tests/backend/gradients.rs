//! The backward passes in f64, held to central differences of the forward passes in f64.

use assay_trainer::engine::Batch;
use assay_trainer::planned::{Backend, Heads, Matrix, Norm, Onto, Region, Turn, Weights};

use crate::bench::{batch, branches, in_f64, random, tokens};
use crate::exact::Exact;

/// What its square leaves of a third derivative is below what rounding leaves of a difference.
const STEP: f64 = 1e-5;

#[track_caller]
fn assert_same(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().map(|value| value.abs()).fold(1e-3, f64::max);
    for ((at, found), expected) in found.iter().enumerate().zip(expected) {
        let error = (found - expected).abs();
        assert!(error < 1e-7 * size, "{what}, number {at}: {found}, not {expected}");
    }
}

/// The gradient by some numbers of what is computed from them.
fn differences(
    exact: &mut Exact,
    by: Region,
    mut value: impl FnMut(&mut Exact) -> f64,
) -> Vec<f64> {
    let begin = exact.get(by);
    let mut at_step = |at: usize, step: f64| {
        let mut moved = begin.clone();
        moved[at] += step;
        exact.put(by, &moved);
        value(exact)
    };
    let slope = |at| (at_step(at, STEP) - at_step(at, -STEP)) / (2.0 * STEP);
    let found = (0..by.len).map(slope).collect();
    exact.put(by, &begin);
    found
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn of_normalization() {
    for (n, width) in [(1, 1), (3, 5), (2, 17)] {
        let size = n * width;
        let (x, gain, dy) = (random(1, size), random(2, width), random(3, size));
        let (dx, dgain) = (random(4, size), random(5, width));
        let zero = vec![0.0; size];
        let (mut exact, [x_at, gain_at, y, scale, dy_at, dx_at, dgain_at, again, fresh]) = in_f64(
            &tokens(n),
            [
                (n, width, &x),
                (1, width, &gain),
                (n, width, &zero),
                (1, n, &zero[..n]),
                (n, width, &dy),
                (n, width, &dx),
                (1, width, &dgain),
                (n, width, &dy),
                (n, width, &zero),
            ],
        );
        let norm = Norm { x: x_at, gain: gain_at.region, scale: scale.region, eps: 1e-3 };
        let loss = |exact: &mut Exact| {
            exact.norm(None, &norm, y);
            dot(&exact.get(y.region), &dy)
        };
        let of_x = differences(&mut exact, x_at.region, loss);
        let of_gain = differences(&mut exact, gain_at.region, loss);
        exact.norm(None, &norm, y);
        exact.norm_backward(&norm, dy_at, dx_at, Onto::Sum, dgain_at.region);
        assert_same("dx", &exact.get(dx_at.region), &sum(&dx, &of_x));
        assert_same("dgain", &exact.get(dgain_at.region), &sum(&dgain, &of_gain));
        assert_same("y again", &exact.get(dy_at.region), &exact.get(y.region));
        exact.norm_backward(&norm, again, fresh, Onto::Fresh, dgain_at.region);
        assert_same("dx afresh", &exact.get(fresh.region), &of_x);
    }
}

#[test]
fn of_products() {
    for (n, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (5, 2, 9)] {
        let (x, w) = (random(1, n * inputs), random(2, outputs * inputs));
        let (dy, dw) = (random(3, n * outputs), random(4, outputs * inputs));
        let (mut exact, [x_at, w_at, y, dy_at, dx, dw_at]) = in_f64(
            &tokens(n),
            [
                (n, inputs, &x),
                (outputs, inputs, &w),
                (n, outputs, &vec![9.0; n * outputs]),
                (n, outputs, &dy),
                (n, inputs, &vec![9.0; n * inputs]),
                (outputs, inputs, &dw),
            ],
        );
        let loss = |exact: &mut Exact| {
            exact.linear(x_at, w_at, y);
            dot(&exact.get(y.region), &dy)
        };
        let of_x = differences(&mut exact, x_at.region, loss);
        let of_w = differences(&mut exact, w_at.region, loss);
        exact.linear_dgrad(dy_at, w_at, dx);
        exact.linear_wgrad(dy_at, x_at, dw_at);
        assert_same("dx", &exact.get(dx.region), &of_x);
        assert_same("dw", &exact.get(dw_at.region), &sum(&dw, &of_w));
    }
}

#[test]
fn of_rotation() {
    let (batch, heads) = (batch(&[&[2, 3]], 5), Heads { queries: 2, keys: 1, width: 6 });
    let n = batch.inputs.len();
    let (packed, dy) = (random(1, n * heads.packed()), random(2, n * heads.packed()));
    let angles: Vec<f64> = random(3, 3 * 3).iter().map(|x| 3.0 * x).collect();
    let row = |row: &[f64]| -> Vec<f64> {
        row.iter().map(|x| x.cos()).chain(row.iter().map(|x| x.sin())).collect()
    };
    let table: Vec<f64> = angles.chunks_exact(3).flat_map(row).collect();
    let matrices =
        [(n, heads.packed(), &*packed), (3, heads.width, &table), (n, heads.packed(), &dy)];
    let (mut exact, [packed_at, table, dy_at]) = in_f64(&batch, matrices);
    let expected = differences(&mut exact, packed_at.region, |exact| {
        exact.rope(packed_at, heads, table, Turn::Forward);
        dot(&exact.get(packed_at.region), &dy)
    });
    exact.rope(dy_at, heads, table, Turn::Back);
    assert_same("dpacked", &exact.get(dy_at.region), &expected);
}

fn attention_of(batch: &Batch, heads: Heads) {
    let n = batch.inputs.len();
    let (packed, joined) = (n * heads.packed(), n * heads.joined());
    let (values, dy) =
        (random(1, packed).iter().map(|x| 2.0 * x).collect::<Vec<_>>(), random(2, joined));
    let noise = random(3, packed);
    let (mut exact, [packed_at, y, partitions, dy_at, dpacked]) = in_f64(
        batch,
        [
            (n, heads.packed(), &values),
            (n, heads.joined(), &noise[..joined]),
            (n, heads.queries, &noise[..n * heads.queries]),
            (n, heads.joined(), &dy),
            (n, heads.packed(), &noise),
        ],
    );
    let expected = differences(&mut exact, packed_at.region, |exact| {
        exact.attention(packed_at, heads, y, partitions.region);
        dot(&exact.get(y.region), &dy)
    });
    exact.attention(packed_at, heads, y, partitions.region);
    exact.attention_backward((packed_at, y, partitions.region), heads, dy_at, dpacked);
    assert_same("dpacked", &exact.get(dpacked.region), &expected);
}

#[test]
fn of_attention() {
    let heads = [(1, 1, 2), (3, 1, 6), (4, 2, 4)];
    let batches = [
        batch(&[&[1]], 5),
        batch(&[&[3, 4], &[7]], 5),
        Batch::of_rows(&[branches(3, &[2, 1, 4]), branches(0, &[5])]),
    ];
    for (queries, keys, width) in heads {
        for batch in &batches {
            attention_of(batch, Heads { queries, keys, width });
        }
    }
}

#[test]
fn of_the_gate() {
    for (n, ffn) in [(1, 1), (5, 3), (2, 17)] {
        let packed: Vec<f64> = random(1, n * 2 * ffn).iter().map(|x| 9.0 * x).collect();
        let dhidden = random(2, n * ffn);
        let matrices = [(n, 2 * ffn, &*packed), (n, ffn, &vec![3.0; n * ffn]), (n, ffn, &dhidden)];
        let (mut exact, [packed_at, hidden, dhidden_at]) = in_f64(&tokens(n), matrices);
        let expected = differences(&mut exact, packed_at.region, |exact| {
            exact.swiglu(packed_at, hidden);
            dot(&exact.get(hidden.region), &dhidden)
        });
        exact.swiglu(packed_at, hidden);
        exact.swiglu_backward(packed_at, dhidden_at);
        assert_same("dpacked", &exact.get(packed_at.region), &expected);
        assert_same("hidden again", &exact.get(dhidden_at.region), &exact.get(hidden.region));
    }
}

#[test]
fn of_cross_entropy() {
    let weights = Weights { target: 0.25, z: 0.125 };
    for vocabulary in [2, 7, 33] {
        let batch = batch(&[&[4, 5]], vocabulary as u64);
        let tokens = 2..9;
        let logits: Vec<f64> =
            random(1, tokens.len() * vocabulary).iter().map(|x| 5.0 * x).collect();
        let (mut exact, [at]) = in_f64(&batch, [(tokens.len(), vocabulary, &logits)]);
        let expected = differences(&mut exact, at.region, |exact| {
            exact.cross_entropy(at, tokens.clone(), weights);
            let losses = exact.losses();
            weights.target * losses.nats + weights.z * losses.z
        });
        exact.cross_entropy(at, tokens.clone(), weights);
        assert_same("dlogits", &exact.get(at.region), &expected);
    }
}

#[test]
fn of_embedding() {
    let batch = batch(&[&[9]], 5);
    let (n, width) = (batch.inputs.len(), 3);
    let (table, dx, dtable) = (random(1, 5 * width), random(2, n * width), random(3, 5 * width));
    let x = vec![9.0; n * width];
    let matrices: [(usize, usize, &[f64]); 4] =
        [(5, width, &table), (n, width, &x), (n, width, &dx), (5, width, &dtable)];
    let (mut exact, [table_at, x, dx_at, dtable_at]): (_, [Matrix; 4]) = in_f64(&batch, matrices);
    let expected = differences(&mut exact, table_at.region, |exact| {
        exact.embed(table_at, x);
        dot(&exact.get(x.region), &dx)
    });
    exact.embed_backward(dx_at, dtable_at);
    assert_same("dtable", &exact.get(dtable_at.region), &sum(&dtable, &expected));
}
