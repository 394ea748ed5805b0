//! The backward pass: the forward pass's operations in reverse, each with its gradient. What was not
//! kept is computed again first.

use super::backend::{Backend, Onto, Turn};
use super::forward::{Model, Pass};
use super::plan::{Block, Keep};
use super::{Layout, Planned, Region};

impl<B: Backend> Planned<B> {
    /// From the gradient of the last normalization's output, in `delta`, to all parameters'.
    pub(super) fn backward(&mut self, tokens: usize) {
        let Self { plan, backend, config, .. } = self;
        let pass = Pass { of: &plan.training, tokens };
        let back = Back { model: Model::of(plan, config), grads: plan.parameters.grads };
        let (delta, dstream) = (pass.top(pass.of.delta), pass.top(pass.of.dstream));
        let dgain = plan.layout.last_norm.of(back.grads).region;
        backend.norm_backward(&pass.of.last_norm.top(tokens), delta, dstream, Onto::Fresh, dgain);
        for (layer, block) in pass.of.blocks.iter().enumerate().rev() {
            back.again(backend, pass, layer, block);
            back.ffn(backend, pass, layer, block);
            back.attention(backend, pass, layer, block);
        }
        backend.embed_backward(dstream, plan.layout.embedding.of(back.grads));
    }
}

struct Back<'a> {
    model: Model<'a>,
    grads: Region,
}

impl Back<'_> {
    fn layout(&self) -> &Layout {
        self.model.layout
    }

    /// Computes again what was not kept of a block.
    fn again<B: Backend>(&self, backend: &mut B, pass: Pass<'_>, layer: usize, block: &Block) {
        let normed = pass.top(pass.of.normed);
        match pass.of.keep {
            Keep::All | Keep::Nothing => {}
            Keep::Attention => {
                backend.norm(None, &block.ffn_norm.top(pass.tokens), normed);
                self.model.gate_up(backend, pass, layer, block);
            }
            Keep::Input => {
                let (input, delta) = (pass.top(block.attention_norm.x), pass.top(pass.of.delta));
                backend.norm(None, &block.attention_norm.top(pass.tokens), normed);
                self.model.attention(backend, pass, layer, block);
                let ffn_norm = block.ffn_norm.top(pass.tokens);
                backend.norm(Some((input, delta)), &ffn_norm, normed);
                self.model.gate_up(backend, pass, layer, block);
            }
        }
    }

    /// Through down, `SwiGLU`, gate and up, and the normalization before them.
    fn ffn<B: Backend>(&self, backend: &mut B, pass: Pass<'_>, layer: usize, block: &Block) {
        let spans = &self.layout().layers[layer];
        let (dstream, hidden) = (pass.top(pass.of.dstream), pass.top(pass.of.hidden));
        let (gate_up, delta) = (pass.top(block.gate_up), pass.top(pass.of.delta));
        let (weights, grads) = (self.model.weights, self.grads);

        backend.linear_dgrad(dstream, spans.down.of(weights), hidden);
        backend.swiglu_backward(gate_up, hidden);
        backend.linear_wgrad(dstream, hidden, spans.down.of(grads));
        backend.linear_dgrad(gate_up, spans.gate_up.of(weights), delta);
        let dgain = spans.ffn_norm.of(grads).region;
        backend.norm_backward(&block.ffn_norm.top(pass.tokens), delta, dstream, Onto::Sum, dgain);
        backend.linear_wgrad(gate_up, delta, spans.gate_up.of(grads));
    }

    /// Through the output projection, attention, the packed projections, and the normalization.
    fn attention<B: Backend>(&self, backend: &mut B, pass: Pass<'_>, layer: usize, block: &Block) {
        let spans = &self.layout().layers[layer];
        let (weights, grads, heads) = (self.model.weights, self.grads, self.model.heads);
        let (dstream, delta) = (pass.top(pass.of.dstream), pass.top(pass.of.delta));
        let (packed, attended) = (pass.top(block.packed), pass.top(block.attended));
        let (dpacked, dattended) = (pass.top(pass.of.dpacked), pass.top(pass.of.dattended));

        backend.linear_dgrad(dstream, spans.out.of(weights), dattended);
        backend.linear_wgrad(dstream, attended, spans.out.of(grads));
        let forward = (packed, attended, self.model.log_partition(pass, block));
        backend.attention_backward(forward, heads, dattended, dpacked);
        backend.rope(dpacked, heads, self.model.rope, Turn::Back);
        backend.linear_dgrad(dpacked, spans.packed.of(weights), delta);
        let dgain = spans.attention_norm.of(grads).region;
        let norm = block.attention_norm.top(pass.tokens);
        backend.norm_backward(&norm, delta, dstream, Onto::Sum, dgain);
        backend.linear_wgrad(dpacked, delta, spans.packed.of(grads));
    }
}
