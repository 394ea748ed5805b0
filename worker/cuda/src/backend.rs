//! The operations: which kernel, on what, how large.

use std::cell::RefCell;
use std::ops::Range;

use assay_trainer::engine::Batch;
use assay_trainer::model::Config;
use assay_trainer::planned::{
    Backend, Formats, Heads, Losses, Matrix, Needs, Norm, Onto, Parameters, Plan, Rates, Region,
    Shape, Squares, TooLarge, Turn, Weights,
};
use cudarc::driver::sys::CUdeviceptr;

use crate::CudaError;
use crate::argument::{fitting, narrow, pieces, single, step, wide};
use crate::batch::OnDevice;
use crate::device::{Argument, Device, Memory, Room, arguments};
use crate::kernels::Kernels;
use crate::product::{Format, Operand, Products};
use crate::scratch::{NORM_BLOCKS, STAGED, SUMMING, Scratch};

/// Threads of a block, where it does not matter.
pub(crate) const THREADS: u32 = 256;
/// Threads of a block that goes through a row of logits.
const LOSS_THREADS: u32 = 512;
/// Rows and columns that a block of `product.cu` gives, with as many threads as numbers.
const ODD_TILE: usize = 16;
/// Logits of 2,000 tokens with a vocabulary of 128,000: the head's products are large enough.
const LOGITS: usize = 1 << 28;

/// One card as a backend: bf16, f32 where sums are kept; one arena, one stream.
#[derive(Debug)]
pub struct Cuda {
    pub(crate) kernels: Kernels,
    /// None where there is no library for them.
    products: Option<Products>,
    pub(crate) batch: OnDevice,
    pub(crate) scratch: Scratch,
    weights: Region,
    weights_rest: Region,
    failed: RefCell<Option<CudaError>>,
    memory: Memory,
    pub(crate) device: Device,
}

impl Cuda {
    /// With the plan's arena on a card.
    ///
    /// # Errors
    /// The memory cannot be had, or a library is missing.
    pub fn new(device: Device, plan: &Plan, config: &Config) -> Result<Self, CudaError> {
        let tokens = plan.training.tokens.max(plan.scoring.tokens);
        let regions = (plan.workspace, plan.parameters.weights, plan.weights_rest);
        Self::with_arena(device, plan.bytes, regions, tokens, config.head_width)
    }

