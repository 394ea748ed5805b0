//! Where each parameter lies among all of them: matrices first, then gains, so that an update goes
//! through them in one pass. Projections that read the same rows lie packed, one below the other.

use super::backend::{Heads, Matrix};
use super::{arena::Region, plan::numbers};
use crate::model::{Config, EMBEDDING, HEAD, Head, LAST_NORM, in_layer};

/// Parameters begin at multiples of so many numbers.
const ALIGN: usize = 64;

/// A matrix or a gain among all parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub at: usize,
    /// Outputs; 1 for a gain.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpans {
    pub attention_norm: Span,
    /// Queries, keys, values.
    pub packed: Span,
    pub out: Span,
    pub ffn_norm: Span,
    /// Gate, up.
    pub gate_up: Span,
    pub down: Span,
}

/// A parameter as Hugging Face has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub at: usize,
    pub shape: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub embedding: Span,
    /// The embedding itself, if it is tied.
    pub head: Span,
    pub layers: Vec<LayerSpans>,
    pub last_norm: Span,
    /// Numbers that are decayed: all before the first gain.
    pub decayed: usize,
    /// Numbers in all, with what lies between them.
    pub len: usize,
    pub named: Vec<Named>,
}

impl Span {
    /// In a region that holds all parameters, or something of each.
    #[must_use]
    pub fn of(self, all: Region) -> Matrix {
        let Self { at, rows, columns } = self;
        Matrix { region: all.part(at, rows * columns), rows, columns }
    }
}

/// Lays one parameter after another.
#[derive(Default)]
struct Cursor {
    end: usize,
    named: Vec<Named>,
}

impl Cursor {
    fn matrix(&mut self, parts: &[(String, usize)], columns: usize) -> Span {
        let at = self.end.next_multiple_of(ALIGN);
        let mut rows = 0;
        for (name, part) in parts {
            let shape = vec![*part, columns];
            self.named.push(Named { name: name.clone(), at: at + rows * columns, shape });
            rows += part;
        }
        self.end = at + rows * columns;
        Span { at, rows, columns }
    }

    fn gain(&mut self, name: String, columns: usize) -> Span {
        let at = self.end.next_multiple_of(ALIGN);
        self.named.push(Named { name, at, shape: vec![columns] });
        self.end = at + columns;
        Span { at, rows: 1, columns }
    }
}

impl Layout {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (d, f, heads) = (config.width, config.ffn, Heads::of(config));
        let (q, kv) = (heads.joined(), heads.keys * heads.width);
        let mut cursor = Cursor::default();
        let embedding = cursor.matrix(&[(EMBEDDING.to_owned(), config.vocabulary)], d);
        let mut matrices = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let name = |name| in_layer(layer, name);
            let packed = cursor.matrix(
                &[
                    (name("self_attn.q_proj"), q),
                    (name("self_attn.k_proj"), kv),
                    (name("self_attn.v_proj"), kv),
                ],
                d,
            );
            let out = cursor.matrix(&[(name("self_attn.o_proj"), d)], q);
            let gate_up = cursor.matrix(&[(name("mlp.gate_proj"), f), (name("mlp.up_proj"), f)], d);
            let down = cursor.matrix(&[(name("mlp.down_proj"), d)], f);
            matrices.push((packed, out, gate_up, down));
        }
        let head = match config.head {
            Head::Tied => embedding,
            Head::Own => cursor.matrix(&[(HEAD.to_owned(), config.vocabulary)], d),
        };
        let decayed = cursor.end;
        let mut layers = Vec::with_capacity(config.layers);
        for (layer, (packed, out, gate_up, down)) in matrices.into_iter().enumerate() {
            let attention_norm = cursor.gain(in_layer(layer, "input_layernorm"), d);
            let ffn_norm = cursor.gain(in_layer(layer, "post_attention_layernorm"), d);
            layers.push(LayerSpans { attention_norm, packed, out, ffn_norm, gate_up, down });
        }
        let last_norm = cursor.gain(LAST_NORM.to_owned(), d);
        let len = cursor.end.next_multiple_of(ALIGN);
        Self { embedding, head, layers, last_norm, decayed, len, named: cursor.named }
    }
}

impl Named {
    #[must_use]
    pub fn of(&self, all: Region) -> Region {
        all.part(self.at, numbers(&self.shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{preset, presets};

    /// What a model is made of has one place each, and the gains are all at the end.
    #[test]
    fn every_parameter_has_a_place_of_its_own() {
        for name in presets() {
            let config = preset(name).expect("listed");
            let layout = Layout::new(&config);
            let shapes = config.parameters();
            assert_eq!(layout.named.len(), shapes.len());
            let mut end = 0;
            let mut named = layout.named.clone();
            named.sort_by_key(|named| named.at);
            for Named { name, at, shape } in named {
                assert_eq!(shapes[&name], shape, "{name}");
                assert!(end <= at, "{name} begins before the one before it ends");
                end = at + numbers(&shape);
                assert_eq!(end <= layout.decayed, 1 < shape.len(), "{name}");
            }
            assert!(end <= layout.len && layout.len < end + ALIGN);
        }
    }
}
