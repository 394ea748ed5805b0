//! Every operation of a backend in f64, as its formula stands. Slow, and what the others are held to; its own gradients
//! are held to finite differences (`tests/backend/`).

use std::ops::Range;

use assay_trainer::data::IGNORED;
use assay_trainer::engine::Batch;
use assay_trainer::model::Config;
use assay_trainer::planned::{
    Backend, Formats, Heads, Losses, Matrix, Needs, Norm, Onto, Parameters, Rates, Region, Shape,
    Squares, Turn, Weights,
};

/// Bytes of a number of its arena.
pub(crate) const SIZE: usize = size_of::<f64>();

pub(crate) struct Exact {
    memory: Vec<f64>,
    batch: Batch,
    losses: Losses,
}

impl Exact {
    /// With an arena of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let nothing = Batch::of_rows(&[]);
        Self { memory: vec![0.0; bytes / SIZE], batch: nothing, losses: Losses::default() }
    }

    fn range(region: Region) -> Range<usize> {
        assert_eq!(region.size, SIZE);
        region.at / SIZE..region.at / SIZE + region.len
    }

    /// As [`Backend::read`], but nothing is rounded.
    pub(crate) fn get(&self, region: Region) -> Vec<f64> {
        self.memory[Self::range(region)].to_vec()
    }

    /// As [`Backend::write`] without f32: a small step from a number is another number.
    pub(crate) fn put(&mut self, region: Region, values: &[f64]) {
        self.memory[Self::range(region)].copy_from_slice(values);
    }

    /// Adds where it is asked to.
    fn put_onto(&mut self, region: Region, values: &[f64], onto: Onto) {
        for (place, value) in self.memory[Self::range(region)].iter_mut().zip(values) {
            *place = if onto == Onto::Sum { *place + value } else { *value };
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// to += by a
fn add(to: &mut [f64], by: f64, a: &[f64]) {
    for (to, a) in to.iter_mut().zip(a) {
        *to += by * a;
    }
}

/// 1 / rms of a row, and the row normalized.
fn normalized(x: &[f64], eps: f64) -> (f64, Vec<f64>) {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + eps).sqrt();
    (scale, x.iter().map(|x| x * scale).collect())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln of the sum of e^logit.
fn log_partition(logits: &[f64]) -> f64 {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln()
}

/// One token's head: what it looks at, and with what weights.
struct Look {
    /// Where the query lies in the packed rows, and where its output.
    query: Range<usize>,
    output: Range<usize>,
    /// Where its log-partition lies.
    place: usize,
    log_partition: f64,
    /// Where each key lies, its value, and its weight.
    seen: Vec<(Range<usize>, Range<usize>, f64)>,
}

fn looks<'a>(packed: &'a [f64], heads: Heads, batch: &'a Batch) -> impl Iterator<Item = Look> + 'a {
    let (columns, width, context) = (heads.packed(), heads.width, batch.context);
    let of = move |token: usize, head: usize| {
        let begin = token * columns + head * width;
        begin..begin + width
    };
    let all = (0..batch.inputs.len())
        .flat_map(move |token| (0..heads.queries).map(move |head| (token, head)));
    all.map(move |(token, head)| {
        let row = token / context;
        let served = head / (heads.queries / heads.keys);
        let query = of(token, head);
        let keys: Vec<usize> =
            batch.seen(token).into_iter().flatten().map(|key| row * context + key).collect();
        let key_of = |key| of(key, heads.queries + served);
        let score = |key: &usize| {
            dot(&packed[query.clone()], &packed[key_of(*key)]) / (width as f64).sqrt()
        };
        let scores: Vec<f64> = keys.iter().map(score).collect();
        let log_partition = log_partition(&scores);
        let seen = |(key, score): (usize, f64)| {
            let value = of(key, heads.queries + heads.keys + served);
            (key_of(key), value, (score - log_partition).exp())
        };
        let output = token * heads.joined() + head * width;
        Look {
            query: query.clone(),
            output: output..output + width,
            place: (row * heads.queries + head) * context + token % context,
            log_partition,
            seen: keys.iter().copied().zip(scores).map(seen).collect(),
        }
    })
}

impl Backend for Exact {
    fn needs(_config: &Config, _shape: &Shape) -> Needs {
        let formats = Formats {
            weight: SIZE,
            weight_rest: 0,
            gradient: SIZE,
            moment: SIZE,
            activation: SIZE,
            logit: SIZE,
        };
        Needs { formats, workspace: 0, logits: 1 << 18 }
    }

    fn place(&self) -> String {
        "f64".to_owned()
    }

    fn write(&mut self, region: Region, values: &[f32]) {
        let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
        self.put(region, &values);
    }

    #[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
    fn read(&self, region: Region, values: &mut [f32]) {
        for (to, value) in values.iter_mut().zip(self.get(region)) {
            *to = value as f32;
        }
    }

    fn zero(&mut self, region: Region) {
        self.put(region, &vec![0.0; region.len]);
    }

    fn load(&mut self, batch: &Batch) {
        self.batch = batch.clone();
    }

    fn embed(&mut self, table: Matrix, x: Matrix) {
        let rows = self.get(table.region);
        let row = |token: &u32| rows[*token as usize * x.columns..][..x.columns].to_vec();
        let found: Vec<f64> = self.batch.inputs.iter().flat_map(row).collect();
        self.put(x.region, &found);
    }

    fn embed_backward(&mut self, dx: Matrix, dtable: Matrix) {
        let (dx, width) = (self.get(dx.region), dx.columns);
        let mut sums = self.get(dtable.region);
        for (token, dx) in self.batch.inputs.iter().zip(dx.chunks_exact(width)) {
            add(&mut sums[*token as usize * width..][..width], 1.0, dx);
        }
        self.put(dtable.region, &sums);
    }

    fn norm(&mut self, from: Option<(Matrix, Matrix)>, norm: &Norm, y: Matrix) {
        if let Some((before, delta)) = from {
            let mut x = self.get(before.region);
            add(&mut x, 1.0, &self.get(delta.region));
            self.put(norm.x.region, &x);
        }
        let (x, gain) = (self.get(norm.x.region), self.get(norm.gain));
        let rows = x.chunks_exact(norm.x.columns).map(|row| normalized(row, norm.eps));
        let (scales, rows): (Vec<f64>, Vec<Vec<f64>>) = rows.unzip();
        let gained = |row: &Vec<f64>| -> Vec<f64> {
            row.iter().zip(&gain).map(|(x, gain)| x * gain).collect()
        };
        self.put(norm.scale, &scales);
        self.put(y.region, &rows.iter().flat_map(gained).collect::<Vec<f64>>());
    }

    fn norm_backward(&mut self, norm: &Norm, dy: Matrix, dx: Matrix, onto: Onto, dgain: Region) {
        let (x, gain, scales) =
            (self.get(norm.x.region), self.get(norm.gain), self.get(norm.scale));
        let (upstream, width) = (self.get(dy.region), norm.x.columns);
        let (mut gradient, mut again, mut of_gain) = (Vec::new(), Vec::new(), self.get(dgain));
        let rows = x.chunks_exact(width).zip(upstream.chunks_exact(width)).zip(scales);
        for ((x, dy), scale) in rows {
            let normal: Vec<f64> = x.iter().map(|x| x * scale).collect();
            let g: Vec<f64> = dy.iter().zip(&gain).map(|(dy, gain)| dy * gain).collect();
            let mean = dot(&g, &normal) / width as f64;
            for at in 0..width {
                gradient.push(scale * (g[at] - normal[at] * mean));
                again.push(normal[at] * gain[at]);
                of_gain[at] += dy[at] * normal[at];
            }
        }
        self.put_onto(dx.region, &gradient, onto);
        self.put(dy.region, &again);
        self.put(dgain, &of_gain);
    }

    fn linear(&mut self, x: Matrix, w: Matrix, y: Matrix) {
        let (rows, weights) = (self.get(x.region), self.get(w.region));
        let row = |x: &[f64]| -> Vec<f64> {
            weights.chunks_exact(w.columns).map(|w| dot(x, w)).collect()
        };
        let found: Vec<f64> = rows.chunks_exact(x.columns).flat_map(row).collect();
        self.put(y.region, &found);
    }

    fn linear_dgrad(&mut self, dy: Matrix, w: Matrix, dx: Matrix) {
        let (upstream, weights) = (self.get(dy.region), self.get(w.region));
        let mut found = vec![0.0; dx.region.len];
        let rows = upstream.chunks_exact(dy.columns).zip(found.chunks_exact_mut(dx.columns));
        for (dy, dx) in rows {
            for (dy, w) in dy.iter().zip(weights.chunks_exact(w.columns)) {
                add(dx, *dy, w);
            }
        }
        self.put(dx.region, &found);
    }

    fn linear_wgrad(&mut self, dy: Matrix, x: Matrix, dw: Matrix) {
        let (upstream, rows) = (self.get(dy.region), self.get(x.region));
        let mut sums = self.get(dw.region);
        for (dy, x) in upstream.chunks_exact(dy.columns).zip(rows.chunks_exact(x.columns)) {
            for (dy, dw) in dy.iter().zip(sums.chunks_exact_mut(dw.columns)) {
                add(dw, *dy, x);
            }
        }
        self.put(dw.region, &sums);
    }

    fn rope(&mut self, packed: Matrix, heads: Heads, table: Matrix, turn: Turn) {
        let (mut rows, table) = (self.get(packed.region), self.get(table.region));
        let (width, half) = (heads.width, heads.width / 2);
        let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
        for (row, position) in rows.chunks_exact_mut(packed.columns).zip(&self.batch.positions) {
            let (cos, sin) = table[*position as usize * width..][..width].split_at(half);
            for head in row[..(heads.queries + heads.keys) * width].chunks_exact_mut(width) {
                for pair in 0..half {
                    let (x, y, sin) = (head[pair], head[pair + half], sign * sin[pair]);
                    head[pair] = x * cos[pair] - y * sin;
                    head[pair + half] = x * sin + y * cos[pair];
                }
            }
        }
        self.put(packed.region, &rows);
    }

    fn attention(&mut self, packed: Matrix, heads: Heads, y: Matrix, partitions: Region) {
        let packed = self.get(packed.region);
        let (mut found, mut logs) = (vec![0.0; y.region.len], vec![0.0; partitions.len]);
        for look in looks(&packed, heads, &self.batch) {
            logs[look.place] = look.log_partition;
            for (_, value, weight) in look.seen {
                add(&mut found[look.output.clone()], weight, &packed[value]);
            }
        }
        self.put(y.region, &found);
        self.put(partitions, &logs);
    }

    fn attention_backward(
        &mut self,
        (packed, _, _): (Matrix, Matrix, Region),
        heads: Heads,
        dy: Matrix,
        dpacked: Matrix,
    ) {
        let (packed, upstream) = (self.get(packed.region), self.get(dy.region));
        let mut gradient = vec![0.0; packed.len()];
        let by = 1.0 / (heads.width as f64).sqrt();
        for Look { query, output, seen, .. } in looks(&packed, heads, &self.batch) {
            let dy = &upstream[output];
            let of_weights: Vec<f64> =
                seen.iter().map(|(_, value, _)| dot(dy, &packed[value.clone()])).collect();
            let mean: f64 =
                seen.iter().zip(&of_weights).map(|((_, _, weight), d)| weight * d).sum();
            for ((key, value, weight), of_weight) in seen.into_iter().zip(of_weights) {
                let of_score = weight * (of_weight - mean) * by;
                add(&mut gradient[value], weight, dy);
                add(&mut gradient[query.clone()], of_score, &packed[key.clone()]);
                add(&mut gradient[key], of_score, &packed[query.clone()]);
            }
        }
        self.put(dpacked.region, &gradient);
    }

    fn swiglu(&mut self, packed: Matrix, hidden: Matrix) {
        let rows = self.get(packed.region);
        let row = |row: &[f64]| -> Vec<f64> {
            let (gates, ups) = row.split_at(hidden.columns);
            gates.iter().zip(ups).map(|(gate, up)| gate * sigmoid(*gate) * up).collect()
        };
        let found: Vec<f64> = rows.chunks_exact(packed.columns).flat_map(row).collect();
        self.put(hidden.region, &found);
    }

    fn swiglu_backward(&mut self, packed: Matrix, dhidden: Matrix) {
        let (mut rows, mut hidden) = (self.get(packed.region), self.get(dhidden.region));
        let width = dhidden.columns;
        let pairs = rows.chunks_exact_mut(packed.columns).zip(hidden.chunks_exact_mut(width));
        for (row, hidden) in pairs {
            let (gates, ups) = row.split_at_mut(width);
            for ((gate, up), hidden) in gates.iter_mut().zip(ups).zip(hidden) {
                let (s, g, u, d) = (sigmoid(*gate), *gate, *up, *hidden);
                *gate = d * u * s * (1.0 + g * (1.0 - s));
                *up = d * g * s;
                *hidden = g * s * u;
            }
        }
        self.put(packed.region, &rows);
        self.put(dhidden.region, &hidden);
    }

    fn cross_entropy(&mut self, logits: Matrix, tokens: Range<usize>, weights: Weights) {
        let mut rows = self.get(logits.region);
        let targets = &self.batch.targets[tokens];
        for (row, target) in rows.chunks_exact_mut(logits.columns).zip(targets) {
            if *target == IGNORED {
                row.fill(0.0);
                continue;
            }
            let (log, target) = (log_partition(row), *target as usize);
            self.losses.nats += log - row[target];
            self.losses.z += log * log;
            for logit in row.iter_mut() {
                *logit = (*logit - log).exp() * (weights.target + 2.0 * weights.z * log);
            }
            row[target] -= weights.target;
        }
        self.put(logits.region, &rows);
    }

    fn log_likelihoods(&mut self, logits: Matrix, tokens: Range<usize>, out: Region) {
        let rows = self.get(logits.region);
        let one = |(row, target): (&[f64], &u32)| match *target {
            IGNORED => 0.0,
            target => row[target as usize] - log_partition(row),
        };
        let targets = &self.batch.targets[tokens.clone()];
        let found: Vec<f64> = rows.chunks_exact(logits.columns).zip(targets).map(one).collect();
        self.put(out.part(tokens.start, tokens.len()), &found);
    }

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn square(&mut self, region: Region) -> f64 {
        let values = self.get(region);
        dot(&values, &values)
    }

    fn adamw(&mut self, parameters: &Parameters, rates: &Rates) -> Squares {
        let Parameters { weights, grads, first, second, decayed } = *parameters;
        let [mut w, g, mut m, mut v] = [weights, grads, first, second].map(|of| self.get(of));
        let power = i32::try_from(rates.updates).expect("few");
        let mut squares = Squares::default();
        for at in 0..w.len() {
            let g = g[at] * rates.grad_scale;
            m[at] = rates.beta1 * m[at] + (1.0 - rates.beta1) * g;
            v[at] = rates.beta2 * v[at] + (1.0 - rates.beta2) * g * g;
            let m_hat = m[at] / (1.0 - rates.beta1.powi(power));
            let v_hat = v[at] / (1.0 - rates.beta2.powi(power));
            let decay = if at < decayed { rates.weight_decay } else { 0.0 };
            let update = -rates.lr * (m_hat / (v_hat.sqrt() + rates.eps) + decay * w[at]);
            w[at] += update;
            squares.update += update * update;
            squares.weights += w[at] * w[at];
        }
        for (region, values) in [(weights, &w), (first, &m), (second, &v)] {
            self.put(region, values);
        }
        self.zero(grads);
        squares
    }
}
