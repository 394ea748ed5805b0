//! The static plan: which buffer holds what, and for how long. Pure: it is made, printed and checked
//! where the device is not.
//!
//! A block's backward pass needs what its forward pass saw. The plan keeps as much of that as the
//! memory limit allows ([`Keep`]) and has the rest computed again. Outputs of normalizations and of
//! `SwiGLU` are never kept: the operations that go back through them give them as a by-product.

use super::arena::{Arena, Bytes, Formats, Line, Region, SINGLE};
use super::backend::{Heads, Matrix, Norm, Parameters};
use super::layout::Layout;
use crate::model::Config;

/// Tokens of a chunk of logits at least: below, reading the head costs more than multiplying.
const CHUNK_TOKENS: usize = 512;
/// Tokens that are scored at a time, where the memory is there anyway.
pub const SCORED_TOKENS: usize = 4096;

/// The largest batches that will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of a micro-batch that is trained on.
    pub rows: usize,
    pub context: usize,
    /// The longest row that is scored.
    pub longest: usize,
    pub threads: usize,
}

/// What a backend asks of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub formats: Formats,
    /// Bytes of scratch for its operations.
    pub workspace: usize,
    /// Numbers of logits at a time, about.
    pub logits: usize,
}

/// What of a block's forward pass is kept for its backward pass, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything that would take a matrix product to compute again.
    All,
    /// All but gate and up: one product of three in the feed-forward part is done twice.
    Attention,
    /// Its input: the whole block is done twice.
    Input,
    /// Nothing: no backward pass follows.
    Nothing,
}

impl Keep {
    pub const TRAINING: [Self; 3] = [Self::All, Self::Attention, Self::Input];

    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::All => "what its products gave",
            Self::Attention => "its attention; gate and up are computed again",
            Self::Input => "its input; all else is computed again",
            Self::Nothing => "nothing",
        }
    }
}

/// What is known of one block while it is passed through.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// The residual stream before it, (n, width), with what its normalization needs.
    pub attention_norm: Norm,
    /// Queries, keys and values, rotated.
    pub packed: Matrix,
    pub attended: Matrix,
    pub log_partition: Region,
    /// The stream between its two parts.
    pub ffn_norm: Norm,
    pub gate_up: Matrix,
}

/// Everything that depends on the tokens of a batch.
#[derive(Clone, Debug)]
pub struct Activations {
    /// Room for so many.
    pub tokens: usize,
    pub keep: Keep,
    pub blocks: Vec<Block>,
    pub last_norm: Norm,
    /// A normalization's output.
    pub normed: Matrix,
    /// What a part of a block adds to the stream; backward, the gradient of a normalization's output.
    pub delta: Matrix,
    pub hidden: Matrix,
    /// Tokens of a chunk.
    pub chunk: usize,
    pub logits: Matrix,
    /// (n), f32
    pub likelihoods: Region,
    /// Gradients: of the stream, of what attention gave, of what it was given.
    pub dstream: Matrix,
    pub dattended: Matrix,
    pub dpacked: Matrix,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub formats: Formats,
    pub layout: Layout,
    pub parameters: Parameters,
    /// Low halves of the weights' masters; empty where there are none.
    pub weights_rest: Region,
    /// (tokens of the longest row, head width): cosines, then sines. f32.
    pub rope: Matrix,
    pub workspace: Region,
    pub training: Activations,
    /// Over the same memory as `training`: one or the other is in use.
    pub scoring: Activations,
    pub bytes: usize,
    pub lines: Vec<Line>,
}

/// No plan fits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} are needed where {} are to be had, even if only the input of each block is kept: raise \
     `resources.memory`, or lower `train.micro_batch` or `train.context`",
    Bytes(*.needed),
    Bytes(*.limit)
)]
pub struct TooLarge {
    pub needed: usize,
    pub limit: usize,
}

impl Plan {
    /// Keeps as much as fits into `limit` bytes.
    ///
    /// # Errors
    /// Nothing does.
    pub fn within(
        config: &Config,
        shape: &Shape,
        needs: Needs,
        limit: Option<usize>,
    ) -> Result<Self, TooLarge> {
        let mut needed = 0;
        for keep in Keep::TRAINING {
            let plan = Self::new(config, shape, needs, keep);
            match limit {
                Some(limit) if limit < plan.bytes => needed = plan.bytes,
                _ => return Ok(plan),
            }
        }
        Err(TooLarge { needed, limit: limit.unwrap_or(usize::MAX) })
    }

