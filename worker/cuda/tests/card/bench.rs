//! The same numbers in two arenas: the card's, and that of a backend in f64. What an operation gives must be the same but
//! for rounding to bf16, and to f32 within sums. Where no card is, it is emulated.

use std::path::Path;

use assay_cuda::{Cards, Cuda, CudaError, Device};
use assay_trainer::data::{IGNORED, Sequence};
use assay_trainer::engine::Batch;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Arena, Backend, Matrix, Region, Shape};

use crate::emulated::Emulated;
use crate::exact::{self, Exact};

pub(crate) fn cards() -> Cards {
    Cards { kept_kernels: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels")) }
}

/// The card, which is there.
pub(crate) fn device() -> Device {
    Device::open(0, cards().kept_kernels).expect("a card")
}

/// The card; where none is, one of each kind that attention is cut for. `ASSAY_GPU` says that there must be one.
pub(crate) fn devices() -> Vec<Device> {
    match Device::open(0, cards().kept_kernels) {
        Ok(card) => vec![card],
        Err(CudaError::NoDriver | CudaError::NoCard) if std::env::var_os("ASSAY_GPU").is_none() => {
            ["sm_80", "sm_90a"].map(|name| Device::of(Emulated::new(name))).into()
        }
        Err(error) => panic!("{error}"),
    }
}

fn any_device() -> Device {
    devices().swap_remove(0)
}

/// How a matrix lies on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// bf16.
    Rounded,
    F32,
}

/// Numbers between -1 and 1, the same for the same seed, that bf16 has.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rounded((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// To the nearest bf16.
pub(crate) fn rounded(value: f32) -> f32 {
    let bits = value.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

pub(crate) struct Bench<const N: usize> {
    card: Cuda,
    exact: Exact,
    on_card: [Matrix; N],
    on_exact: [Matrix; N],
}

pub(crate) type Spec<'a> = (Kind, usize, usize, &'a [f32]);

/// Lays out matrices on both, and puts numbers in.
pub(crate) fn bench<const N: usize>(
    batch: &Batch,
    head_width: usize,
    matrices: [Spec<'_>; N],
) -> Bench<N> {
    bench_on(any_device(), batch, head_width, matrices)
}

pub(crate) fn bench_on<const N: usize>(
    device: Device,
    batch: &Batch,
    head_width: usize,
    matrices: [Spec<'_>; N],
) -> Bench<N> {
    let widest = matrices.iter().map(|(_, _, columns, _)| *columns).max().unwrap_or(1);
    // whatever scratch is measured by
    let config =
        Config { width: widest, heads: 64, head_width, ..preset("llama-1m").expect("listed") };
    let (rows, context) = (batch.rows.max(1), batch.context.max(1));
    let tallest = matrices.iter().map(|(_, rows, ..)| *rows).max().unwrap_or(1);
    let shape = Shape { rows, context, longest: context.max(tallest), threads: 1 };
    let lay = |workspace: usize, size: fn(Kind) -> usize| {
        let mut arena = Arena::default();
        let workspace = arena.take("workspace", workspace, 1);
        let placed = matrices.map(|(kind, rows, columns, _)| Matrix {
            region: arena.take("matrix", rows * columns, size(kind)),
            rows,
            columns,
        });
        (arena.bytes(), workspace, placed)
    };
    let (bytes, _, on_exact) = lay(0, |_| exact::SIZE);
    let exact = Exact::new(bytes);
    let size = |kind| if kind == Kind::F32 { 4 } else { 2 };
    let (bytes, workspace, on_card) = lay(Cuda::needs(&config, &shape).workspace, size);
    let nothing = Region { at: 0, len: 0, size: 2 };
    let tokens = batch.inputs.len().max(1);
    let card = Cuda::with_arena(device, bytes, (workspace, nothing, nothing), tokens, head_width)
        .expect("an arena");
    let mut bench = Bench { card, exact, on_card, on_exact };
    bench.card.load(batch);
    bench.exact.load(batch);
    for (number, (_, _, _, values)) in matrices.iter().enumerate() {
        bench.put(number, values);
    }
    bench
}

impl<const N: usize> Bench<N> {
    pub(crate) fn put(&mut self, number: usize, values: &[f32]) {
        self.card.write(self.on_card[number].region, values);
        self.exact.write(self.on_exact[number].region, values);
    }

    /// Does something on both.
    pub(crate) fn both(&mut self, operation: impl Fn(&mut dyn Backend, &[Matrix; N])) {
        operation(&mut self.card, &self.on_card);
        operation(&mut self.exact, &self.on_exact);
    }

    pub(crate) fn ask<T>(
        &mut self,
        operation: impl Fn(&mut dyn Backend, &[Matrix; N]) -> T,
    ) -> [T; 2] {
        [operation(&mut self.card, &self.on_card), operation(&mut self.exact, &self.on_exact)]
    }

    pub(crate) fn read(&self, number: usize) -> [Vec<f32>; 2] {
        let mut both = [(); 2].map(|()| vec![0.0; self.on_exact[number].region.len]);
        self.card.read(self.on_card[number].region, &mut both[0]);
        self.exact.read(self.on_exact[number].region, &mut both[1]);
        self.card.check().expect("nothing failed");
        both
    }

    /// Within a share of the matrix's norm, and no number off by much more than rounding.
    #[track_caller]
    pub(crate) fn assert_near(&self, what: &str, number: usize, tolerance: f64) {
        let [found, expected] = self.read(number);
        near(what, &found, &expected, tolerance);
    }
}

#[track_caller]
pub(crate) fn near(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let size = norm(&mut expected.iter().map(|v| f64::from(*v)));
    let pairs = || found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b));
    let distance = norm(&mut pairs());
    assert!(
        distance.is_finite() && distance <= tolerance * size + 1e-9,
        "{what}: off by {distance} of {size}"
    );
    let largest = expected.iter().fold(1e-9_f64, |most, v| most.max(f64::from(v.abs())));
    for (at, error) in pairs().enumerate() {
        assert!(
            error.abs() <= 8.0 * tolerance * largest,
            "{what}, number {at}: {}, not {} (largest {largest})",
            found[at],
            expected[at]
        );
    }
}

/// Rows of documents of these lengths, some targets ignored.
pub(crate) fn batch(rows: &[&[usize]], vocabulary: u64) -> Batch {
    let mut at = 0_u64;
    let mut sequence = |documents: &&[usize]| {
        let length: usize = documents.iter().sum();
        let mut token = || {
            at += 1;
            u32::try_from((at * at * 7 + at / 3) % vocabulary).expect("small")
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
