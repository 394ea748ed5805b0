//! A backend with numbers in its arena, and what numbers are compared with: the CPU's, or the one in f64 that the card's is
//! held to.

use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::Batch;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Arena, Backend, Matrix, Region, Shape};

use crate::exact::{self, Exact};

/// A small step, and what its square leaves of a difference in f64.
pub(crate) const STEP: f64 = 1e-5;

/// Numbers between -1 and 1, the same for the same seed.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f64> {
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
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

/// What is left of a number that a backend is given.
pub(crate) fn rounded(value: f64) -> f64 {
    f64::from(single(value))
}

/// A backend with some matrices in its arena.
pub(crate) struct Bench {
    pub(crate) backend: Box<dyn Backend>,
}

/// As many threads as stand for the backend in f64.
pub(crate) const EXACT: usize = 0;

/// Lays out matrices, puts numbers in, and makes a backend around them.
pub(crate) fn bench<const N: usize>(
    threads: usize,
    batch: &Batch,
    matrices: [(usize, usize, &[f64]); N],
) -> (Bench, [Matrix; N]) {
    let mut arena = Arena::default();
    let config = Config { width: 64, ..preset("llama-1m").expect("listed") };
    let (rows, context) = (batch.rows.max(1), batch.context.max(1));
    let shape = Shape { rows, context, longest: context, threads: threads.max(1) };
    let size = if threads == EXACT { exact::SIZE } else { size_of::<f32>() };
    let workspace = arena.take("workspace", Cpu::needs(&config, &shape).workspace, 1);
    let placed = matrices.map(|(rows, columns, _)| Matrix {
        region: arena.take("matrix", rows * columns, size),
        rows,
        columns,
    });
    let (bytes, tokens) = (arena.bytes(), batch.inputs.len());
    let mut backend: Box<dyn Backend> = if threads == EXACT {
        Box::new(Exact::new(bytes))
    } else {
        Box::new(Cpu::new(bytes, workspace, tokens, threads, Products::F32).expect("memory"))
    };
    backend.load(batch);
    for (matrix, (_, _, values)) in placed.iter().zip(matrices) {
        let values: Vec<f32> = values.iter().map(|value| single(*value)).collect();
        backend.write(matrix.region, &values);
    }
    (Bench { backend }, placed)
}

impl Bench {
    pub(crate) fn read(&self, region: Region) -> Vec<f64> {
        let mut values = vec![0.0; region.len];
        self.backend.read(region, &mut values);
        values.into_iter().map(f64::from).collect()
    }
}

#[track_caller]
pub(crate) fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().map(|value| value.abs()).fold(1e-3, f64::max);
    for ((at, found), expected) in found.iter().enumerate().zip(expected) {
        let error = (found - expected).abs();
        assert!(error < 2e-5 * size, "{what}, number {at}: {found}, not {expected}");
    }
}

/// The gradient of sum(weights * f(x)) by central differences.
pub(crate) fn differences(x: &[f64], weights: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
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
pub(crate) fn batch(rows: &[&[usize]], vocabulary: u64) -> Batch {
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
pub(crate) fn tokens(count: usize) -> Batch {
    batch(&[&[count]], 5)
}

pub(crate) fn times(a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
    let cell = |at: usize| (0..k).map(|i| a[at / n * k + i] * b[i * n + at % n]).sum();
    (0..m * n).map(cell).collect()
}

pub(crate) fn turned(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|at| a[at % rows * columns + at / rows]).collect()
}
