//! Llama, all of it, in one file.
//!
//! Names end in their shape: n tokens of the batch (rows times context), b rows, t context, d width,
//! h heads, k heads of keys and values, g queries per key (h = k g), e head width, f feed-forward
//! width, v vocabulary. So `q_bhte` is (rows, heads, context, head width).

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::Named;
use super::operations::{
    Angles, Attended, attention_weights, join_heads, rms_norm, split_heads, swiglu,
};
use crate::engine::Batch;
use crate::model::{Config, EMBEDDING, HEAD, Head, LAST_NORM, in_layer};

#[derive(Debug)]
pub(super) struct Llama<'a> {
    config: &'a Config,
    rope: &'a Rope,
    embedding_vd: Tensor,
    blocks: Vec<Block>,
    norm_d: Tensor,
    head_vd: Tensor,
}

impl<'a> Llama<'a> {
    /// A model of these weights: variables, or tensors whose operations are not recorded.
    pub(super) fn new(config: &'a Config, weights: &Named, rope: &'a Rope) -> Result<Self> {
        let get = |name: &str| {
            let missing = || candle_core::Error::Msg(format!("the weights lack {name}"));
            weights.get(name).cloned().ok_or_else(missing)
        };
        let embedding_vd = get(EMBEDDING)?;
        let head_vd = match config.head {
            Head::Tied => embedding_vd.clone(),
            Head::Own => get(HEAD)?,
        };
        let block = |layer| Block::new(|name| get(&in_layer(layer, name)));
        let blocks = (0..config.layers).map(block).collect::<Result<_>>()?;
        Ok(Self { config, rope, embedding_vd, blocks, norm_d: get(LAST_NORM)?, head_vd })
    }

    /// Logits of every token.
    pub(super) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let layout = Layout::new(self.config, self.rope, batch);
        let inputs_n = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu)?;
        let mut x_nd = self.embedding_vd.index_select(&inputs_n, 0)?;
        for block in &self.blocks {
            x_nd = block.forward(&x_nd, &layout)?;
        }
        project(&rms_norm(&x_nd, &self.norm_d, self.config.norm_eps)?, &self.head_vd)
    }
}

/// Where the tokens of a batch stand, and what each may look at.
struct Layout<'a> {
    config: &'a Config,
    rows: usize,
    context: usize,
    angles: Angles,
    seen_bt: Arc<[[Range<usize>; 2]]>,
}

impl<'a> Layout<'a> {
    fn new(config: &'a Config, rope: &Rope, batch: &Batch) -> Self {
        Self {
            config,
            rows: batch.rows,
            context: batch.context,
            angles: rope.angles(&batch.positions),
            seen_bt: (0..batch.inputs.len()).map(|token| batch.seen(token)).collect(),
        }
    }
}

#[derive(Debug)]
struct Block {
    attention_norm_d: Tensor,
    attention: Attention,
    ffn_norm_d: Tensor,
    ffn: Ffn,
}

impl Block {
    fn new(get: impl Fn(&str) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            attention_norm_d: get("input_layernorm")?,
            attention: Attention {
                q_hd: get("self_attn.q_proj")?,
                k_kd: get("self_attn.k_proj")?,
                v_kd: get("self_attn.v_proj")?,
                out_dh: get("self_attn.o_proj")?,
            },
            ffn_norm_d: get("post_attention_layernorm")?,
            ffn: Ffn {
                gate_fd: get("mlp.gate_proj")?,
                up_fd: get("mlp.up_proj")?,
                down_df: get("mlp.down_proj")?,
            },
        })
    }

    fn forward(&self, x_nd: &Tensor, layout: &Layout<'_>) -> Result<Tensor> {
        let eps = layout.config.norm_eps;
        let attended_nd =
            self.attention.forward(&rms_norm(x_nd, &self.attention_norm_d, eps)?, layout)?;
        let x_nd = (x_nd + attended_nd)?;
        &x_nd + self.ffn.forward(&rms_norm(&x_nd, &self.ffn_norm_d, eps)?)?
    }
}

/// Grouped-query attention; h and k here stand for all heads' widths together.
#[derive(Debug)]
struct Attention {
    q_hd: Tensor,
    k_kd: Tensor,
    v_kd: Tensor,
    out_dh: Tensor,
}

impl Attention {
    fn forward(&self, x_nd: &Tensor, layout: &Layout<'_>) -> Result<Tensor> {
        let Config { heads: h, kv_heads: k, head_width: e, .. } = *layout.config;
        let (b, t, g) = (layout.rows, layout.context, h / k);
        let q_bhte = split_heads(&project(x_nd, &self.q_hd)?, [b, t, h, e], Some(&layout.angles))?;
        let k_bkte = split_heads(&project(x_nd, &self.k_kd)?, [b, t, k, e], Some(&layout.angles))?;
        let v_bkte = split_heads(&project(x_nd, &self.v_kd)?, [b, t, k, e], None)?;

        // The g queries of one key lie one after the other, so nothing needs to be repeated.
        let q_bkge = q_bhte.reshape((b, k, g * t, e))?;
        let scores_bkgt = q_bkge.matmul(&k_bkte.t()?)?;
        let attended = Attended { seen_bt: layout.seen_bt.clone(), heads: h, context: t };
        #[expect(clippy::cast_precision_loss, reason = "a head is narrow")]
        let weights_bkgt = attention_weights(&scores_bkgt, attended, 1.0 / (e as f64).sqrt())?;
        let y_bkge = weights_bkgt.matmul(&v_bkte)?;

        project(&join_heads(&y_bkge, [b, t, h, e])?, &self.out_dh)
    }
}

/// `SwiGLU`.
#[derive(Debug)]
struct Ffn {
    gate_fd: Tensor,
    up_fd: Tensor,
    down_df: Tensor,
}

impl Ffn {
    fn forward(&self, x_nd: &Tensor) -> Result<Tensor> {
        let hidden_nf = swiglu(&project(x_nd, &self.gate_fd)?, &project(x_nd, &self.up_fd)?)?;
        project(&hidden_nf, &self.down_df)
    }
}

/// x w^T.
fn project(x_ni: &Tensor, w_oi: &Tensor) -> Result<Tensor> {
    x_ni.matmul(&w_oi.t()?)
}

/// Rotary position embedding: the speed of each pair.
#[derive(Debug)]
pub(super) struct Rope {
    speeds: Vec<f32>,
}

impl Rope {
    pub(super) fn new(config: &Config) -> Self {
        Self { speeds: config.rotation_speeds() }
    }

    #[expect(clippy::cast_precision_loss, reason = "positions are below 2^24")]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sines are computed in f64 and used in f32"
    )]
    fn angles(&self, positions: &[u32]) -> Angles {
        let longest = positions.iter().copied().max().unwrap_or(0) as usize;
        let angle = |position: usize, speed: f32| f64::from(position as f32 * speed);
        let table = |of: fn(f64) -> f64| {
            let row = |at| self.speeds.iter().map(move |speed| of(angle(at, *speed)) as f32);
            (0..=longest).flat_map(row).collect()
        };
        Angles { positions_bt: positions.into(), cos: table(f64::cos), sin: table(f64::sin) }
    }
}
