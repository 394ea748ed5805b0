//! The engine that runs are trained with: a static plan over buffers from one arena, for any
//! [`Backend`].
//!
//! There is no tape. The order of operations and the place of every number are known before the
//! first step: [`plan`] says where things lie and what is kept, `forward.rs` and `backward.rs` are
//! the model read top to bottom, and a backend does the arithmetic. Names are those of
//! `reference/model.rs`, which is the truth that this is held to.

mod arena;
mod backend;
mod backward;
mod forward;
mod layout;
mod plan;

use assay_api::spec::AdamW;

use anyhow::Context as _;

use crate::by_name::{ByName, Shapes};
use crate::engine::{Batch, Engine, HostTensor, Numbers, Settings, Tensors, Update, Verdict};
use crate::model::Config;
use crate::moments;

pub use arena::{Arena, Bytes, Formats, Line, Region};
pub use backend::{
    Backend, Factors, Heads, Losses, Matrix, Norm, Onto, Parameters, Rates, Squares, Turn, Weights,
};
pub use layout::{Layout, Named, Span};
pub use plan::{Activations, Block, Keep, Needs, Plan, SCORED_TOKENS, Shape, TooLarge};

#[derive(Debug)]
pub struct Planned<B> {
    config: Config,
    settings: Settings,
    plan: Plan,
    backend: B,
    /// Updates applied: the bias correction counts these, not the steps that were skipped.
    updates: u64,
    /// Sums over the targets of the step's micro-batches so far, already weighted.
    loss: f64,
    z: f64,
    /// What each target counts whose losses the backend still has: it is not waited for before the step ends.
    pending: Option<f64>,
}

impl<B: Backend> Planned<B> {
    /// A model with these weights and an optimizer that has not stepped. The backend's arena is as large
    /// as the plan says.
    ///
    /// # Errors
    /// These are not the model's weights.
    pub fn new(
        config: &Config,
        settings: Settings,
        plan: Plan,
        backend: B,
        weights: &dyn ByName,
    ) -> anyhow::Result<Self> {
        let mut engine = Self {
            config: *config,
            settings,
            plan,
            backend,
            updates: 0,
            loss: 0.0,
            z: 0.0,
            pending: None,
        };
        let rotations = config.rotations(engine.plan.rope.rows);
        engine.backend.write(engine.plan.rope.region, &rotations);
        engine.put_weights(weights)?;
        engine.backend.check()?;
        Ok(engine)
    }

    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The backend alone, when nothing more is to be trained.
    #[must_use]
    pub fn into_backend(self) -> B {
        self.backend
    }

    /// The gradient summed so far, under each parameter's name.
    #[must_use]
    pub fn grads(&self) -> Tensors {
        self.tensors(self.plan.parameters.grads)
    }

    fn put_weights(&mut self, weights: &dyn ByName) -> anyhow::Result<()> {
        for named in &self.plan.layout.named {
            let tensor = weights.tensor(&named.name).context("a weight cannot be had")?;
            anyhow::ensure!(tensor.shape == named.shape, "{} has another shape", named.name);
            self.backend.write(named.of(self.plan.parameters.weights), &tensor.values);
        }
        Ok(())
    }

    fn tensors(&self, all: Region) -> Tensors {
        let named = self.plan.layout.named.iter();
        named.map(|named| (named.name.clone(), self.tensor(named, all))).collect()
    }

    fn tensor(&self, named: &Named, all: Region) -> HostTensor {
        let region = named.of(all);
        let mut values = vec![0.0; region.len];
        self.backend.read(region, &mut values);
        HostTensor { shape: named.shape.clone(), values }
    }
}

/// What the arena has of each parameter, under its name with something before it, and what is counted.
struct Held<'a, B> {
    engine: &'a Planned<B>,
    kinds: Vec<(&'static str, Region)>,
    counted: Tensors,
}

impl<B: Backend> Held<'_, B> {
    fn find(&self, name: &str) -> Option<(&Named, Region)> {
        self.kinds.iter().find_map(|(before, region)| {
            let name = name.strip_prefix(before)?;
            let mut named = self.engine.plan.layout.named.iter();
            Some((named.find(|named| named.name == name)?, *region))
        })
    }
}

impl<B: Backend> ByName for Held<'_, B> {
    fn shapes(&self) -> Shapes {
        let mut shapes = self.counted.shapes();
        for (before, _) in &self.kinds {
            let named = self.engine.plan.layout.named.iter();
            shapes.extend(
                named.map(|named| (format!("{before}{}", named.name), named.shape.clone())),
            );
        }
        shapes
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        let Some((named, region)) = self.find(name) else { return self.counted.tensor(name) };
        let tensor = self.engine.tensor(named, region);
        self.engine.backend.check()?;
        Ok(tensor)
    }

    fn is_bf16(&self, name: &str) -> bool {
        // weights of 2 bytes may have the rest of their bits elsewhere
        let is_whole = self.engine.plan.formats.weight_rest == 0;
        self.find(name).is_some_and(|(_, region)| region.size == 2 && is_whole)
    }
}

impl<B: Backend> Engine for Planned<B> {
    fn facts(&self) -> String {
        let Plan { formats, bytes, training, .. } = &self.plan;
        format!(
            "{}: {} of memory, parameters in {}; of each block it keeps {}",
            self.backend.place(),
            Bytes(*bytes),
            formats.words(),
            training.keep.words()
        )
    }

