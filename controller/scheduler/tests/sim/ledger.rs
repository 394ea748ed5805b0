//! What sweeps used and how they failed, written down as it happens.

use std::collections::{BTreeMap, BTreeSet};

use assay_scheduler::{
    Attempt, Cause, Event, Finish, Pause, Run, RunId, SameError, SlotTime, Standing, State, Sweep,
    SweepId, Time,
};

use crate::random::Random;
use crate::{TICK_MS, database};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    started_at: BTreeMap<(RunId, Attempt), Time>,
    used_ms: BTreeMap<SweepId, u64>,
    /// The runs that failed with an error.
    failed: BTreeMap<(SweepId, u64), BTreeSet<RunId>>,
}

impl Ledger {
    /// Some sweeps have limits that a storm can reach.
    pub(crate) fn limit(sweep: &mut Sweep, random: &mut Random) {
        if random.one_in(3) {
            let limit_ms = u64::from(1 + random.below(60)) * TICK_MS;
            sweep.slot_time = Some(SlotTime { limit_ms, used_ms: 0 });
        }
        if random.one_in(3) {
            sweep.same_error = Some(SameError { limit: 1 + random.below(3), runs: 0 });
        }
    }

    /// The sweep as the loop reads it.
    pub(crate) fn of_sweep<'r>(
        &self,
        id: SweepId,
        sweep: Sweep,
        runs: impl Iterator<Item = &'r Run>,
        now: Time,
    ) -> Sweep {
        let active = runs.filter(|run| run.spec.sweep == id).filter_map(|run| {
            let started_at = self.started_at.get(&(run.id, run.standing.state.attempt()?))?;
            Some(u64::from(run.spec.slots) * passed_ms(*started_at, now))
        });
        let used_ms = self.used_ms.get(&id).copied().unwrap_or(0) + active.sum::<u64>();
        let runs = self.failed_alike(id);
        Sweep {
            slot_time: sweep.slot_time.map(|time| SlotTime { used_ms, ..time }),
            same_error: sweep.same_error.map(|seen| SameError { runs, ..seen }),
            ..sweep
        }
    }

    pub(crate) fn failed_alike(&self, id: SweepId) -> u32 {
        let of_sweep = self.failed.iter().filter(|((sweep, _), _)| *sweep == id);
        let most = of_sweep.map(|(_, runs)| runs.len()).max().unwrap_or(0);
        u32::try_from(most).expect("few runs")
    }

    pub(crate) fn forget_errors(&mut self, id: SweepId) {
        self.failed.retain(|(sweep, _), _| *sweep != id);
    }

    /// `run` is as it stands after the event.
    pub(crate) fn note(&mut self, run: &Run, before: Standing, event: Event, now: Time) {
        let sweep = run.spec.sweep;
        if let Event::Start { attempt, .. } = event {
            self.started_at.insert((run.id, attempt), now);
        }
        if let Event::Gone { attempt } = event
            && let Some(started_at) = self.started_at.remove(&(run.id, attempt))
        {
            let used_ms = u64::from(run.spec.slots) * passed_ms(started_at, now);
            *self.used_ms.entry(sweep).or_default() += used_ms;
        }
        let is_new = before.state != run.standing.state;
        if event.cause() == Some(Cause::Error) && is_new {
            let signature = if let Event::Finish { how: Finish::Error(error), .. } = event {
                error.signature
            } else {
                database::kind(event).len() as u64 + 100
            };
            self.failed.entry((sweep, signature)).or_default().insert(run.id);
        }
    }

    /// Nothing is placed of a sweep that may not go on, and what it has is asked to leave.
    pub(crate) fn check(seed: u64, sweep: &Sweep, run: &Run, step: Option<Event>) {
        let is_spent = sweep.slot_time.is_some_and(|time| time.limit_ms <= time.used_ms);
        let is_failing = sweep.same_error.is_some_and(|seen| seen.limit <= seen.runs);
        let is_placed = step == Some(Event::Place);
        assert!(!is_placed || !is_spent, "seed {seed}: placed beyond its time: {run:?}");
        assert!(!is_placed || !is_failing, "seed {seed}: placed though all fail: {run:?}");
        let is_leased = matches!(run.standing.state, State::Leased { .. });
        let must_leave = is_spent || sweep.pause == Some(Pause::Running);
        assert!(!is_leased || !must_leave || step.is_some(), "seed {seed}: goes on: {run:?}");
        let is_for_room = step == Some(Event::Preempt);
        assert!(!is_for_room || must_leave, "seed {seed}: why should it leave: {run:?}");
    }
}

fn passed_ms(from: Time, to: Time) -> u64 {
    u64::try_from(to.0 - from.0).expect("time goes on")
}