    /// With an arena of so many bytes, in which these are the workspace, the weights and their low halves.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_arena(
        device: Device,
        bytes: usize,
        (workspace, weights, weights_rest): (Region, Region, Region),
        tokens: usize,
        head_width: usize,
    ) -> Result<Self, CudaError> {
        let kernels = Kernels::new(&device, head_width)?;
        let memory = device.memory(bytes)?;
        let at = memory.begin + workspace.at as CUdeviceptr;
        let scratch = Scratch::new(at, tokens);
        let products = device.stream().map(|stream| Products::new(at, stream)).transpose()?;
        let batch = OnDevice::new(scratch.batch, tokens);
        let failed = RefCell::new(None);
        Ok(Self {
            kernels,
            products,
            batch,
            scratch,
            weights,
            weights_rest,
            failed,
            memory,
            device,
        })
    }

    /// With exact master weights if they fit into such a card at all, else with updates that are rounded by
    /// chance: what others use of the card now decides what of the forward pass is kept, which changes no bit, and
    /// nothing else.
    ///
    /// # Errors
    /// It does not fit into the card, or others use too much of it.
    pub fn plan(config: &Config, shape: &Shape, room: Room) -> Result<Plan, CudaError> {
        let Room { total, free } = room;
        let exact = Self::needs(config, shape);
        let mut smallest = usize::MAX;
        for formats in [Formats::BF16, Formats::BF16_BY_CHANCE] {
            let needs = Needs { formats, ..exact };
            match Plan::within(config, shape, needs, Some(total)) {
                Err(TooLarge { needed, .. }) => smallest = needed,
                Ok(_) => {
                    return Plan::within(config, shape, needs, Some(free))
                        .map_err(|error| CudaError::OutOfMemory { needed: error.needed, free });
                }
            }
        }
        Err(CudaError::TooLarge { needed: smallest, total })
    }

    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn at(&self, region: Region) -> CUdeviceptr {
        self.memory.begin + region.at as CUdeviceptr
    }

    pub(crate) fn attempt(&self, what: impl FnOnce() -> Result<(), CudaError>) {
        attempt(&self.failed, what);
    }

    pub(crate) fn launch(
        &self,
        name: &str,
        grid: (usize, usize, usize),
        block: (u32, usize),
        arguments: &[Argument],
    ) {
        let grid = (narrow(grid.0), narrow(grid.1), narrow(grid.2));
        self.attempt(|| self.device.launch(self.kernels.get(name), grid, block, arguments));
    }

    fn multiply(&mut self, operands: [Operand; 3], format: Format, onto: Onto) {
        let is_sum = onto == Onto::Sum;
        let mut is_done = false;
        if let Some(products) = &mut self.products {
            attempt(&self.failed, || {
                is_done = products.multiply(operands, format, is_sum)?;
                Ok(())
            });
        }
        if !is_done {
            self.multiply_oddly(operands, format, is_sum);
        }
    }

    /// By our own kernel, which is slow.
    fn multiply_oddly(&self, [a, b, out]: [Operand; 3], format: Format, is_sum: bool) {
        let name = match format {
            Format::Bf16 => "product_bf16",
            Format::F32 => "product_f32",
        };
        let inner = if a.is_turned { a.rows } else { a.columns };
        let grid = (out.rows.div_ceil(ODD_TILE), out.columns.div_ceil(ODD_TILE), 1);
        let arguments = arguments![
            a.at,
            b.at,
            out.at,
            narrow(out.rows),
            narrow(out.columns),
            narrow(inner),
            wide(a.stride),
            wide(b.stride),
            wide(out.stride),
            u32::from(a.is_turned),
            u32::from(b.is_turned),
            u32::from(is_sum),
        ];
        self.launch(name, grid, (THREADS, 0), arguments);
    }

    /// As cublasLt reads it. The gradient of f32 logits lies in the front half of their rows.
    fn operand(&self, matrix: Matrix, is_turned: bool) -> Operand {
        let stride = matrix.columns * if matrix.region.size == 4 { 2 } else { 1 };
        let Matrix { region, rows, columns } = matrix;
        Operand { at: self.at(region), rows: columns, columns: rows, stride, is_turned }
    }

    fn output(&self, matrix: Matrix) -> (Operand, Format) {
        let format = if matrix.region.size == 4 { Format::F32 } else { Format::Bf16 };
        (Operand { stride: matrix.columns, ..self.operand(matrix, false) }, format)
    }

    /// Where the low halves of some weights are, if these are weights.
    fn rest(&self, region: Region) -> Option<CUdeviceptr> {
        let Region { at, size, .. } = self.weights;
        let is_weight = at <= region.at
            && region.at + region.bytes() <= at + self.weights.bytes()
            && 0 < self.weights_rest.len;
        is_weight.then(|| {
            let number = (region.at - at) / size;
            self.at(self.weights_rest.part(number, region.len))
        })
    }

    /// Two sums that blocks left, at a place of two numbers.
    fn add_up(&self, rows: usize, each: usize) {
        let (from, to) = (self.scratch.free, self.scratch.sums);
        let block = (LOSS_THREADS, 0);
        self.launch("add_up", (1, 1, 1), block, arguments![from, to, narrow(rows), narrow(each)]);
    }

    fn sums(&self, at: CUdeviceptr) -> [f64; 2] {
        let mut sums = [f64::NAN; 2];
        self.attempt(|| self.device.get(&mut sums, at));
        if self.failed.borrow().is_some() { [f64::NAN; 2] } else { sums }
    }
}