    fn accumulate(&mut self, batch: &Batch, weight: f64) -> anyhow::Result<()> {
        self.check(batch)?;
        anyhow::ensure!(
            batch.shared.iter().all(|shared| *shared == 0),
            "branches that share a beginning are scored, not trained on"
        );
        let rows = (self.plan.training.tokens / batch.context.max(1)).max(1);
        if rows < batch.rows {
            for part in batch.split(batch.rows.div_ceil(rows)) {
                self.accumulate(&part, weight)?;
            }
            return Ok(());
        }
        anyhow::ensure!(
            batch.context <= self.plan.training.tokens,
            "a row of {} tokens, where there is room for {} to be trained on",
            batch.context,
            self.plan.training.tokens
        );
        if self.pending.is_some_and(|pending| pending != weight) {
            self.collect();
        }
        self.pending = Some(weight);
        self.backend.load(batch);
        let tokens = batch.inputs.len();
        let weights = Weights { target: weight, z: self.settings.z_loss * weight };
        self.forward(tokens);
        self.differentiate_head(tokens, weights);
        self.backward(tokens);
        self.backend.check()
    }

    fn update(&mut self, update: Update) -> anyhow::Result<Option<Numbers>> {
        self.collect();
        let (loss, z) = (std::mem::take(&mut self.loss), std::mem::take(&mut self.z));
        let parameters = self.plan.parameters;
        let grad_norm = self.backend.square(parameters.grads).sqrt();
        self.backend.check()?;
        let verdict = if loss.is_finite() && grad_norm.is_finite() {
            Verdict::Applied
        } else {
            Verdict::Skipped
        };
        let squares = match verdict {
            Verdict::Applied => {
                self.updates += 1;
                let AdamW { beta1, beta2, eps, weight_decay } = self.settings.adamw;
                let clip = self.settings.clip;
                let rates = Rates {
                    beta1,
                    beta2,
                    eps,
                    weight_decay,
                    lr: update.lr,
                    updates: self.updates,
                    grad_scale: if clip < grad_norm { clip / grad_norm } else { 1.0 },
                };
                self.backend.adamw(&parameters, &rates)
            }
            Verdict::Skipped => {
                self.backend.zero(parameters.grads);
                Squares { weights: self.backend.square(parameters.weights), update: 0.0 }
            }
        };
        self.backend.check()?;
        let (param_norm, update_norm) = (squares.weights.sqrt(), squares.update.sqrt());
        let step = update.step;
        Ok(Some(Numbers { step, loss, z, grad_norm, param_norm, update_norm, verdict }))
    }

    fn settle(&mut self) -> anyhow::Result<Option<Numbers>> {
        Ok(None)
    }

    fn log_likelihoods(&mut self, batch: &Batch) -> anyhow::Result<Vec<f32>> {
        self.check(batch)?;
        let rows = (self.plan.scoring.tokens / batch.context.max(1)).max(1);
        let mut all = vec![0.0; batch.inputs.len()];
        for row in (0..batch.rows).step_by(rows) {
            let part = batch.part(row, rows.min(batch.rows - row));
            let tokens = part.inputs.len();
            self.backend.load(&part);
            let likelihoods = self.score(tokens);
            self.backend.read(likelihoods, &mut all[row * batch.context..][..tokens]);
            self.backend.check()?;
        }
        Ok(all)
    }

    fn weights(&self) -> Box<dyn ByName + '_> {
        let kinds = vec![("", self.plan.parameters.weights)];
        Box::new(Held { engine: self, kinds, counted: Tensors::new() })
    }

    fn optimizer(&self) -> Box<dyn ByName + '_> {
        let Parameters { first, second, .. } = self.plan.parameters;
        let kinds = vec![(moments::FIRST, first), (moments::SECOND, second)];
        Box::new(Held { engine: self, kinds, counted: moments::counted(self.updates) })
    }

    fn load(&mut self, weights: &dyn ByName, optimizer: &dyn ByName) -> anyhow::Result<()> {
        self.collect();
        (self.loss, self.z) = (0.0, 0.0);
        self.put_weights(weights)?;
        let Parameters { first, second, grads, .. } = self.plan.parameters;
        for named in &self.plan.layout.named {
            let moments = moments::of(optimizer, &named.name, &named.shape)?;
            self.backend.write(named.of(first), &moments.first);
            self.backend.write(named.of(second), &moments.second);
        }
        self.updates = moments::updates(optimizer)?;
        self.backend.zero(grads);
        self.backend.check()
    }
}

impl<B: Backend> Planned<B> {
    /// Adds what was lost since this was last done.
    fn collect(&mut self) {
        if let Some(weight) = self.pending.take() {
            let losses = self.backend.losses();
            self.loss += losses.nats * weight;
            self.z += losses.z * weight;
        }
    }

    /// What no operation checks.
    fn check(&self, batch: &Batch) -> anyhow::Result<()> {
        let vocabulary = self.config.vocabulary;
        let outside = |token: &u32| vocabulary <= *token as usize;
        let target = |token: &u32| *token != crate::data::IGNORED && outside(token);
        let found = batch.inputs.iter().find(|token| outside(token));
        if let Some(token) = found.or_else(|| batch.targets.iter().find(|token| target(token))) {
            anyhow::bail!("token {token} lies outside the model's vocabulary of {vocabulary}");
        }
        let room = self.plan.rope.rows;
        anyhow::ensure!(
            batch.context <= room,
            "a row of {} tokens, where there is room for {room}",
            batch.context
        );
        Ok(())
    }
}
