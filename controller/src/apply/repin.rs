//! `apply --repin`: the data that a sweep is pinned to is given up for what its files hold now.
//!
//! **Invariant:** no attempt sees both. While one is active that reads the old data, nothing is given up;
//! what was begun on it is not gone on with, as checkpoints name their data.

use std::collections::HashSet;

use assay_api::SweepId;
use assay_api::expand::Expansion;
use assay_api::view::RunKind;
use sqlx::PgConnection;
use uuid::Uuid;

use super::diff::kind_word;
use crate::http::Error;
use crate::store;
use crate::store::run::Stored;

/// What needs the data waits for it again.
pub(super) async fn unpin(
    tx: &mut PgConnection,
    (sweep, expansion): (SweepId, &Expansion),
    stored: &[Stored],
) -> Result<(), Error> {
    let of_file: HashSet<&str> = expansion.runs.iter().map(|run| run.point.as_str()).collect();
    let is_data = |run: &&Stored| {
        run.kind == kind_word(RunKind::Prepare) && of_file.contains(run.point.as_str())
    };
    let (runs, points): (Vec<Uuid>, Vec<String>) =
        stored.iter().filter(is_data).map(|run| (run.run_id, run.point.clone())).unzip();
    let active = store::run::block(&mut *tx, &runs).await?;
    if let Some(first) = active.first() {
        let name = &expansion.name;
        let others = match active.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        return Err(Error::Conflict(format!(
            "{name}/{first}{others} read the data that would be given up: cancel them or let them end \
             (`ctl sweep pause {name}` keeps others from beginning), then apply with --repin"
        )));
    }
    Ok(store::sweep::unpin(&mut *tx, sweep, &points).await?)
}
