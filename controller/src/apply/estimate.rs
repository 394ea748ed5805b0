//! How long a file's runs will take, by how runs and canaries of their shapes went in the pool.

use std::collections::{BTreeMap, BTreeSet};

use assay_api::expand::{Expansion, PlannedRun};
use assay_api::spec::{RunSpec, TrainSpec};
use assay_api::worker::Pace;
use sqlx::PgExecutor;

use crate::app::App;
use crate::store;

/// A run saves so many checkpoints, about: every twentieth of its steps, before its decay, and its last.
const CHECKPOINTS: f64 = 22.0;

/// What is known of the pool that a sweep asks for.
#[derive(Debug)]
pub(super) struct Estimate {
    paces: BTreeMap<String, Pace>,
    slots: u32,
    parallel: Option<u32>,
}

impl Estimate {
    pub(super) async fn of(
        app: &App,
        db: impl PgExecutor<'_>,
        expansion: &Expansion,
    ) -> Result<Self, sqlx::Error> {
        let pool = &expansion.resources.pool;
        let shapes = expansion.runs.iter().filter_map(|run| run.shape.as_deref());
        let shapes: Vec<&str> = shapes.collect::<BTreeSet<_>>().into_iter().collect();
        Ok(Self {
            paces: store::canary::paces(db, pool, &shapes).await?,
            slots: app.pools.named(pool).map_or(0, |pool| pool.capacity()),
            parallel: expansion.limits.parallel,
        })
    }

    /// Hours that the train runs take with all slots of the pool; none where a shape's pace is not known.
    pub(super) fn hours<'a>(&self, runs: impl Iterator<Item = &'a PlannedRun>) -> Option<f64> {
        let (mut all, mut slot_seconds, mut longest) = (0.0, 0.0, 0.0_f64);
        for run in runs {
            let RunSpec::Train(spec) = &run.spec else { continue };
            let seconds = seconds(spec, self.paces.get(run.shape.as_ref()?)?);
            all += seconds;
            slot_seconds += seconds * f64::from(run.slots);
            longest = longest.max(seconds);
        }
        let in_pool = slot_seconds / f64::from(self.slots.max(1));
        let in_turn = self.parallel.map_or(0.0, |parallel| all / f64::from(parallel));
        let seconds = longest.max(in_pool).max(in_turn);
        (0.0 < seconds).then_some(seconds / 3600.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds(spec: &TrainSpec, pace: &Pace) -> f64 {
    let tokens = (spec.train.steps() as f64) * (spec.train.batch as f64);
    let heldout = spec.eval.heldout_at.len() as f64;
    // all tasks are timed as one
    let tasks = spec.eval.tasks.values().map(|task| task.at.len()).max().unwrap_or(0) as f64;
    tokens / pace.tokens_per_second
        + heldout * pace.heldout_seconds
        + tasks * pace.task_seconds
        + CHECKPOINTS * pace.checkpoint_seconds
}
