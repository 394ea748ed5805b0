//! The truth: Llama on candle-core's autograd, f32, on the CPU.
//!
//! Read `reference/model.rs` beside the paper. The graph is candle's; a handful of operations that
//! it lacks, or builds from many passes over memory, are in `reference/operation*`, each with its
//! backward pass written by hand and tested against candle's own operations.
//!
//! **Invariant:** nothing here calls candle's operations without a backward pass
//! (`apply_op*_no_bwd`), which cut the graph without an error; every parameter gets a gradient or
//! the step is an error.
//!
//! A micro-batch is split by rows among `threads`, each with a graph of its own; their gradients
//! are added in the order of the rows, so a run repeats bit for bit with the same thread count.

mod math;
mod model;
mod operations;
mod optimizer;
mod parameters;

use std::collections::BTreeMap;

use anyhow::Context as _;
use candle_core::Tensor;

use crate::by_name::ByName;
use crate::engine::{Batch, Engine, HostTensor, Numbers, Settings, Tensors, Update, Verdict};
use crate::model::Config;
use model::{Llama, Rope};
use parameters::Parameters;

/// candle walks the graph recursively: about 60 operations a layer, a kilobyte each.
const STACK_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub struct Reference {
    config: Config,
    settings: Settings,
    parameters: Parameters,
    rope: Rope,
    /// Sums over the targets of the step's micro-batches so far, already weighted.
    losses: Losses,
}

#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    loss: f64,
    z: f64,
}

/// What one thread found out.
struct Part {
    losses: Losses,
    /// In the order of the parameters.
    grads: Vec<Tensor>,
}

impl Reference {
    /// A model with these weights and an optimizer that has not stepped.
    pub fn new(config: &Config, settings: Settings, weights: &dyn ByName) -> anyhow::Result<Self> {
        let parameters = Parameters::new(weights)?;
        let rope = Rope::new(config);
        Ok(Self { config: *config, settings, parameters, rope, losses: Losses::default() })
    }

    /// The gradient summed so far, under each parameter's name.
    #[must_use]
    pub fn grads(&self) -> Tensors {
        self.parameters.tensors(|parameter| &parameter.grad)
    }

    /// Logits of every token, row by row: (rows, context, vocabulary).
    pub fn logits(&self, batch: &Batch) -> anyhow::Result<HostTensor> {
        let model = Llama::new(&self.config, &self.parameters.detached(), &self.rope)?;
        let logits_nv = model.forward(batch)?;
        let shape = vec![batch.rows, batch.context, self.config.vocabulary];
        Ok(HostTensor { shape, values: logits_nv.flatten_all()?.to_vec1()? })
    }

    /// Forward and backward of some rows.
    fn differentiate(&self, batch: &Batch, weight: f64) -> anyhow::Result<Part> {
        let variables = self.parameters.tracked();
        let model = Llama::new(&self.config, &variables, &self.rope)?;
        let logits_nv = model.forward(batch)?;
        let terms = operations::cross_entropy(
            &logits_nv,
            &batch.targets,
            operations::Weights { target: weight, z: self.settings.z_loss * weight },
        )?;
        let store = terms.loss.backward()?;
        let grads = variables
            .iter()
            .map(|(name, variable)| {
                let grad = store
                    .get(variable)
                    .with_context(|| format!("the graph is cut: no gradient reached {name}"))?;
                Ok(grad.contiguous()?)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Part { losses: Losses { loss: terms.nats * weight, z: terms.z * weight }, grads })
    }
}

impl Engine for Reference {
    fn facts(&self) -> String {
        format!("candle-core on {} thread(s) of the processor, in f32", self.settings.threads)
    }

    fn accumulate(&mut self, batch: &Batch, weight: f64) -> anyhow::Result<()> {
        let this = &*self;
        let parts = in_threads(&batch.split(self.settings.threads), |part| {
            this.differentiate(part, weight)
        })?;
        for part in parts {
            self.losses.loss += part.losses.loss;
            self.losses.z += part.losses.z;
            self.parameters.accumulate(&part.grads)?;
        }
        Ok(())
    }

    fn update(&mut self, update: Update) -> anyhow::Result<Option<Numbers>> {
        let Losses { loss, z } = std::mem::take(&mut self.losses);
        let grad_norm = self.parameters.grad_norm();
        let verdict = if loss.is_finite() && grad_norm.is_finite() {
            Verdict::Applied
        } else {
            Verdict::Skipped
        };
        let update_norm = match verdict {
            Verdict::Applied => {
                let scale = if self.settings.clip < grad_norm {
                    self.settings.clip / grad_norm
                } else {
                    1.0
                };
                self.parameters.update(&self.settings.adamw, update.lr, scale)?
            }
            Verdict::Skipped => 0.0,
        };
        self.parameters.forget_grads();
        let param_norm = self.parameters.norm();
        let step = update.step;
        Ok(Some(Numbers { step, loss, z, grad_norm, param_norm, update_norm, verdict }))
    }

    fn settle(&mut self) -> anyhow::Result<Option<Numbers>> {
        Ok(None)
    }

    fn log_likelihoods(&mut self, batch: &Batch) -> anyhow::Result<Vec<f32>> {
        let weights = self.parameters.detached();
        let score = |part: &Batch| {
            let model = Llama::new(&self.config, &weights, &self.rope)?;
            let logits_nv = model.forward(part)?;
            operations::log_likelihoods(&logits_nv, &part.targets)
        };
        Ok(in_threads(&batch.split(self.settings.threads), score)?.concat())
    }

    fn weights(&self) -> Box<dyn ByName + '_> {
        Box::new(self.parameters.tensors(|parameter| &parameter.value))
    }

    fn optimizer(&self) -> Box<dyn ByName + '_> {
        Box::new(self.parameters.optimizer())
    }

    fn load(&mut self, weights: &dyn ByName, optimizer: &dyn ByName) -> anyhow::Result<()> {
        self.losses = Losses::default();
        self.parameters = Parameters::restored(weights, optimizer)?;
        Ok(())
    }
}

/// Runs `work` on each part in a thread of its own; the results come in the parts' order.
fn in_threads<T: Send>(
    parts: &[Batch],
    work: impl Fn(&Batch) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(parts.len());
        for part in parts {
            let work = &work;
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            threads.push(builder.spawn_scoped(scope, move || work(part))?);
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, anyhow::Result<T>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        // Joined one by one: all must have ended before the first error leaves.
        threads.into_iter().map(join).collect::<Vec<_>>().into_iter().collect()
    })
}

/// A `BTreeMap` of candle tensors under the parameters' names.
type Named = BTreeMap<String, Tensor>;
