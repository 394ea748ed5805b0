//! The same numbers in two arenas: the CPU's, and that of the backend in f64. What an operation gives must be the same but
//! for rounding to f32.

use assay_trainer::cpu::{Cpu, Products};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::{Batch, Row};
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Arena, Backend, Matrix, Region, Shape};

use crate::exact::{self, Exact};

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

/// Rows, columns, and what is in it.
pub(crate) type Spec<'a> = (usize, usize, &'a [f64]);

/// Bytes that a workspace and matrices of such numbers take, and where they lie.
fn lay<const N: usize>(
    workspace: usize,
    matrices: [Spec<'_>; N],
    size: usize,
) -> (usize, Region, [Matrix; N]) {
    let mut arena = Arena::default();
    let workspace = arena.take("workspace", workspace, 1);
    let placed = matrices.map(|(rows, columns, _)| {
        let region = arena.take("matrix", rows * columns, size);
        Matrix { region, rows, columns }
    });
    (arena.bytes(), workspace, placed)
}

/// Only the backend in f64, and nothing is rounded.
pub(crate) fn in_f64<const N: usize>(
    batch: &Batch,
    matrices: [Spec<'_>; N],
) -> (Exact, [Matrix; N]) {
    let (bytes, _, placed) = lay(0, matrices, exact::SIZE);
    let mut exact = Exact::new(bytes);
    exact.load(batch);
    for (matrix, (_, _, values)) in placed.iter().zip(matrices) {
        exact.put(matrix.region, values);
    }
    (exact, placed)
}

pub(crate) struct Bench<const N: usize> {
    cpu: Cpu,
    exact: Exact,
    on_cpu: [Matrix; N],
    on_exact: [Matrix; N],
}

/// Lays out matrices on both, and puts numbers in.
pub(crate) fn bench<const N: usize>(
    threads: usize,
    batch: &Batch,
    matrices: [Spec<'_>; N],
) -> Bench<N> {
    let largest = |of: fn(&Spec<'_>) -> usize| matrices.iter().map(of).max().unwrap_or(1);
    let config = Config { width: largest(|spec| spec.1), ..preset("llama-1m").expect("listed") };
    let (rows, context) = (batch.rows.max(1), batch.context.max(1));
    let longest = context.max(largest(|spec| spec.0));
    let shape = Shape { rows, context, longest, threads };
    let (bytes, workspace, on_cpu) =
        lay(Cpu::needs(&config, &shape).workspace, matrices, size_of::<f32>());
    let tokens = batch.inputs.len();
    let mut cpu = Cpu::new(bytes, workspace, tokens, threads, Products::F32).expect("memory");
    cpu.load(batch);
    let (exact, on_exact) = in_f64(batch, matrices);
    let mut bench = Bench { cpu, exact, on_cpu, on_exact };
    for (number, (_, _, values)) in matrices.iter().enumerate() {
        let values: Vec<f32> = values.iter().map(|value| single(*value)).collect();
        bench.cpu.write(bench.on_cpu[number].region, &values);
        bench.exact.write(bench.on_exact[number].region, &values);
    }
    bench
}

impl<const N: usize> Bench<N> {
    /// Does something on both, and gives what they say: the CPU first.
    pub(crate) fn both<T>(
        &mut self,
        operation: impl Fn(&mut dyn Backend, &[Matrix; N]) -> T,
    ) -> [T; 2] {
        [operation(&mut self.cpu, &self.on_cpu), operation(&mut self.exact, &self.on_exact)]
    }

    /// What the CPU has.
    pub(crate) fn read(&self, number: usize) -> Vec<f64> {
        let mut values = vec![0.0; self.on_cpu[number].region.len];
        self.cpu.read(self.on_cpu[number].region, &mut values);
        values.into_iter().map(f64::from).collect()
    }

    #[track_caller]
    pub(crate) fn assert_near(&self, what: &str, number: usize) {
        assert_near(what, &self.read(number), &self.exact.get(self.on_exact[number].region));
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

/// A row whose branches have so many tokens, after what they share.
pub(crate) fn branches(shared: usize, ends: &[usize]) -> Row {
    let branch = |(number, own): (u32, &usize)| {
        let inputs: Vec<u32> =
            [vec![3; shared], vec![5 + number; *own]].into_iter().flatten().collect();
        let mut targets = vec![IGNORED; inputs.len()];
        targets[shared..].fill(1);
        Sequence { documents: vec![0; inputs.len()], inputs, targets, source: 0 }
    };
    Row::branched(&(0..).zip(ends).map(branch).collect::<Vec<_>>()).0
}
