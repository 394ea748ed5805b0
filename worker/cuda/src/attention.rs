//! Attention: how it is cut into tiles for a card and a width of heads, and its launches.

use assay_trainer::planned::{Heads, Matrix, Region};

use crate::argument::{Shape, narrow};
use crate::backend::{Cuda, THREADS};
use crate::device::{Argument, arguments};
use crate::kernels::{COMMON, PRIMITIVES, Source};

/// Hopper's architecture with what only Hopper has: `wgmma` among it.
pub(crate) const HOPPER: &str = "sm_90a";
const TILES: &str = include_str!("../kernels/tiles.cuh");
const MMA: &str = include_str!("../kernels/mma.cuh");
const WGMMA: &str = include_str!("../kernels/wgmma.cuh");
const FORWARD: &str = include_str!("../kernels/attention.cu");
const KEYS: &str = include_str!("../kernels/attention_keys.cu");
const QUERIES: &str = include_str!("../kernels/attention_queries.cu");
/// Where the first tile begins, at most: at a multiple of as many bytes.
const BEGIN: usize = 1024;

/// The sizes that a kernel is compiled for: `tiles.cuh` says what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tiles {
    threads: u32,
    rows: usize,
    columns: usize,
    /// Blocks on a multiprocessor that registers are left for.
    blocks: usize,
}

/// How attention is cut: the forward pass, and the gradients of keys and of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attention {
    /// Of a head.
    width: usize,
    /// Of a tile.
    head: usize,
    has_warpgroups: bool,
    forward: Tiles,
    keys: Tiles,
    queries: Tiles,
}

impl Attention {
    /// None for heads wider than 128.
    pub(crate) fn new(width: usize, architecture: &str) -> Option<Self> {
        let head = [32, 64, 128].into_iter().find(|head| width <= *head)?;
        // what is narrower than 64 is not worth a layout of its own
        let has_warpgroups = architecture == HOPPER && 64 <= head;
        // threads, rows, columns, blocks: the fastest that were measured (docs/benchmarks.md)
        let [forward, keys, queries] = match (has_warpgroups, head) {
            (true, 128) => [(256, 128, 64, 2), (128, 64, 64, 1), (256, 128, 128, 1)],
            (true, _) => [(256, 128, 128, 2), (256, 128, 128, 1), (256, 128, 64, 2)],
            (false, 128) => [(128, 128, 32, 1), (128, 64, 32, 1), (128, 128, 32, 1)],
            (false, _) => [(128, 128, 64, 1), (128, 64, 32, 1), (128, 128, 32, 1)],
        }
        .map(|(threads, rows, columns, blocks)| Tiles { threads, rows, columns, blocks });
        Some(Self { width, head, has_warpgroups, forward, keys, queries })
    }

    /// Each with what it is compiled with.
    pub(crate) fn sources(&self) -> [(Source, Vec<String>); 3] {
        let source = |file, parts, functions| Source { file, parts, functions };
        let [forward, keys, queries]: [&[&str]; 3] = if self.has_warpgroups {
            [
                &[PRIMITIVES, COMMON, TILES, WGMMA, FORWARD],
                &[PRIMITIVES, COMMON, TILES, WGMMA, KEYS],
                &[PRIMITIVES, COMMON, TILES, WGMMA, QUERIES],
            ]
        } else {
            [
                &[PRIMITIVES, COMMON, TILES, MMA, FORWARD],
                &[PRIMITIVES, COMMON, TILES, MMA, KEYS],
                &[PRIMITIVES, COMMON, TILES, MMA, QUERIES],
            ]
        };
        [
            (source("attention.cu", forward, &["attention"]), self.options(&self.forward)),
            (source("attention_keys.cu", keys, &["attention_keys"]), self.options(&self.keys)),
            (
                source("attention_queries.cu", queries, &["attention_means", "attention_queries"]),
                self.options(&self.queries),
            ),
        ]
    }

    fn options(&self, tiles: &Tiles) -> Vec<String> {
        let numbers = [
            ("WIDTH", self.width),
            ("HEAD", self.head),
            ("ALIGNED", self.width.is_multiple_of(8).into()),
            ("WARPGROUPS", self.has_warpgroups.into()),
            ("THREADS", tiles.threads as usize),
            ("ROWS", tiles.rows),
            ("COLUMNS", tiles.columns),
            ("BLOCKS", tiles.blocks),
        ];
        numbers.iter().map(|(name, number)| format!("-D{name}={number}")).collect()
    }
}

impl Cuda {
    fn shape(&self, heads: Heads) -> Shape {
        Shape::new(heads, self.batch.shape().1)
    }

    fn launch_attention(
        &self,
        name: &str,
        tiles: Tiles,
        (held, heads, rows): (usize, usize, usize),
        arguments: &[Argument],
    ) {
        // what a block holds all the time, and of the other side two to read and two that are fetched
        let rows_of_tiles = held * tiles.rows + 4 * tiles.columns;
        let head = self.kernels.attention().head;
        let shared = BEGIN + rows_of_tiles * head * size_of::<u16>();
        self.attempt(|| self.device.allow_shared(self.kernels.get(name), shared));
        let grid = (heads, rows, self.batch.shape().1.div_ceil(tiles.rows));
        self.launch(name, grid, (tiles.threads, shared), arguments);
    }

    pub(crate) fn attend(&self, packed: Matrix, heads: Heads, y: Matrix, log_partition: Region) {
        let (tiles, (rows, _)) = (self.kernels.attention().forward, self.batch.shape());
        let (packed, y, partitions) =
            (self.at(packed.region), self.at(y.region), self.at(log_partition));
        let (starts, shares) = (self.batch.starts(), self.batch.shares());
        let arguments = arguments![packed, y, partitions, starts, shares, self.shape(heads)];
        self.launch_attention("attention", tiles, (1, heads.queries, rows), arguments);
    }

    pub(crate) fn attend_backward(
        &self,
        (packed, y, log_partition): (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    ) {
        let (Attention { keys, queries, .. }, (rows, _)) =
            (self.kernels.attention(), self.batch.shape());
        let tokens = packed.rows;
        let (packed, y, partitions) =
            (self.at(packed.region), self.at(y.region), self.at(log_partition));
        let (dy, dpacked, means) = (self.at(dy.region), self.at(dpacked.region), self.scratch.free);
        let (starts, shape) = (self.batch.starts(), self.shape(heads));
        let lanes = self.kernels.attention().head / 8;
        let blocks = (tokens * heads.queries * lanes).div_ceil(THREADS as usize);
        let arguments = arguments![y, dy, means, shape, narrow(tokens)];
        self.launch("attention_means", (blocks, 1, 1), (THREADS, 0), arguments);
        let arguments = arguments![packed, dy, partitions, means, starts, dpacked, shape];
        self.launch_attention("attention_keys", *keys, (2, heads.keys, rows), arguments);
        self.launch_attention("attention_queries", *queries, (2, heads.queries, rows), arguments);
    }
}