/// Does something, unless something failed before.
fn attempt(failed: &RefCell<Option<CudaError>>, what: impl FnOnce() -> Result<(), CudaError>) {
    if failed.borrow().is_none()
        && let Err(error) = what()
    {
        *failed.borrow_mut() = Some(error);
    }
}

impl Backend for Cuda {
    fn needs(config: &Config, shape: &Shape) -> Needs {
        let workspace = Scratch::bytes(config, shape);
        Needs { formats: Formats::BF16, workspace, logits: LOGITS }
    }

    fn place(&self) -> String {
        self.device.card().name.clone()
    }

    fn write(&mut self, region: Region, values: &[f32]) {
        if region.size == size_of::<f32>() {
            self.attempt(|| self.device.put(self.at(region), values));
            return;
        }
        let staged = self.scratch.free;
        for (begin, values) in (0..).step_by(STAGED).zip(values.chunks(STAGED)) {
            let part = region.part(begin, values.len());
            self.attempt(|| self.device.put(staged, values));
            let (to, count, grid) = (self.at(part), wide(values.len()), (SUMMING, 1, 1));
            match self.rest(part) {
                Some(low) => {
                    self.launch(
                        "split_all",
                        grid,
                        (THREADS, 0),
                        arguments![staged, to, low, count],
                    );
                }
                None => {
                    self.launch("narrow_all", grid, (THREADS, 0), arguments![staged, to, count]);
                }
            }
        }
    }

    fn read(&self, region: Region, values: &mut [f32]) {
        if region.size == size_of::<f32>() {
            self.attempt(|| self.device.get(values, self.at(region)));
            return;
        }
        let staged = self.scratch.free;
        for (begin, values) in (0..).step_by(STAGED).zip(values.chunks_mut(STAGED)) {
            let part = region.part(begin, values.len());
            let (from, count, grid) = (self.at(part), wide(values.len()), (SUMMING, 1, 1));
            match self.rest(part) {
                Some(low) => {
                    self.launch(
                        "join_all",
                        grid,
                        (THREADS, 0),
                        arguments![from, low, staged, count],
                    );
                }
                None => {
                    self.launch("widen_all", grid, (THREADS, 0), arguments![from, staged, count]);
                }
            }
            self.attempt(|| self.device.get(values, staged));
        }
    }

    fn zero(&mut self, region: Region) {
        self.attempt(|| self.device.zero(self.at(region), region.bytes()));
    }

    fn load(&mut self, batch: &Batch) {
        attempt(&self.failed, || self.batch.load(&self.device, batch));
    }

    fn embed(&mut self, table: Matrix, x: Matrix) {
        let (from, to, inputs) = (self.at(table.region), self.at(x.region), self.batch.inputs());
        let arguments = arguments![from, inputs, to, narrow(x.columns)];
        self.launch(
            fitting(["embed_8", "embed_1"], x.columns),
            (x.rows, 1, 1),
            (THREADS, 0),
            arguments,
        );
    }

    fn embed_backward(&mut self, dx: Matrix, dtable: Matrix) {
        let (count, [tokens, firsts, order]) = self.batch.by_token();
        let pieces = dx.columns.div_ceil(step(dx.columns) * THREADS as usize);
        let (from, to, width) = (self.at(dx.region), self.at(dtable.region), narrow(dx.columns));
        let arguments = arguments![from, tokens, firsts, order, to, width];
        let names = if dtable.region.size == size_of::<f32>() {
            ["embed_backward_8", "embed_backward_1"]
        } else {
            ["embed_backward_bf16_8", "embed_backward_bf16_1"]
        };
        self.launch(fitting(names, dx.columns), (count, pieces, 1), (THREADS, 0), arguments);
    }

