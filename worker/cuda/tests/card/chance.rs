//! Updates without masters: rounded up or down by chance, right on average, and the same again.

use assay_cuda::Cuda;
use assay_trainer::model::preset;
use assay_trainer::planned::{Arena, Backend, Parameters, Rates, Region, Shape, Squares};

use crate::bench::{devices, random, rounded};

const RATES: Rates = Rates {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    lr: 1e-3,
    updates: 1,
    grad_scale: 0.5,
};

struct State {
    card: Cuda,
    parameters: Parameters,
}

impl State {
    fn new(count: usize, decayed: usize, values: [&[f32]; 3]) -> Self {
        let mut arena = Arena::default();
        let config = preset("llama-1m").expect("listed");
        let shape = Shape { rows: 1, context: 1, longest: 1, threads: 1 };
        let workspace = arena.take("workspace", Cuda::needs(&config, &shape).workspace, 1);
        let [weights, grads, first, second] = [(); 4].map(|()| arena.take("state", count, 2));
        let nothing = Region { at: 0, len: 0, size: 2 };
        let regions = (workspace, weights, nothing);
        let mut card = Cuda::with_arena(devices().swap_remove(0), arena.bytes(), regions, 1, 8)
            .expect("an arena");
        for (region, values) in [weights, first, second].into_iter().zip(values) {
            card.write(region, values);
        }
        Self { card, parameters: Parameters { weights, grads, first, second, decayed } }
    }

    fn update(&mut self, grads: &[f32], rates: &Rates) -> Squares {
        self.card.write(self.parameters.grads, grads);
        self.card.adamw(&self.parameters, rates)
    }

    /// Weights, first and second moments.
    fn read(&self) -> [Vec<f32>; 3] {
        let Parameters { weights, first, second, .. } = self.parameters;
        let read = [weights, first, second].map(|region| {
            let mut values = vec![0.0; region.len];
            self.card.read(region, &mut values);
            values
        });
        self.card.check().expect("nothing failed");
        read
    }
}

/// `SplitMix64`, as the kernel has it.
fn chance(update: u64, at: u64) -> u64 {
    let mut bits = update.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(at);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The update in f64 is what each number is rounded from: to one of its neighbors, the one that the bits say, and
/// over all numbers neither up nor down.
#[test]
fn every_number_becomes_one_of_its_neighbors() {
    let (count, decayed) = (64 * 1000, 64 * 700 + 3);
    let (w, m) = (random(1, count), random(2, count));
    let v: Vec<f32> = random(3, count).iter().map(|x| rounded(x * x)).collect();
    let g = random(4, count);
    let rates = Rates { updates: 3, ..RATES };
    let mut state = State::new(count, decayed, [&w, &m, &v]);
    let squares = state.update(&g, &rates);
    let found = state.read();
    let (mut others, mut drift) = ([0_usize; 3], [0.0_f64; 3]);
    let (mut of_weights, mut of_update) = (0.0, 0.0);
    for at in 0..count {
        let grad = f64::from(g[at]) * 0.5;
        let first = 0.9 * f64::from(m[at]) + 0.1 * grad;
        let second = 0.95 * f64::from(v[at]) + 0.05 * grad * grad;
        let direction =
            first / (1.0 - 0.9_f64.powi(3)) / ((second / (1.0 - 0.95_f64.powi(3))).sqrt() + 1e-8);
        let keep = if at < decayed { 1.0 - 1e-3 * 0.1 } else { 1.0 };
        let after = f64::from(w[at]) * keep - 1e-3 * direction;
        of_weights += after * after;
        of_update += (after - f64::from(w[at])).powi(2);
        let bits = chance(3, at as u64);
        for (which, exact) in [after, first, second].into_iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in f32")]
            let single = exact as f32;
            let noise = u32::try_from(bits >> (16 * which) & 0xffff).expect("16 bits");
            let expected = f32::from_bits(single.to_bits().wrapping_add(noise) & 0xffff_0000);
            let below = f32::from_bits(single.to_bits() & 0xffff_0000);
            let step = f64::from(f32::from_bits(below.to_bits() + 0x1_0000)) - f64::from(below);
            let got = f64::from(found[which][at]);
            assert!(
                (got - exact).abs() <= 1.001 * step.abs(),
                "number {at} of {which}: {got} is no neighbor of {exact}"
            );
            others[which] += usize::from(found[which][at] != expected);
            drift[which] += (got - exact) / step.abs();
        }
    }
    // where f32 and f64 lie on either side of the border that the bits draw
    assert!(others.iter().all(|others| *others < count / 500), "{others:?} of {count} differ");
    // the mean of as many errors, each within a step, strays by 1/500 of a step
    let means = drift.map(|drift| drift / count as f64);
    assert!(means.iter().all(|mean| mean.abs() < 0.01), "rounding drifts: {means:?}");
    assert!((squares.weights / of_weights - 1.0).abs() < 1e-5, "{squares:?}, not {of_weights}");
    assert!((squares.update / of_update - 1.0).abs() < 1e-3, "{squares:?}, not {of_update}");

    let mut again = State::new(count, decayed, [&w, &m, &v]);
    again.update(&g, &rates);
    assert_eq!(again.read(), found, "the same chance");
    let mut other = State::new(count, decayed, [&w, &m, &v]);
    other.update(&g, &Rates { updates: 4, ..rates });
    assert_ne!(other.read()[1], found[1], "another update, another chance");
}

/// 100 steps of 1e-5 from 1, where neighbors are 1/256 apart: rounded to the nearest, all would stay.
#[test]
fn steps_that_are_too_small_for_bf16_add_up() {
    let count = 64 * 400;
    let zero = vec![0.0; count];
    let mut state = State::new(count, 0, [&vec![1.0; count], &zero, &zero]);
    for updates in 1..=100 {
        let rates = Rates { updates, lr: 1e-5, grad_scale: 1.0, ..RATES };
        state.update(&vec![0.25; count], &rates);
    }
    let [weights, _, second] = state.read();
    let mean = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / count as f64;
    let moved = 1.0 - mean(&weights);
    assert!((moved / 1e-3 - 1.0).abs() < 0.06, "moved by {moved}, not by 0.001");
    let expected = 0.0625 * (1.0 - 0.95_f64.powi(100));
    let second = mean(&second);
    assert!((second / expected - 1.0).abs() < 1e-2, "{second}, not {expected}");
}
