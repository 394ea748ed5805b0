//! Attention alone, forward and backward, beside `PyTorch`'s on the same card.

use std::time::Instant;

use assay_cuda::{Cuda, Device};
use assay_trainer::engine::Batch;
use assay_trainer::model::{Config, preset};
use assay_trainer::planned::{Arena, Backend as _, Heads, Matrix, Region, Shape};
use serde_json::{Value, json};

const CONTEXT: usize = 4096;
/// Of Llama 3.1's 8B, and of 3.2's 1B: heads, and rows of as many tokens.
pub(crate) const CASES: [(Heads, usize); 2] = [
    (Heads { queries: 32, keys: 8, width: 128 }, 1),
    (Heads { queries: 32, keys: 8, width: 64 }, 2),
];
/// After two that do not count.
const TIMES: u32 = 10;

/// What the peer is asked.
pub(crate) fn question((heads, rows): (Heads, usize)) -> Value {
    let Heads { queries, keys, width } = heads;
    json!({
        "kind": "attention", "queries": queries, "keys": keys, "width": width, "rows": rows,
        "context": CONTEXT, "times": TIMES,
    })
}

/// Microseconds of both passes, and TFLOP/s by the causal half: five products backward, two forward.
pub(crate) fn measure((heads, rows): (Heads, usize)) -> Value {
    let tokens = rows * CONTEXT;
    let config = Config {
        heads: heads.queries,
        kv_heads: heads.keys,
        head_width: heads.width,
        ..preset("llama-1m").expect("listed")
    };
    let shape = Shape { rows, context: CONTEXT, longest: CONTEXT, threads: 1 };
    let mut arena = Arena::default();
    let workspace = arena.take("workspace", Cuda::needs(&config, &shape).workspace, 1);
    let mut matrix = |columns: usize, size| Matrix {
        region: arena.take("matrix", tokens * columns, size),
        rows: tokens,
        columns,
    };
    let (packed, dpacked) = (matrix(heads.packed(), 2), matrix(heads.packed(), 2));
    let (y, dy) = (matrix(heads.joined(), 2), matrix(heads.joined(), 2));
    let partitions = matrix(heads.queries, 4).region;
    let nothing = Region { at: 0, len: 0, size: 2 };
    let device = Device::open(0, None).expect("a card");
    let regions = (workspace, nothing, nothing);
    let mut backend =
        Cuda::with_arena(device, arena.bytes(), regions, tokens, heads.width).expect("an arena");
    let places = || (0..u32::try_from(CONTEXT).expect("small")).collect::<Vec<u32>>();
    backend.load(&Batch {
        rows,
        context: CONTEXT,
        inputs: vec![0; tokens],
        targets: vec![0; tokens],
        positions: (0..rows).flat_map(|_| places()).collect(),
        starts: vec![0; tokens],
        shared: vec![0; rows],
    });
    for matrix in [packed, dy] {
        let values: Vec<f32> =
            (0..matrix.region.len).map(|at| ((at * 37) % 64) as f32 / 32.0 - 1.0).collect();
        backend.write(matrix.region, &values);
    }
    let mut time = |operation: &dyn Fn(&mut Cuda)| {
        (0..2).for_each(|_| operation(&mut backend));
        backend.device().synchronize().expect("nothing failed");
        let begin = crate::now();
        (0..TIMES).for_each(|_| operation(&mut backend));
        backend.device().synchronize().expect("nothing failed");
        Instant::elapsed(&begin).as_secs_f64() / f64::from(TIMES)
    };
    let forward = time(&|backend| backend.attention(packed, heads, y, partitions));
    let backward = time(&|backend| {
        backend.attention_backward((packed, y, partitions), heads, dy, dpacked);
    });
    backend.check().expect("nothing failed");
    let flops = (2 * CONTEXT * CONTEXT * heads.joined() * rows) as f64;
    json!({
        "forward_us": forward * 1e6, "forward_tflops": flops / forward / 1e12,
        "backward_us": backward * 1e6, "backward_tflops": 2.5 * flops / backward / 1e12,
    })
}
