//! A backend that says how long each of its operations takes: it waits for every one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use assay_cuda::Cuda;
use assay_trainer::engine::Batch;
use assay_trainer::model::Config;
use assay_trainer::planned::{
    Backend, Heads, Losses, Matrix, Needs, Norm, Onto, Parameters, Rates, Region, Shape, Squares,
    Turn, Weights,
};

pub(crate) struct Timed {
    backend: Cuda,
    seconds: BTreeMap<&'static str, f64>,
}

impl Timed {
    pub(crate) fn new(backend: Cuda) -> Self {
        Self { backend, seconds: BTreeMap::new() }
    }

    /// Of all steps together.
    pub(crate) fn milliseconds(&self) -> BTreeMap<&'static str, f64> {
        self.seconds.iter().map(|(name, seconds)| (*name, (seconds * 1e3).round())).collect()
    }

    fn time<T>(&mut self, name: &'static str, operation: impl FnOnce(&mut Cuda) -> T) -> T {
        self.backend.device().synchronize().expect("nothing failed");
        let begin = crate::now();
        let result = operation(&mut self.backend);
        self.backend.device().synchronize().expect("nothing failed");
        *self.seconds.entry(name).or_default() += Instant::elapsed(&begin).as_secs_f64();
        result
    }
}

impl Backend for Timed {
    fn needs(config: &Config, shape: &Shape) -> Needs {
        Cuda::needs(config, shape)
    }
    fn place(&self) -> String {
        self.backend.place()
    }
    fn write(&mut self, region: Region, values: &[f32]) {
        self.backend.write(region, values);
    }
    fn read(&self, region: Region, values: &mut [f32]) {
        self.backend.read(region, values);
    }
    fn zero(&mut self, region: Region) {
        self.time("zero", |it| it.zero(region));
    }
    fn load(&mut self, batch: &Batch) {
        self.time("load", |it| it.load(batch));
    }
    fn embed(&mut self, table: Matrix, x: Matrix) {
        self.time("embed", |it| it.embed(table, x));
    }
    fn embed_backward(&mut self, dx: Matrix, dtable: Matrix) {
        self.time("embed_backward", |it| it.embed_backward(dx, dtable));
    }
    fn norm(&mut self, from: Option<(Matrix, Matrix)>, norm: &Norm, y: Matrix) {
        self.time("norm", |it| it.norm(from, norm, y));
    }
    fn norm_backward(&mut self, norm: &Norm, dy: Matrix, dx: Matrix, onto: Onto, dgain: Region) {
        self.time("norm_backward", |it| it.norm_backward(norm, dy, dx, onto, dgain));
    }
    fn linear(&mut self, x: Matrix, w: Matrix, y: Matrix) {
        self.time("linear", |it| it.linear(x, w, y));
    }
    fn linear_dgrad(&mut self, dy: Matrix, w: Matrix, dx: Matrix) {
        self.time("linear_dgrad", |it| it.linear_dgrad(dy, w, dx));
    }
    fn linear_wgrad(&mut self, dy: Matrix, x: Matrix, dw: Matrix) {
        self.time("linear_wgrad", |it| it.linear_wgrad(dy, x, dw));
    }
    fn rope(&mut self, packed: Matrix, heads: Heads, table: Matrix, turn: Turn) {
        self.time("rope", |it| it.rope(packed, heads, table, turn));
    }
    fn attention(&mut self, packed: Matrix, heads: Heads, y: Matrix, log_partition: Region) {
        self.time("attention", |it| it.attention(packed, heads, y, log_partition));
    }
    fn attention_backward(
        &mut self,
        forward: (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    ) {
        self.time("attention_backward", |it| it.attention_backward(forward, heads, dy, dpacked));
    }
    fn swiglu(&mut self, packed: Matrix, hidden: Matrix) {
        self.time("swiglu", |it| it.swiglu(packed, hidden));
    }
    fn swiglu_backward(&mut self, packed: Matrix, dhidden: Matrix) {
        self.time("swiglu_backward", |it| it.swiglu_backward(packed, dhidden));
    }
    fn cross_entropy(&mut self, logits: Matrix, tokens: Range<usize>, weights: Weights) {
        self.time("cross_entropy", |it| it.cross_entropy(logits, tokens, weights));
    }
    fn log_likelihoods(&mut self, logits: Matrix, tokens: Range<usize>, out: Region) {
        self.time("log_likelihoods", |it| it.log_likelihoods(logits, tokens, out));
    }
    fn losses(&mut self) -> Losses {
        self.time("losses", Cuda::losses)
    }
    fn square(&mut self, region: Region) -> f64 {
        self.time("square", |it| it.square(region))
    }
    fn adamw(&mut self, parameters: &Parameters, rates: &Rates) -> Squares {
        self.time("adamw", |it| it.adamw(parameters, rates))
    }
    fn check(&self) -> anyhow::Result<()> {
        self.backend.check()
    }
}