    #[must_use]
    pub fn new(config: &Config, shape: &Shape, needs: Needs, keep: Keep) -> Self {
        let formats = needs.formats;
        let layout = Layout::new(config);
        let mut arena = Arena::default();
        let weights = arena.take("weights", layout.len, formats.weight);
        let rest_len = if formats.weight_rest == 0 { 0 } else { layout.len };
        let weights_rest =
            arena.take("low halves of the master weights", rest_len, formats.weight_rest);
        let grads = arena.take("gradients", layout.len, formats.gradient);
        let first = arena.take("AdamW's first moments", layout.len, formats.moment);
        let second = arena.take("AdamW's second moments", layout.len, formats.moment);
        let decayed = layout.decayed;
        let parameters = Parameters { weights, grads, first, second, decayed };
        let positions = shape.context.max(shape.longest);
        let rope = Taker { arena: &mut arena, size: SINGLE }.matrix(
            "rotations",
            positions,
            config.head_width,
        );
        let workspace = arena.take("workspace of the operations", needs.workspace, 1);

        let begin = arena.clone();
        let tokens = shape.rows * shape.context;
        let gains = Gains { layout: &layout, weights };
        let training = Activations::new(&mut arena, config, (tokens, keep, needs), &gains);
        let scoring = |tokens| {
            let mut beside = begin.clone();
            let of = (tokens, Keep::Nothing, needs);
            (Activations::new(&mut beside, config, of, &gains), beside.bytes())
        };
        let least = tokens.max(shape.longest);
        let (scoring, end) = match scoring(least.max(SCORED_TOKENS)) {
            (roomy, end) if end <= arena.bytes() => (roomy, end),
            _ => scoring(least),
        };
        arena.grow("scoring, beyond what training needs", end);
        let (bytes, lines) = (arena.bytes(), arena.lines().to_vec());
        Self {
            formats,
            layout,
            parameters,
            weights_rest,
            rope,
            workspace,
            training,
            scoring,
            bytes,
            lines,
        }
    }
}

/// Where the gains are: norms know theirs.
struct Gains<'a> {
    layout: &'a Layout,
    weights: Region,
}

/// Takes matrices of one format.
struct Taker<'a> {
    arena: &'a mut Arena,
    size: usize,
}

impl Taker<'_> {
    fn matrix(&mut self, what: &str, rows: usize, columns: usize) -> Matrix {
        Matrix { region: self.arena.take(what, rows * columns, self.size), rows, columns }
    }
}

impl Activations {
    fn new(
        arena: &mut Arena,
        config: &Config,
        (n, keep, needs): (usize, Keep, Needs),
        gains: &Gains<'_>,
    ) -> Self {
        let (d, f, heads) = (config.width, config.ffn, Heads::of(config));
        let formats = needs.formats;
        let mut blocks: Vec<Block> = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let known = blocks.first().copied();
            let spans = &gains.layout.layers[layer];
            let gains =
                [spans.attention_norm, spans.ffn_norm].map(|span| span.of(gains.weights).region);
            blocks.push(Block::new(arena, config, (n, keep, formats), gains, known));
        }
        let mut take = Taker { arena, size: formats.activation };
        let last = match (keep, blocks.first()) {
            (Keep::Nothing, Some(block)) => block.attention_norm.x,
            (_, _) => take.matrix("the residual stream", n, d),
        };
        let normed = take.matrix("scratch", n, d);
        let delta = take.matrix("scratch", n, d);
        // three uses of one stretch: within the feed-forward part, within attention, at the head
        let chunk = (needs.logits / config.vocabulary).max(CHUNK_TOKENS).min(n);
        let (joined, packed) = (n * heads.joined(), n * heads.packed());
        let (size, logit) = (formats.activation, formats.logit);
        let behind = (joined * size).next_multiple_of(super::arena::ALIGN);
        let bytes =
            (n * f * size).max(behind + packed * size).max(chunk * config.vocabulary * logit);
        let shared = take.arena.take("scratch", bytes, 1);
        let within = |from, rows, columns, size| Matrix {
            region: Region { at: shared.at + from, len: rows * columns, size },
            rows,
            columns,
        };
        let dstream = match keep {
            Keep::Nothing => delta,
            Keep::All | Keep::Attention | Keep::Input => take.matrix("scratch", n, d),
        };
        let scale = take.arena.take("statistics", n, SINGLE);
        let likelihoods = take.arena.take("statistics", n, SINGLE);
        Self {
            tokens: n,
            keep,
            blocks,
            last_norm: Norm {
                x: last,
                gain: gains.layout.last_norm.of(gains.weights).region,
                scale,
                eps: config.norm_eps,
            },
            normed,
            delta,
            hidden: within(0, n, f, size),
            chunk,
            logits: within(0, chunk, config.vocabulary, logit),
            likelihoods,
            dstream,
            dattended: within(0, n, heads.joined(), size),
            dpacked: within(behind, n, heads.packed(), size),
        }
    }
}

