//! The forward passes in f64 where anybody knows what they give: the formulas stand nowhere else.

use std::f64::consts::LN_2;

use assay_trainer::data::IGNORED;
use assay_trainer::engine::{Batch, Row};
use assay_trainer::planned::{Backend, Heads, Norm, Parameters, Rates, Turn, Weights};

use crate::bench::{in_f64, tokens};
use crate::update::RATES;

#[track_caller]
fn assert_is(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (one, other) in found.iter().zip(expected) {
        assert!((one - other).abs() < 1e-12, "{found:?}, not {expected:?}");
    }
}

fn row(targets: &[u32], positions: &[u32]) -> Batch {
    let length = targets.len();
    let (inputs, starts) = (vec![0; length], vec![0; length]);
    let (targets, positions) = (targets.to_vec(), positions.to_vec());
    Batch::of_rows(&[Row { inputs, targets, positions, starts, shared: 0 }])
}

#[test]
fn a_row_is_divided_by_its_root_mean_square() {
    let matrices: [(usize, usize, &[f64]); 6] = [
        (1, 2, &[1.0, 5.0]),
        (1, 2, &[0.0, 2.0]),
        (1, 2, &[1.0, 3.0]),
        (1, 2, &[0.0; 2]),
        (1, 2, &[0.0; 2]),
        (1, 1, &[0.0]),
    ];
    let (mut exact, [before, delta, gain, x, y, scale]) = in_f64(&tokens(1), matrices);
    // mean of 1 and 49 is 25
    let norm = Norm { x, gain: gain.region, scale: scale.region, eps: 0.0 };
    exact.norm(Some((before, delta)), &norm, y);
    assert_is(&exact.get(x.region), &[1.0, 7.0]);
    assert_is(&exact.get(scale.region), &[0.2]);
    assert_is(&exact.get(y.region), &[0.2, 4.2]);
    exact.norm(None, &Norm { eps: 75.0, ..norm }, y);
    assert_is(&exact.get(y.region), &[0.1, 2.1]);
}

#[test]
fn a_weight_is_a_row_of_a_product() {
    let matrices: [(usize, usize, &[f64]); 3] =
        [(1, 2, &[1.0, 10.0]), (3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), (1, 3, &[0.0; 3])];
    let (mut exact, [x, w, y]) = in_f64(&tokens(1), matrices);
    exact.linear(x, w, y);
    assert_is(&exact.get(y.region), &[21.0, 43.0, 65.0]);
}

/// A quarter turn at position 1, of the first pair alone; values stay.
#[test]
fn halves_of_a_head_are_turned() {
    let packed: Vec<f64> = (1..=12).map(f64::from).collect();
    let table = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
    let matrices: [(usize, usize, &[f64]); 2] = [(1, 12, &packed), (2, 4, &table)];
    let (mut exact, [packed, table]) = in_f64(&row(&[0], &[1]), matrices);
    let heads = Heads { queries: 1, keys: 1, width: 4 };
    exact.rope(packed, heads, table, Turn::Forward);
    let expected = [-3.0, 2.0, 1.0, 4.0, -7.0, 6.0, 5.0, 8.0, 9.0, 10.0, 11.0, 12.0];
    assert_is(&exact.get(packed.region), &expected);
}

/// Scores of ln 1 and ln 3, once they are over sqrt(4): the second value counts thrice.
#[test]
fn values_are_mixed_by_the_softmax_of_scores() {
    let heads = Heads { queries: 1, keys: 1, width: 4 };
    let query = [2.0, 0.0, 0.0, 0.0];
    let values = [[8.0, 0.0, 1.0, 1.0], [0.0, 4.0, 1.0, 5.0]];
    let keys = [[0.0, 1.0, 1.0, 1.0], [3.0_f64.ln(), 1.0, 1.0, 1.0]];
    let packed: Vec<f64> =
        [0, 1].iter().flat_map(|token| [query, keys[*token], values[*token]].concat()).collect();
    let matrices: [(usize, usize, &[f64]); 3] =
        [(2, 12, &packed), (2, 4, &[0.0; 8]), (2, 1, &[0.0; 2])];
    let (mut exact, [packed, y, partitions]) = in_f64(&row(&[0, 0], &[0, 1]), matrices);
    exact.attention(packed, heads, y, partitions.region);
    assert_is(&exact.get(y.region), &[8.0, 0.0, 1.0, 1.0, 2.0, 3.0, 1.0, 4.0]);
    assert_is(&exact.get(partitions.region), &[0.0, 2.0 * LN_2]);
}

/// The sigmoid of ln 3 is 3/4.
#[test]
fn a_gate_lets_through_its_sigmoid_of_itself() {
    let gate = 3.0_f64.ln();
    let matrices: [(usize, usize, &[f64]); 2] = [(1, 4, &[gate, 0.0, 8.0, 5.0]), (1, 2, &[1.0; 2])];
    let (mut exact, [packed, hidden]) = in_f64(&tokens(1), matrices);
    exact.swiglu(packed, hidden);
    assert_is(&exact.get(hidden.region), &[6.0 * gate, 0.0]);
}

#[test]
fn equal_logits_lose_the_logarithm_of_their_number() {
    let logits = [[LN_2; 4]; 3].concat();
    let matrices: [(usize, usize, &[f64]); 2] = [(3, 4, &logits), (1, 3, &[9.0; 3])];
    let (mut exact, [logits, out]) = in_f64(&row(&[1, IGNORED, 3], &[0, 1, 2]), matrices);
    exact.log_likelihoods(logits, 0..3, out.region);
    assert_is(&exact.get(out.region), &[-2.0 * LN_2, 0.0, -2.0 * LN_2]);
    exact.cross_entropy(logits, 0..3, Weights { target: 1.0, z: 0.0 });
    let losses = exact.losses();
    assert_is(&[losses.nats, losses.z], &[4.0 * LN_2, 18.0 * LN_2 * LN_2]);
}

/// Moments that began at 0 are the gradient and its square once they are corrected: all move alike.
#[test]
fn a_first_update_goes_by_signs() {
    let matrices: [(usize, usize, &[f64]); 4] =
        [(1, 2, &[3.0, 3.0]), (1, 2, &[4.0, -0.5]), (1, 2, &[0.0; 2]), (1, 2, &[0.0; 2])];
    let (mut exact, places) = in_f64(&tokens(1), matrices);
    let [weights, grads, first, second] = places.map(|matrix| matrix.region);
    assert_is(&[exact.square(grads)], &[16.25]);
    let parameters = Parameters { weights, grads, first, second, decayed: 1 };
    let squares = exact.adamw(&parameters, &Rates { eps: 0.0, updates: 1, ..RATES });
    // of these only the first is decayed, by lr 0.1 of itself; the gradients are halved first
    assert_is(&exact.get(weights), &[3.0 - 0.01 - 0.003, 3.0 + 0.01]);
    assert_is(&exact.get(first), &[0.2, -0.025]);
    assert_is(&exact.get(second), &[0.2, 0.003_125]);
    assert_is(&exact.get(grads), &[0.0, 0.0]);
    assert_is(&[squares.update], &[0.013 * 0.013 + 0.01 * 0.01]);
    assert_is(&[squares.weights], &[2.987 * 2.987 + 3.01 * 3.01]);
}
