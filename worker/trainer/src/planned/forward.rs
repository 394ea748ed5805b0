//! The forward pass: Llama 2 and 3, read beside `reference/model.rs`.

use std::ops::Range;

use super::backend::{Backend, Heads, Matrix, Turn, Weights};
use super::plan::{Activations, Block, Plan};
use super::{Planned, Region};
use crate::model::Config;

/// What a part of the engine works with: where things lie, and for how many tokens.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) of: &'a Activations,
    pub(super) tokens: usize,
}

impl Pass<'_> {
    pub(super) fn top(&self, matrix: Matrix) -> Matrix {
        matrix.top(self.tokens)
    }

    /// Chunks of the tokens, whose logits are there at a time.
    pub(super) fn chunks(self) -> impl Iterator<Item = Range<usize>> {
        let (chunk, tokens) = (self.of.chunk, self.tokens);
        (0..tokens).step_by(chunk).map(move |begin| begin..(begin + chunk).min(tokens))
    }
}

impl<B: Backend> Planned<B> {
    /// All blocks, with what the backward pass needs; leaves the last normalization's output.
    pub(super) fn forward(&mut self, tokens: usize) {
        let Self { plan, backend, config, .. } = self;
        let pass = Pass { of: &plan.training, tokens };
        Model::of(plan, config).stream(backend, pass);
    }

    /// Log-likelihoods of the tokens' targets.
    pub(super) fn score(&mut self, tokens: usize) -> Region {
        let Self { plan, backend, config, .. } = self;
        let pass = Pass { of: &plan.scoring, tokens };
        let model = Model::of(plan, config);
        model.stream(backend, pass);
        let head = plan.layout.head.of(model.weights);
        for chunk in pass.chunks() {
            let logits = pass.of.logits.top(chunk.len());
            backend.linear(pass.of.normed.some_rows(&chunk), head, logits);
            backend.log_likelihoods(logits, chunk, pass.of.likelihoods);
        }
        pass.of.likelihoods.part(0, tokens)
    }

    /// Logits, loss and their gradients, chunk by chunk: the head's, and that of the last
    /// normalization's output.
    pub(super) fn differentiate_head(&mut self, tokens: usize, weights: Weights) {
        let Self { plan, backend, .. } = self;
        let pass = Pass { of: &plan.training, tokens };
        let head = plan.layout.head.of(plan.parameters.weights);
        let dhead = plan.layout.head.of(plan.parameters.grads);
        for chunk in pass.chunks() {
            let logits = pass.of.logits.top(chunk.len());
            let normed = pass.of.normed.some_rows(&chunk);
            backend.linear(normed, head, logits);
            backend.cross_entropy(logits, chunk.clone(), weights);
            backend.linear_dgrad(logits, head, pass.of.delta.some_rows(&chunk));
            backend.linear_wgrad(logits, normed, dhead);
        }
    }
}

/// The weights, and how to read them.
#[derive(Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) layout: &'a super::Layout,
    pub(super) weights: Region,
    pub(super) heads: Heads,
    pub(super) rope: Matrix,
}

impl<'a> Model<'a> {
    pub(super) fn of(plan: &'a Plan, config: &Config) -> Self {
        let (weights, heads) = (plan.parameters.weights, Heads::of(config));
        Self { layout: &plan.layout, weights, heads, rope: plan.rope }
    }
}

impl Model<'_> {
    fn stream<B: Backend>(&self, backend: &mut B, pass: Pass<'_>) {
        let of = pass.of;
        let (normed, delta) = (pass.top(of.normed), pass.top(of.delta));
        let mut before = None;
        for (layer, block) in of.blocks.iter().enumerate() {
            let input = pass.top(block.attention_norm.x);
            if layer == 0 {
                backend.embed(self.layout.embedding.of(self.weights), input);
            }
            backend.norm(before, &block.attention_norm.top(pass.tokens), normed);
            self.attention(backend, pass, layer, block);
            backend.norm(Some((input, delta)), &block.ffn_norm.top(pass.tokens), normed);
            self.ffn(backend, pass, layer, block);
            before = Some((pass.top(block.ffn_norm.x), delta));
        }
        backend.norm(before, &of.last_norm.top(pass.tokens), normed);
    }

    /// From the normalized stream to what attention adds to it.
    pub(super) fn attention<B: Backend>(
        &self,
        backend: &mut B,
        pass: Pass<'_>,
        layer: usize,
        block: &Block,
    ) {
        let spans = &self.layout.layers[layer];
        let (packed, attended) = (pass.top(block.packed), pass.top(block.attended));
        backend.linear(pass.top(pass.of.normed), spans.packed.of(self.weights), packed);
        backend.rope(packed, self.heads, self.rope, Turn::Forward);
        let log_partition = self.log_partition(pass, block);
        backend.attention(packed, self.heads, attended, log_partition);
        backend.linear(attended, spans.out.of(self.weights), pass.top(pass.of.delta));
    }

    /// From the normalized stream to what the feed-forward part adds to it.
    fn ffn<B: Backend>(&self, backend: &mut B, pass: Pass<'_>, layer: usize, block: &Block) {
        let spans = &self.layout.layers[layer];
        self.gate_up(backend, pass, layer, block);
        let hidden = pass.top(pass.of.hidden);
        backend.swiglu(pass.top(block.gate_up), hidden);
        backend.linear(hidden, spans.down.of(self.weights), pass.top(pass.of.delta));
    }

    pub(super) fn gate_up<B: Backend>(
        &self,
        backend: &mut B,
        pass: Pass<'_>,
        layer: usize,
        block: &Block,
    ) {
        let gate_up = self.layout.layers[layer].gate_up.of(self.weights);
        backend.linear(pass.top(pass.of.normed), gate_up, pass.top(block.gate_up));
    }

    pub(super) fn log_partition(&self, pass: Pass<'_>, block: &Block) -> Region {
        block.log_partition.part(0, pass.tokens * self.heads.queries)
    }
}
