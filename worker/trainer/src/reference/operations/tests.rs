//! Each operation against the composition of candle's own, forward and backward.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::*;
use crate::data::IGNORED;

/// Values between -2 and 2 without a pattern.
fn values(shape: &[usize], seed: u32) -> Var {
    let size = shape.iter().product::<usize>();
    let mut state = seed;
    let draw = (0..size).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        single(f64::from(state >> 8) / f64::from(1 << 22) - 2.0)
    });
    Var::from_vec(draw.collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

/// Sums of squares with uneven weights, so that every place has a gradient of its own.
fn scalar(tensor: &Tensor) -> Tensor {
    let weights = values(tensor.dims(), 99).as_detached_tensor();
    (tensor * weights).unwrap().sum_all().unwrap()
}

fn assert_close(one: &Tensor, other: &Tensor) {
    assert_eq!(one.dims(), other.dims());
    let list = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (at, (one, other)) in list(one).into_iter().zip(list(other)).enumerate() {
        let size = one.abs().max(other.abs()).max(0.1);
        assert!((one - other).abs() < 2e-5 * size, "at {at}: {one} and {other}");
    }
}

fn assert_same(ours: &Tensor, composed: &Tensor, variables: &[&Var]) {
    assert_close(ours, composed);
    let ours = scalar(ours).backward().unwrap();
    let composed = scalar(composed).backward().unwrap();
    for variable in variables {
        let ours = ours.get(variable.as_tensor()).expect("ours has a gradient");
        assert_close(ours, composed.get(variable.as_tensor()).expect("composed too"));
    }
}

#[test]
fn rms_norm_is_the_formula() {
    let (x, gain) = (values(&[5, 24], 1), values(&[24], 2));
    let ours = rms_norm(&x, &gain, 1e-5).unwrap();
    let mean = (x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-5).unwrap();
    let normal = x.broadcast_div(&mean.sqrt().unwrap()).unwrap();
    assert_same(&ours, &normal.broadcast_mul(&gain).unwrap(), &[&x, &gain]);
}

#[test]
fn swiglu_is_the_formula() {
    let (gate, up) = (values(&[7, 9], 1), values(&[7, 9], 2));
    let ours = swiglu(&gate, &up).unwrap();
    assert_same(&ours, &(gate.silu().unwrap() * up.as_tensor()).unwrap(), &[&gate, &up]);
}

#[test]
fn heads_are_split_turned_and_joined() {
    let [b, t, h, e] = [2, 3, 4, 6];
    let x = values(&[b * t, h * e], 1);
    let positions: [u32; 6] = [0, 1, 2, 0, 0, 1];
    let angle = |position: u32, pair: usize| f64::from(position) * [1.0, 0.3, 0.07][pair];
    let table = |of: fn(f64) -> f64| -> Arc<[f32]> {
        (0..9).map(|at| single(of(angle(at / 3, at as usize % 3)))).collect()
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let angles = Angles { positions_bt: positions.into(), cos, sin };
    let ours = split_heads(&x, [b, t, h, e], Some(&angles)).unwrap();

    let of = |of: fn(f64) -> f64| {
        let list: Vec<f32> =
            (0..18).map(|at| single(of(angle(positions[at / 3], at % 3)))).collect();
        Tensor::from_vec(list, (b, 1, t, e / 2), &Device::Cpu).unwrap()
    };
    let split = x.reshape((b, t, h, e)).unwrap().transpose(1, 2).unwrap();
    let (first, second) =
        (split.narrow(3, 0, e / 2).unwrap(), split.narrow(3, e / 2, e / 2).unwrap());
    let times = |x: &Tensor, y: &Tensor| x.broadcast_mul(y).unwrap();
    let (cos, sin) = (of(f64::cos), of(f64::sin));
    let turned = Tensor::cat(
        &[
            (times(&first, &cos) - times(&second, &sin)).unwrap(),
            (times(&second, &cos) + times(&first, &sin)).unwrap(),
        ],
        3,
    );
    assert_same(&ours, &turned.unwrap(), &[&x]);

    let y = values(&[b, h, t, e], 3);
    let joined = y.transpose(1, 2).unwrap().reshape((b * t, h * e)).unwrap();
    assert_same(&join_heads(&y, [b, t, h, e]).unwrap(), &joined, &[&y]);
}

#[test]
fn attention_is_a_masked_softmax() {
    let (b, h, t) = (2, 2, 5);
    let scores = values(&[b, h, t, t], 1);
    let starts: [u32; 10] = [0, 0, 2, 2, 2, 0, 1, 1, 1, 4];
    // the first row's second document looks at its first token as well
    let shared = |row: usize, query: usize| [1, 0][row].min(starts[row * t + query] as usize);
    let seen = |token: usize| {
        let (row, query) = (token / t, token % t);
        [0..shared(row, query), starts[token] as usize..query + 1]
    };
    let seen_bt = (0..b * t).map(seen).collect();
    let attended = Attended { seen_bt, heads: h, context: t };
    let ours = attention_weights(&scores, attended, 0.6).unwrap();

    let allowed = |row: usize, query: usize, key: usize| {
        let own = starts[row * t + query] as usize <= key && key <= query;
        own || key < shared(row, query)
    };
    let mask = (0..b * t * t).map(|at| {
        let (row, query, key) = (at / (t * t), at / t % t, at % t);
        if allowed(row, query, key) { 0.0 } else { -1e9_f32 }
    });
    let mask = Tensor::from_iter(mask, &Device::Cpu).unwrap().reshape((b, 1, t, t)).unwrap();
    let masked = (scores.as_tensor() * 0.6).unwrap().broadcast_add(&mask).unwrap();
    let powers = masked.exp().unwrap();
    let softmax = powers.broadcast_div(&powers.sum_keepdim(D::Minus1).unwrap()).unwrap();
    assert_same(&ours, &softmax, &[&scores]);
}

#[test]
fn cross_entropy_ignores_what_it_should_and_weighs_z() {
    let logits = values(&[4, 7], 1);
    let targets = [3, IGNORED, 0, 6];
    let ours = cross_entropy(&logits, &targets, Weights { target: 0.5, z: 0.25 }).unwrap();

    let rows = Tensor::new(&[0_u32, 2, 3], &Device::Cpu).unwrap();
    let scored = logits.index_select(&rows, 0).unwrap();
    let partition = scored.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap();
    let picked = Tensor::new(&[[3_u32], [0], [6]], &Device::Cpu).unwrap();
    let nats = (&partition - scored.gather(&picked, 1).unwrap()).unwrap().sum_all().unwrap();
    let z = partition.sqr().unwrap().sum_all().unwrap();
    let composed = ((&nats * 0.5).unwrap() + (&z * 0.25).unwrap()).unwrap();
    assert_same(&ours.loss, &composed, &[&logits]);

    let number = |tensor: &Tensor| {
        tensor.to_dtype(DType::F64).and_then(|tensor| tensor.to_scalar::<f64>()).unwrap()
    };
    assert!((ours.nats - number(&nats)).abs() < 1e-5);
    assert!((ours.z - number(&z)).abs() < 1e-5);
    let likelihoods = log_likelihoods(&logits.as_detached_tensor(), &targets).unwrap();
    assert_eq!(likelihoods[1], 0.0);
    assert!((f64::from(likelihoods.iter().sum::<f32>()) + ours.nats).abs() < 1e-5);
}

#[test]
fn a_target_outside_the_vocabulary_is_an_error() {
    let logits = values(&[1, 7], 1);
    assert!(log_likelihoods(&logits, &[6]).is_ok());
    let error = log_likelihoods(&logits, &[7]).unwrap_err().to_string();
    assert!(error.contains("token 7") && error.contains("vocabulary of 7"), "{error}");
}
