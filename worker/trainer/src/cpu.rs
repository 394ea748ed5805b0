//! The CPU as a backend: f32, one arena in memory, a few threads.
//!
//! Matrix products come from the crate `gemm`, or are our own where weights and activations are rounded
//! to bf16 on their way into them ([`Products`]); the rest is loops over slices, compiled for the
//! processor's widest vectors ([`vector`]). An operation is cut among the threads by rows
//! ([`threads`]), so a run repeats bit for bit with the same number of threads on the same model of
//! processor.

mod attention;
mod embedding;
mod loss;
mod norm;
mod optimizer;
mod product;
mod rope;
mod swiglu;
mod threads;
mod vector;

use std::ops::Range;

use crate::by_name::ByName;
use crate::engine::{Batch, Settings};
use crate::model::Config;
use crate::planned::{
    Backend, Formats, Heads, Losses, Matrix, Needs, Norm, Onto, Parameters, Plan, Planned, Rates,
    Region, Shape, Squares, TooLarge, Turn, Weights,
};
use product::{View, ViewMut, bf16, product};
use threads::Threads;

/// Of an f32.
const SIZE: usize = size_of::<f32>();
/// They stay in the cache, and large vocabularies take little memory.
const LOGITS: usize = 1 << 18;
/// A cache line: where the arena begins.
const LINE: usize = 64;
pub(crate) const NO_BF16: &str = "this processor lacks the instructions of AVX512-BF16, which the engine \
                       `cpu-bf16` needs: write `train.engine: cpu-f32`";

/// What the products with weights are made of. All else is f32 in either case: what is stored, sums,
/// attention, norms, losses and the optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    F32,
    /// Operands are rounded to bf16, as under `torch.autocast`; what comes out of a product is not.
    Bf16,
}

impl Products {
    /// Whether this processor can: bf16 needs the instructions of AVX512-BF16.
    #[must_use]
    pub fn are_possible_here(self) -> bool {
        self == Self::F32 || bf16::is_here()
    }
}

#[derive(Debug)]
pub struct Cpu {
    /// With some numbers before the arena, so that it begins at a cache line.
    memory: Vec<f32>,
    begin: usize,
    workspace: Region,
    threads: Threads,
    batch: Batch,
    losses: Losses,
    /// Two sums of each thread.
    sums: Vec<f64>,
    products: Products,
    /// What each thread rounds operands into.
    packed: Vec<u32>,
}

impl Cpu {
    /// With an arena of so many bytes, some of it scratch, for batches of so many tokens.
    ///
    /// # Errors
    /// The memory or the threads cannot be had, or this processor lacks what the products need.
    pub fn new(
        bytes: usize,
        workspace: Region,
        tokens: usize,
        threads: usize,
        products: Products,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(products.are_possible_here(), NO_BF16);
        let numbers = bytes.div_ceil(SIZE) + LINE / SIZE;
        let mut memory = Vec::new();
        memory.try_reserve_exact(numbers)?;
        memory.resize(numbers, 0.0);
        let begin = memory.as_ptr().align_offset(LINE);
        let threads = Threads::new(threads)?;
        let batch = Batch::with_room_for(tokens, 1);
        let (losses, sums) = (Losses::default(), vec![0.0; 2 * threads.count()]);
        let packed = match products {
            Products::F32 => Vec::new(),
            Products::Bf16 => vec![0; bf16::SCRATCH * threads.count()],
        };
        Ok(Self { memory, begin, workspace, threads, batch, losses, sums, products, packed })
    }

    /// With a limit in bytes, what does not fit is computed again instead of kept.
    ///
    /// # Errors
    /// The limit is too low even so.
    pub fn plan(config: &Config, shape: &Shape, limit: Option<usize>) -> Result<Plan, TooLarge> {
        Plan::within(config, shape, Self::needs(config, shape), limit)
    }

    /// Whether the calling thread is within the crate that multiplies matrices: what it allocates is
    /// its own.
    #[must_use]
    pub fn is_multiplying() -> bool {
        product::is_multiplying()
    }

    fn range(&self, region: Region) -> Range<usize> {
        debug_assert_eq!(region.at % SIZE, 0, "numbers lie at multiples of their size");
        let at = self.begin + region.at / SIZE;
        at..at + region.len * region.size / SIZE
    }

