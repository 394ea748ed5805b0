//! What sweeps may use and how often their runs may fail alike, as the scheduler judges it.

use std::collections::BTreeMap;

use assay_scheduler::{self as scheduler, Event, Finish, Pause, Time};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::told::signature;
use super::{Told, Versioned, time};

/// The sweeps of these runs, with what they have used of their limits.
pub(super) async fn sweeps(
    tx: impl PgExecutor<'_>,
    ids: &[Uuid],
    (now, runs): (Time, &BTreeMap<scheduler::RunId, Versioned>),
) -> Result<BTreeMap<scheduler::SweepId, scheduler::Sweep>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.sweep_id, s.project_id, s.created_at, s.paused, s.pauses_running, s.parallel, s.slot_ms_max, s.same_error_max,
            u.slot_ms as "slot_ms?", u.same_errors as "same_errors?"
         from sweep s left join sweep_use u using (sweep_id)
         where s.sweep_id in (select sweep_id from run where run_id = any($1))"#,
        ids,
    )
    .fetch_all(tx)
    .await?;
    let sweep = rows.into_iter().map(|row| {
        let sweep = scheduler::Sweep {
            project: scheduler::ProjectId(row.project_id.as_u128()),
            created_at: time(row.created_at),
            pause: match (row.paused, row.pauses_running) {
                (false, _) => None,
                (true, false) => Some(Pause::Placing),
                (true, true) => Some(Pause::Running),
            },
            parallel: row.parallel.map(i32::unsigned_abs),
            // of attempts that are gone
            slot_time: row.slot_ms_max.map(|limit| scheduler::SlotTime {
                limit_ms: limit.unsigned_abs(),
                used_ms: row.slot_ms.unwrap_or(0).unsigned_abs(),
            }),
            same_error: row.same_error_max.map(|limit| scheduler::SameError {
                limit: limit.unsigned_abs(),
                runs: row.same_errors.unwrap_or(0).unsigned_abs(),
            }),
        };
        (scheduler::SweepId(row.sweep_id.as_u128()), sweep)
    });
    let mut sweeps: BTreeMap<_, _> = sweep.collect();
    for found in runs.values() {
        let used = sweeps.get_mut(&found.run.spec.sweep).and_then(|sweep| sweep.slot_time.as_mut());
        if let (Some(used), Some(started_at)) = (used, found.started_at) {
            let ms = now.0.saturating_sub(started_at.0).max(0).unsigned_abs();
            used.used_ms += u64::from(found.run.spec.slots) * ms;
        }
    }
    Ok(sweeps)
}

/// What runs that fail alike have in common: what the worker recorded, or how it ended without that.
pub(super) fn error_of(told: &Told) -> (u64, String) {
    // the event's own words name the attempt, which is another one each time
    let text = if let Event::Lost { how, .. } = told.event { how.to_string() } else { told.text() };
    let recorded = if let Event::Finish { how: Finish::Error(error), .. } = told.event {
        error.signature
    } else {
        signature(&text)
    };
    (recorded, text)
}