impl Block {
    /// `known` is another block: what is not kept is in the same place for all.
    fn new(
        arena: &mut Arena,
        config: &Config,
        (n, keep, formats): (usize, Keep, Formats),
        [attention_gain, ffn_gain]: [Region; 2],
        known: Option<Self>,
    ) -> Self {
        let heads = Heads::of(config);
        let (keeps_input, keeps_attention, keeps_ffn) = match keep {
            Keep::All => (true, true, true),
            Keep::Attention => (true, true, false),
            Keep::Input => (true, false, false),
            Keep::Nothing => (false, false, false),
        };
        let mut matrix = |what: &str, columns: usize, of: Option<Matrix>| {
            of.unwrap_or_else(|| Matrix {
                region: arena.take(what, n * columns, formats.activation),
                rows: n,
                columns,
            })
        };
        let unless = |is_kept: bool| known.filter(|_| !is_kept);
        let input = unless(keeps_input).map(|block| block.attention_norm.x);
        let input = matrix("the residual stream", config.width, input);
        let attention = unless(keeps_attention);
        let middle = attention.map(|block| block.ffn_norm.x);
        let middle = matrix("the residual stream", config.width, middle);
        let packed = attention.map(|block| block.packed);
        let packed = matrix("queries, keys and values", heads.packed(), packed);
        let attended = attention.map(|block| block.attended);
        let attended = matrix("what attention gave", heads.joined(), attended);
        let gate_up = unless(keeps_ffn).map(|block| block.gate_up);
        let gate_up = matrix("gates and ups", 2 * config.ffn, gate_up);
        let mut statistic = |columns: usize, of: Option<Region>| {
            of.unwrap_or_else(|| arena.take("statistics", n * columns, SINGLE))
        };
        let scale = statistic(1, unless(keeps_input).map(|block| block.attention_norm.scale));
        let ffn_scale = statistic(1, attention.map(|block| block.ffn_norm.scale));
        let log_partition = statistic(heads.queries, attention.map(|block| block.log_partition));
        let eps = config.norm_eps;
        let norm = |x, gain, scale| Norm { x, gain, scale, eps };
        Self {
            attention_norm: norm(input, attention_gain, scale),
            packed,
            attended,
            log_partition,
            ffn_norm: norm(middle, ffn_gain, ffn_scale),
            gate_up,
        }
    }
}

/// Numbers in a tensor.
pub(super) fn numbers(shape: &[usize]) -> usize {
    shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    const SHAPE: Shape = Shape { rows: 4, context: 128, longest: 300, threads: 1 };
    const NEEDS: Needs = Needs { formats: Formats::SINGLE, workspace: 1000, logits: 1 << 18 };

    fn plan(keep: Keep) -> Plan {
        let config = preset("llama-1m").expect("listed");
        Plan::new(&config, &SHAPE, NEEDS, keep)
    }

    #[test]
    fn as_much_is_kept_as_fits() {
        let config = preset("llama-1m").expect("listed");
        let within = |limit| Plan::within(&config, &SHAPE, NEEDS, limit);
        let sizes = Keep::TRAINING.map(|keep| plan(keep).bytes);
        assert!(sizes[2] < sizes[1] && sizes[1] < sizes[0], "{sizes:?}");
        assert_eq!(within(None).expect("no limit").training.keep, Keep::All);
        for (keep, size) in Keep::TRAINING.into_iter().zip(sizes) {
            assert_eq!(within(Some(size)).expect("it fits").training.keep, keep);
        }
        let error = within(Some(sizes[2] - 1)).expect_err("nothing fits");
        assert_eq!(error, TooLarge { needed: sizes[2], limit: sizes[2] - 1 });
        let said = error.to_string();
        assert!(said.contains("lower `train.micro_batch` or `train.context`"), "{said}");
    }

    /// Weights, moments and what is kept of 8B at 4,096 in bf16, by hand: 16 or 8 bytes a parameter; 94 KB
    /// a token and layer, as field figures for LLM.Q's plan have it.
    #[test]
    fn the_sums_are_those_on_paper() {
        let config = preset("llama-8b").expect("listed");
        let shape = Shape { rows: 1, context: 4096, longest: 4096, threads: 1 };
        let plan = |formats| {
            let plan = Plan::new(&config, &shape, Needs { formats, ..NEEDS }, Keep::All);
            let state: usize = plan.lines[..5].iter().map(|line| line.bytes).sum();
            (plan, state)
        };
        let parameters = usize::try_from(config.parameter_count()).expect("it fits");
        assert_eq!(plan(Formats::BF16_BY_CHANCE).1, 8 * parameters);
        let (plan, state) = plan(Formats::BF16);
        assert_eq!(state, 16 * parameters);
        let kept: usize =
            plan.lines.iter().filter(|line| line.what != "scratch").map(|l| l.bytes).sum();
        let each = (kept - state) / (4096 * config.layers);
        assert!((93_000..97_000).contains(&each), "{each} bytes a token and layer");
    }

    /// The lines say where all of it goes, but for what lies between regions.
    #[test]
    fn the_lines_add_up() {
        for keep in Keep::TRAINING {
            let plan = plan(keep);
            let sum: usize = plan.lines.iter().map(|line| line.bytes).sum();
            assert!(sum <= plan.bytes && plan.bytes < sum + 200 * super::super::arena::ALIGN);
            assert!(plan.scoring.tokens >= SHAPE.longest);
        }
    }
}