    fn norm(&mut self, from: Option<(Matrix, Matrix)>, norm: &Norm, y: Matrix) {
        let place = |matrix: Matrix| self.at(matrix.region);
        let (before, delta) = from.map_or((0, 0), |(from, delta)| (place(from), place(delta)));
        let (gain, scale) = (self.at(norm.gain), self.at(norm.scale));
        let (x, y, width) = (place(norm.x), place(y), narrow(norm.x.columns));
        let arguments = arguments![before, delta, gain, x, y, scale, width, single(norm.eps)];
        let name = fitting(["norm_8", "norm_1"], norm.x.columns);
        self.launch(name, (norm.x.rows, 1, 1), (THREADS, 0), arguments);
    }

    fn norm_backward(&mut self, norm: &Norm, dy: Matrix, dx: Matrix, onto: Onto, dgain: Region) {
        let (rows, width) = (norm.x.rows, norm.x.columns);
        let blocks = NORM_BLOCKS.min(rows);
        let (x, scale, gain) = (self.at(norm.x.region), self.at(norm.scale), self.at(norm.gain));
        let (dy, dx, partial) = (self.at(dy.region), self.at(dx.region), self.scratch.free);
        let is_sum = u32::from(onto == Onto::Sum);
        let shared = width * size_of::<f32>();
        let name = fitting(["norm_backward_8", "norm_backward_1"], width);
        self.attempt(|| self.device.allow_shared(self.kernels.get(name), shared));
        let arguments =
            arguments![x, scale, gain, dy, dx, partial, narrow(rows), narrow(width), is_sum];
        self.launch(name, (blocks, 1, 1), (THREADS, shared), arguments);
        let grid = (width.div_ceil(THREADS as usize), 1, 1);
        let to = self.at(dgain);
        let arguments = arguments![partial, to, narrow(blocks), narrow(width)];
        let name =
            if dgain.size == size_of::<f32>() { "gain_gradient" } else { "gain_gradient_bf16" };
        self.launch(name, grid, (THREADS, 0), arguments);
    }

    fn linear(&mut self, x: Matrix, w: Matrix, y: Matrix) {
        let (out, format) = self.output(y);
        self.multiply([self.operand(w, true), self.operand(x, false), out], format, Onto::Fresh);
    }

    fn linear_dgrad(&mut self, dy: Matrix, w: Matrix, dx: Matrix) {
        let (out, format) = self.output(dx);
        self.multiply([self.operand(w, false), self.operand(dy, false), out], format, Onto::Fresh);
    }

    fn linear_wgrad(&mut self, dy: Matrix, x: Matrix, dw: Matrix) {
        let (out, format) = self.output(dw);
        self.multiply([self.operand(x, false), self.operand(dy, true), out], format, Onto::Sum);
    }

    fn rope(&mut self, packed: Matrix, heads: Heads, table: Matrix, turn: Turn) {
        let sign = match turn {
            Turn::Forward => 1.0_f32,
            Turn::Back => -1.0,
        };
        let (at, table, positions) =
            (self.at(packed.region), self.at(table.region), self.batch.positions());
        let (columns, turned) = (narrow(packed.columns), narrow(heads.queries + heads.keys));
        let arguments =
            arguments![at, table, positions, columns, turned, narrow(heads.width), sign];
        self.launch(
            fitting(["rope_8", "rope_1"], heads.width / 2),
            (packed.rows, 1, 1),
            (THREADS, 0),
            arguments,
        );
    }

    fn attention(&mut self, packed: Matrix, heads: Heads, y: Matrix, log_partition: Region) {
        self.attend(packed, heads, y, log_partition);
    }

