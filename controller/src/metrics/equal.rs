//! What each run of a sweep had come to after the same number of tokens.

use std::collections::{BTreeMap, HashMap};

use assay_api::view::{EqualRow, EqualTokens, StepValue};
use assay_api::{RunId, SweepId};
use assay_series::{Chunk, merge};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::store::report::{self, Pick};
use crate::store::series::{self, Scores};
use crate::store::view::{self, Begun};
use crate::store::{chunk, snapshot};

/// Values at `tokens`, or where all have come to: the last at or before it, never one between two.
///
/// # Errors
/// The database does not answer, or what it holds is damaged.
pub async fn at_equal_tokens(
    app: &App,
    sweep: SweepId,
    tokens: Option<u64>,
) -> anyhow::Result<EqualTokens> {
    let mut tx = snapshot(&app.store.db).await?;
    let begun = view::begun(&mut *tx, sweep).await?;
    let Some(tokens) = tokens.or_else(|| common(&begun)) else {
        return Ok(EqualTokens { tokens: None, runs: Vec::new() });
    };
    let reached: Vec<&Begun> = begun.iter().filter(|run| tokens <= run.tokens).collect();
    let steps = reached.iter().map(|run| (run.run_id.0, step_at(run, tokens))).collect();
    let mut values = values(&mut tx, &steps).await?;
    let runs = reached.into_iter().map(|run| EqualRow {
        run_id: run.run_id,
        values: values.remove(&run.run_id).unwrap_or_default(),
    });
    Ok(EqualTokens { tokens: Some(tokens), runs: runs.collect() })
}

/// What all have come to that went to their end or are still on the way: one that diverged at once would leave
/// nothing to compare. If no other has begun, what those have come to.
fn common(begun: &[Begun]) -> Option<u64> {
    let on_the_way = begun.iter().filter(|run| !run.fell_short).map(|run| run.tokens).min();
    on_the_way.or_else(|| begun.iter().map(|run| run.tokens).min())
}

/// The last step that ends at or before so many tokens: every step of a run takes as many.
fn step_at(run: &Begun, tokens: u64) -> i64 {
    let step = u128::from(tokens) * u128::from(run.step) / u128::from(run.tokens.max(1));
    i64::try_from(step).unwrap_or(i64::MAX)
}

type Values = HashMap<RunId, BTreeMap<String, StepValue>>;

async fn values(tx: &mut PgConnection, steps: &HashMap<Uuid, i64>) -> anyhow::Result<Values> {
    let runs: Vec<Uuid> = steps.keys().copied().collect();
    let scores = series::scores(&mut *tx, &runs).await?;
    let until = |score: &Scores| steps.get(&score.point.0).copied().unwrap_or_default();
    let longer = scores.iter().filter(|at| until(at) < at.latest_step);
    let wanted: Vec<_> = longer.map(|at| (at.series_id, until(at))).collect();
    let mut chunks = stored(tx, &wanted).await?;
    let mut values = Values::new();
    for score in &scores {
        let last = if score.latest_step <= until(score) {
            Some((score.latest_step, score.latest_value))
        } else {
            let chunks = chunks.remove(&score.series_id).unwrap_or_default();
            let points = merge(&chunks, (0, until(score)));
            points.steps.last().copied().zip(points.values.last().copied())
        };
        let Some((step, value)) = last.filter(|(_, value)| value.is_finite()) else { continue };
        let found = StepValue { step: step.cast_unsigned(), value };
        let known = values.entry(score.point).or_default();
        // of two scores at one step the one that comes later counts: see the order of `scores`
        if known.get(&score.name).is_none_or(|before| before.step <= found.step) {
            known.insert(score.name.clone(), found);
        }
    }
    Ok(values)
}

/// What may hold the last point of each series until its step, folded or not.
async fn stored(
    tx: &mut PgConnection,
    wanted: &[(i64, i64)],
) -> anyhow::Result<HashMap<i64, Vec<Chunk>>> {
    let mut chunks: HashMap<i64, Vec<Chunk>> = HashMap::new();
    if wanted.is_empty() {
        return Ok(chunks);
    }
    for row in chunk::last_until(&mut *tx, wanted).await? {
        chunks.entry(row.series_id).or_default().push(row.unpack()?);
    }
    let ids: Vec<i64> = wanted.iter().map(|wanted| wanted.0).collect();
    for batch in report::tail(tx, Pick::Only(&ids)).await? {
        chunks.entry(batch.series_id).or_default().push(batch.unpack()?);
    }
    Ok(chunks)
}