    /// out (+)= a b, with both as `turn` says, cut among the threads by rows of the output.
    fn multiply(
        &mut self,
        matrices: [Matrix; 3],
        onto: Onto,
        turn: impl for<'v> Fn(View<'v>, View<'v>) -> (View<'v>, View<'v>),
    ) {
        let ranges = matrices.map(|matrix| self.range(matrix.region));
        let slices = self.memory.get_disjoint_mut(ranges).expect("the plan lays regions apart");
        let ([a, b, values], [a_columns, b_columns, columns]) =
            (slices, matrices.map(|matrix| matrix.columns));
        let (a, b) = turn(View::dense(a, a_columns), View::dense(b, b_columns));
        let each = self.packed.len() / self.threads.count();
        let (products, packed) = (self.products, (self.packed.as_mut_slice(), each));
        let rows = matrices[2].rows;
        self.threads.split_with(rows, [(values, columns)], packed, |rows, [values], packed| {
            let (out, a) = (ViewMut::dense(values, columns), a.some_rows(&rows));
            match products {
                Products::F32 => product(out, onto, 1.0, a, b),
                Products::Bf16 => bf16::product(out, onto, a, b, packed),
            }
        });
    }

    /// What an operation works on, each apart from the others; and the threads.
    fn cut<const N: usize>(&mut self, regions: [Region; N]) -> (&Threads, &Batch, [&mut [f32]; N]) {
        let ranges = regions.map(|region| self.range(region));
        let slices = self.memory.get_disjoint_mut(ranges);
        (&self.threads, &self.batch, slices.expect("the plan lays regions apart"))
    }
}

impl Backend for Cpu {
    /// A row of scores and of their gradient for each thread, or a gain's gradient, or two numbers for
    /// each token.
    fn needs(config: &Config, shape: &Shape) -> Needs {
        let longest = shape.context.max(shape.longest);
        let each = attention::scratch(longest).max(config.width);
        let tokens = (shape.rows * shape.context).max(longest);
        let workspace = (each * shape.threads).max(2 * tokens) * SIZE;
        Needs { formats: Formats::SINGLE, workspace, logits: LOGITS }
    }

    fn place(&self) -> String {
        let products = match self.products {
            Products::F32 => "f32",
            Products::Bf16 => "bf16",
        };
        format!("{} thread(s) of the processor, products in {products}", self.threads.count())
    }

    fn write(&mut self, region: Region, values: &[f32]) {
        let range = self.range(region);
        self.memory[range].copy_from_slice(values);
    }

    fn read(&self, region: Region, values: &mut [f32]) {
        values.copy_from_slice(&self.memory[self.range(region)]);
    }

    fn zero(&mut self, region: Region) {
        let range = self.range(region);
        self.memory[range].fill(0.0);
    }

    fn load(&mut self, batch: &Batch) {
        self.batch.copy(batch);
    }

    fn embed(&mut self, table: Matrix, x: Matrix) {
        let (threads, batch, [table, values]) = self.cut([table.region, x.region]);
        embedding::forward(threads, table, &batch.inputs, values, x.columns);
    }

    fn embed_backward(&mut self, dx: Matrix, dtable: Matrix) {
        let (threads, batch, [values, table]) = self.cut([dx.region, dtable.region]);
        embedding::backward(threads, values, &batch.inputs, table, dx.columns);
    }

    fn norm(&mut self, from: Option<(Matrix, Matrix)>, norm: &Norm, y: Matrix) {
        let (x, y, scale) = (norm.x.region, y.region, norm.scale);
        let eps = single(norm.eps);
        if let Some((before, delta)) = from {
            let (before, delta) = (before.region, delta.region);
            let (threads, _, [x, y, scale, gain, before, delta]) =
                self.cut([x, y, scale, norm.gain, before, delta]);
            norm::forward(threads, Some((before, delta)), (x, y, scale), gain, eps);
        } else {
            let (threads, _, [x, y, scale, gain]) = self.cut([x, y, scale, norm.gain]);
            norm::forward(threads, None, (x, y, scale), gain, eps);
        }
    }

    fn norm_backward(&mut self, norm: &Norm, dy: Matrix, dx: Matrix, onto: Onto, dgain: Region) {
        let workspace = self.workspace;
        let (threads, _, [stream, scale, gain, dy, dx, dgain, partial]) = self.cut([
            norm.x.region,
            norm.scale,
            norm.gain,
            dy.region,
            dx.region,
            dgain,
            workspace,
        ]);
        let seen = norm::Seen { stream, scale, gain };
        norm::backward(threads, seen, (dy, dx, onto == Onto::Sum), dgain, partial);
    }

    fn linear(&mut self, x: Matrix, w: Matrix, y: Matrix) {
        self.multiply([x, w, y], Onto::Fresh, |x, w| (x, w.transposed()));
    }