    fn attention_backward(
        &mut self,
        forward: (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    ) {
        self.attend_backward(forward, heads, dy, dpacked);
    }

    fn swiglu(&mut self, packed: Matrix, hidden: Matrix) {
        let (from, to) = (self.at(packed.region), self.at(hidden.region));
        let (pieces, grid) = pieces(hidden);
        let arguments = arguments![from, to, narrow(hidden.columns), wide(pieces)];
        self.launch(
            fitting(["swiglu_8", "swiglu_1"], hidden.columns),
            grid,
            (THREADS, 0),
            arguments,
        );
    }

    fn swiglu_backward(&mut self, packed: Matrix, dhidden: Matrix) {
        let (from, to) = (self.at(packed.region), self.at(dhidden.region));
        let (pieces, grid) = pieces(dhidden);
        let arguments = arguments![from, to, narrow(dhidden.columns), wide(pieces)];
        self.launch(
            fitting(["swiglu_backward_8", "swiglu_backward_1"], dhidden.columns),
            grid,
            (THREADS, 0),
            arguments,
        );
    }

    fn cross_entropy(&mut self, logits: Matrix, tokens: Range<usize>, weights: Weights) {
        let (at, targets, found) =
            (self.at(logits.region), self.batch.targets(tokens.start), self.scratch.free);
        let (weight, z_weight) = (single(weights.target), single(weights.z));
        let arguments = arguments![at, targets, found, narrow(logits.columns), weight, z_weight];
        self.launch("cross_entropy", (tokens.len(), 1, 1), (LOSS_THREADS, 0), arguments);
        let arguments = arguments![found, self.scratch.losses, narrow(tokens.len())];
        self.launch("add_losses", (1, 1, 1), (LOSS_THREADS, 0), arguments);
    }

    fn log_likelihoods(&mut self, logits: Matrix, tokens: Range<usize>, out: Region) {
        let out = self.at(out.part(tokens.start, tokens.len()));
        let (at, targets) = (self.at(logits.region), self.batch.targets(tokens.start));
        let arguments = arguments![at, targets, out, narrow(logits.columns)];
        self.launch("log_likelihoods", (tokens.len(), 1, 1), (LOSS_THREADS, 0), arguments);
    }

    fn losses(&mut self) -> Losses {
        let [nats, z] = self.sums(self.scratch.losses);
        self.attempt(|| self.device.zero(self.scratch.losses, 2 * size_of::<f64>()));
        Losses { nats, z }
    }

    fn square(&mut self, region: Region) -> f64 {
        let (at, partial, count) = (self.at(region), self.scratch.free, wide(region.len));
        let (grid, block) = ((SUMMING, 1, 1), (THREADS, 0));
        match (region.size, self.rest(region)) {
            (4, _) => self.launch("square", grid, block, arguments![at, partial, count]),
            (_, Some(low)) => {
                self.launch("square_joined", grid, block, arguments![at, low, partial, count]);
            }
            (_, None) => self.launch("square_narrow", grid, block, arguments![at, partial, count]),
        }
        self.add_up(SUMMING, 1);
        self.sums(self.scratch.sums)[0]
    }

    fn adamw(&mut self, parameters: &Parameters, rates: &Rates) -> Squares {
        let Parameters { weights, grads, first, second, decayed } = *parameters;
        let low = self.rest(weights);
        let [high, grads, first, second] =
            [weights, grads, first, second].map(|region| self.at(region));
        let partial = self.scratch.free;
        let (count, decayed, by) =
            (wide(weights.len), wide(decayed), rates.factors(rates.weight_decay));
        let (grid, block) = ((SUMMING, 1, 1), (THREADS, 0));
        match low {
            Some(low) => {
                let arguments =
                    arguments![high, low, grads, first, second, partial, count, decayed, by];
                self.launch("adamw", grid, block, arguments);
            }
            None => {
                let chance = rates.updates;
                let arguments =
                    arguments![high, grads, first, second, partial, count, decayed, by, chance];
                self.launch("adamw_by_chance", grid, block, arguments);
            }
        }
        self.add_up(SUMMING, 2);
        let [weights, update] = self.sums(self.scratch.sums);
        Squares { weights, update }
    }

    fn check(&self) -> anyhow::Result<()> {
        match &*self.failed.borrow() {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        }
    }
}