    fn linear_dgrad(&mut self, dy: Matrix, w: Matrix, dx: Matrix) {
        self.multiply([dy, w, dx], Onto::Fresh, |dy, w| (dy, w));
    }

    fn linear_wgrad(&mut self, dy: Matrix, x: Matrix, dw: Matrix) {
        self.multiply([dy, x, dw], Onto::Sum, |dy, x| (dy.transposed(), x));
    }

    fn rope(&mut self, packed: Matrix, heads: Heads, table: Matrix, turn: Turn) {
        let (threads, batch, [packed, table]) = self.cut([packed.region, table.region]);
        rope::rotate(threads, packed, heads, (table, &batch.positions), turn);
    }

    fn attention(&mut self, packed: Matrix, heads: Heads, y: Matrix, log_partition: Region) {
        let workspace = self.workspace;
        let (threads, batch, [packed, y, log_partition, scratch]) =
            self.cut([packed.region, y.region, log_partition, workspace]);
        let of = projected(packed, heads, batch);
        attention::forward(threads, of, (y, log_partition), scratch);
    }

    fn attention_backward(
        &mut self,
        (packed, y, log_partition): (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    ) {
        let workspace = self.workspace;
        let (threads, batch, [packed, y, log_partition, dy, dpacked, scratch]) = self.cut([
            packed.region,
            y.region,
            log_partition,
            dy.region,
            dpacked.region,
            workspace,
        ]);
        let attended = attention::Attended { y, log_partition };
        let of = projected(packed, heads, batch);
        attention::backward(threads, of, attended, (dy, dpacked), scratch);
    }

    fn swiglu(&mut self, packed: Matrix, hidden: Matrix) {
        let (threads, _, [packed, values]) = self.cut([packed.region, hidden.region]);
        swiglu::forward(threads, packed, values, hidden.columns);
    }

    fn swiglu_backward(&mut self, packed: Matrix, dhidden: Matrix) {
        let (threads, _, [packed, values]) = self.cut([packed.region, dhidden.region]);
        swiglu::backward(threads, packed, values, dhidden.columns);
    }

    fn cross_entropy(&mut self, logits: Matrix, tokens: Range<usize>, weights: Weights) {
        let workspace = self.workspace;
        let (threads, batch, [logits, found]) = self.cut([logits.region, workspace]);
        let targets = &batch.targets[tokens];
        let losses = loss::cross_entropy(threads, logits, targets, weights, found);
        self.losses.nats += losses.nats;
        self.losses.z += losses.z;
    }

    fn log_likelihoods(&mut self, logits: Matrix, tokens: Range<usize>, out: Region) {
        let out = out.part(tokens.start, tokens.len());
        let (threads, batch, [logits, out]) = self.cut([logits.region, out]);
        loss::log_likelihoods(threads, logits, &batch.targets[tokens], out);
    }

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn square(&mut self, region: Region) -> f64 {
        let range = self.range(region);
        let values = &self.memory[range];
        let threads = &self.threads;
        let sums = &mut self.sums[..threads.count()];
        let nothing: [(&mut [f32], usize); 0] = [];
        threads.split_with(values.len(), nothing, (&mut *sums, 1), |places, [], sum| {
            sum[0] = optimizer::square(&values[places]);
        });
        sums.iter().sum()
    }

    fn adamw(&mut self, parameters: &Parameters, rates: &Rates) -> Squares {
        let Parameters { weights, grads, first, second, decayed } = *parameters;
        let ranges = [weights, grads, first, second].map(|region| self.range(region));
        let values = self.memory.get_disjoint_mut(ranges).expect("the plan lays regions apart");
        optimizer::update(&self.threads, values, decayed, rates, &mut self.sums)
    }
}

fn projected<'a>(packed: &'a [f32], heads: Heads, batch: &'a Batch) -> attention::Projected<'a> {
    attention::Projected { packed, heads, batch }
}

#[expect(clippy::cast_possible_truncation, reason = "applied to f32")]
fn single(value: f64) -> f32 {
    value as f32
}

impl Planned<Cpu> {
    /// The engine on this machine's processor.
    ///
    /// # Errors
    /// The memory is not there, or these are not the model's weights.
    pub fn on_cpu(
        config: &Config,
        settings: Settings,
        products: Products,
        plan: Plan,
        weights: &dyn ByName,
    ) -> anyhow::Result<Self> {
        let tokens = plan.training.tokens.max(plan.scoring.tokens);
        let backend = Cpu::new(plan.bytes, plan.workspace, tokens, settings.threads, products)?;
        Self::new(config, settings, plan, backend, weights)
    }
}
