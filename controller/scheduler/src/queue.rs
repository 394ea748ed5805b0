//! Who is placed, in which order, and why the others are not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tries::WAIT_MAX_MS;
use crate::world::{Seen, World};
use crate::{
    Attempt, AttemptSeen, Canary, Event, Need, Observed, Plan, Pool, PoolId, ProjectId, Quota, Run,
    RunId, SlotTime, State, SweepId,
};
use crate::{Time, Waiting};

/// Whose turn it is: the fields compare from the top, the lowest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    priority: Reverse<i16>,
    /// What its sweep holds of the pool: sweeps that wait for the same slots get equal shares.
    slots_held: u32,
    /// At equal shares the older sweep is served first.
    sweep_created_at: Time,
    sweep: SweepId,
}

/// A run's place among those of its sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: Reverse<i16>,
    order: u32,
    id: RunId,
}

impl Place {
    fn of(run: &Run) -> Self {
        Self { priority: Reverse(run.spec.priority), order: run.spec.order, id: run.id }
    }
}

/// Strict within a pool: the first run that could be placed but for slots blocks the rest, or else
/// small runs would starve a large one; one that its project has no slots left for blocks those of its
/// project. Whoever waits for anything else blocks nobody.
pub(crate) fn place_queued(world: &World, plan: &mut Plan) {
    let mut room = Room::left_in(world);
    let mut queues = queues(world);
    let mut turns: BTreeSet<Turn> =
        queues.values().filter_map(|queue| Some(room.turn(world, queue.front()?))).collect();
    while let Some(turn) = turns.pop_first() {
        let Some(queue) = queues.get_mut(&turn.sweep) else { continue };
        let Some(run) = queue.pop_front() else { continue };
        match room.obstacle(world, run) {
            None => {
                room.take(world, run);
                plan.steps.push((run.id, Event::Place));
            }
            Some(waiting) => {
                room.heed(world, run, &waiting);
                plan.waiting.push((run.id, waiting));
            }
        }
        turns.extend(queue.front().map(|next| room.turn(world, next)));
    }
}

/// Every queued run that still has a chance and no result, by sweep, each in its place.
fn queues(world: &World) -> BTreeMap<SweepId, VecDeque<&Run>> {
    let hopeless = |run: &Run| world.needs_of(run.id).iter().any(Need::has_failed);
    let is_queued =
        |run: &Run| matches!(run.standing.state, State::Queued { .. }) && !world.is_reused(run);
    let mut queues: BTreeMap<SweepId, Vec<&Run>> = BTreeMap::new();
    for run in world.runs.values().filter(|run| is_queued(run) && !hopeless(run)) {
        queues.entry(run.spec.sweep).or_default().push(run);
    }
    let sorted = queues.into_iter().map(|(sweep, mut queue)| {
        queue.sort_by_cached_key(|run| Place::of(run));
        (sweep, queue.into())
    });
    sorted.collect()
}

/// What is left to give away while the queue is worked through.
struct Room<'a> {
    pools: BTreeMap<PoolId, PoolRoom<'a>>,
    /// What is active of each sweep.
    active: BTreeMap<SweepId, Active>,
    /// What is left to projects that may not use all of a pool.
    shares: BTreeMap<(ProjectId, PoolId), ShareRoom<'a>>,
}

/// What a sweep has running.
#[derive(Clone, Copy, Debug, Default)]
struct Active {
    runs: u32,
    slots: u32,
}

impl Active {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.slots += run.spec.slots;
    }
}

struct ShareRoom<'a> {
    quota: &'a Quota,
    slots_taken: u32,
    /// The run that all later ones of the project wait behind in this pool.
    head: Option<&'a Run>,
}

struct PoolRoom<'a> {
    pool: &'a Pool,
    slots_free: u32,
    /// The run that all later ones of the pool wait behind.
    head: Option<&'a Run>,
}

impl<'a> Room<'a> {
    fn left_in(world: &'a World) -> Self {
        let mut active: BTreeMap<_, Active> = BTreeMap::new();
        let share = |quota| ShareRoom { quota, slots_taken: 0, head: None };
        let mut shares: BTreeMap<_, _> =
            world.quotas.iter().map(|(whose, quota)| (*whose, share(quota))).collect();
        for run in world.runs.values().filter(|run| run.standing.state.attempt().is_some()) {
            active.entry(run.spec.sweep).or_default().add(run);
            if let Some(share) = shares.get_mut(&world.share_of(run)) {
                share.slots_taken += run.spec.slots;
            }
        }
        let pools = world.pools.iter();
        let pools = pools.map(|(id, pool)| (*id, PoolRoom::left_in(world, *id, pool))).collect();
        Self { pools, active, shares }
    }

    fn turn(&self, world: &World, run: &Run) -> Turn {
        let sweep = run.spec.sweep;
        Turn {
            priority: Reverse(run.spec.priority),
            slots_held: self.active_of(sweep).slots,
            sweep_created_at: world.sweep_of(run).created_at,
            sweep,
        }
    }

    fn active_of(&self, sweep: SweepId) -> Active {
        self.active.get(&sweep).copied().unwrap_or_default()
    }

    /// The first thing that keeps a run from being placed: what never changes by itself comes
    /// first, then what a person or another run must do, then time, then room.
    fn obstacle(&self, world: &World, run: &Run) -> Option<Waiting> {
        let sweep = world.sweep_of(run);
        let Some(PoolRoom { pool, slots_free, head }) = self.pools.get(&run.spec.pool) else {
            return Some(Waiting::NoPool);
        };
        let (capacity, takes, pool_name) = (pool.capacity, run.spec.slots, || pool.name.clone());
        if capacity < takes {
            return Some(Waiting::NeverFits { pool: pool_name(), capacity, takes });
        }
        let share = self.shares.get(&(sweep.project, run.spec.pool));
        if let Some(Quota { name, slots }) = share.map(|share| share.quota)
            && *slots < takes
        {
            let (project, pool, slots) = (name.clone(), pool_name(), *slots);
            return Some(Waiting::NeverInQuota { project, pool, slots, takes });
        }
        if sweep.pause.is_some() || sweep.is_failing() {
            return Some(Waiting::Paused);
        }
        if let Some(SlotTime { limit_ms, .. }) = sweep.spent() {
            return Some(Waiting::SlotTimeUsed { limit_ms });
        }
        if let Some(need) = world.needs_of(run.id).iter().find(|need| !need.has_succeeded()) {
            return Some(Waiting::Need { name: need.name.clone() });
        }
        if let Some(Canary { shape, name, has_failed }) = world.canaries.get(&run.id) {
            let (shape, name, has_failed) = (shape.clone(), name.clone(), *has_failed);
            return Some(Waiting::Canary { shape, name, has_failed });
        }
        if let State::Queued { not_before, .. } = run.standing.state
            && world.now < not_before
            && not_before <= world.now.plus(WAIT_MAX_MS)
        {
            return Some(Waiting::BackingOff { until: not_before });
        }
        if let Observed::Unknown { why } = &pool.observed {
            return Some(Waiting::PoolUnreachable { pool: pool_name(), why: why.clone() });
        }
        let active = self.active_of(run.spec.sweep).runs;
        if let Some(limit) = sweep.parallel.filter(|limit| *limit <= active) {
            return Some(Waiting::ParallelLimit { limit });
        }
        if let Some(head) = share.and_then(|share| share.head).or(*head) {
            return Some(Waiting::Behind { name: head.spec.name.clone() });
        }
        if let Some(ShareRoom { quota: Quota { name, slots }, slots_taken, .. }) = share
            && *slots < slots_taken + takes
        {
            let (project, pool, slots) = (name.clone(), pool_name(), *slots);
            return Some(Waiting::QuotaUsed { project, pool, slots, taken: *slots_taken, takes });
        }
        let free = *slots_free;
        (free < takes).then(|| Waiting::PoolFull { pool: pool_name(), free, capacity, takes })
    }

    fn take(&mut self, world: &World, run: &Run) {
        self.active.entry(run.spec.sweep).or_default().add(run);
        if let Some(share) = self.shares.get_mut(&world.share_of(run)) {
            share.slots_taken += run.spec.slots;
        }
        if let Some(room) = self.pools.get_mut(&run.spec.pool) {
            room.slots_free -= run.spec.slots;
        }
    }

    /// Who wants only slots is not overtaken by those who want the same ones.
    fn heed(&mut self, world: &World, run: &'a Run, waiting: &Waiting) {
        let head = if matches!(waiting, Waiting::PoolFull { .. }) {
            self.pools.get_mut(&run.spec.pool).map(|room| &mut room.head)
        } else if matches!(waiting, Waiting::QuotaUsed { .. }) {
            self.shares.get_mut(&world.share_of(run)).map(|share| &mut share.head)
        } else {
            None
        };
        if let Some(head) = head {
            *head = Some(run);
        }
    }
}

impl<'a> PoolRoom<'a> {
    fn left_in(world: &World, id: PoolId, pool: &'a Pool) -> Self {
        let slots_free = pool.known().map_or(0, |(_, seen)| slots_free(world, id, pool, seen));
        Self { pool, slots_free, head: None }
    }
}

/// What a pool has left. Attempts that it holds back use no slots, but may be let go at any time:
/// they take at most another pool's worth, so that its queue has something to choose from and not
/// ten thousand of them.
fn slots_free(world: &World, id: PoolId, pool: &Pool, seen: &Seen) -> u32 {
    let (mut used, mut held_back) = (0_u32, 0_u32);
    for run in world.runs.values().filter(|run| run.spec.pool == id) {
        let Some(attempt) = run.standing.state.attempt() else { continue };
        match seen.get(&(run.id, attempt)) {
            Some(AttemptSeen::Suspended { .. }) => held_back += run.spec.slots,
            Some(
                AttemptSeen::Starting { .. }
                | AttemptSeen::Stuck { .. }
                | AttemptSeen::Running { .. }
                | AttemptSeen::NodeLost
                | AttemptSeen::Ended { .. },
            )
            | None => used += run.spec.slots,
        }
    }
    let stray: u32 = seen
        .iter()
        .filter(|((run, attempt), seen)| seen.uses_slots() && !world.is_claimed(id, *run, *attempt))
        .map(|(key, _)| stray_slots(world, pool, *key))
        .sum();
    let capacity = pool.capacity.saturating_sub(used + stray);
    let choice = pool.capacity.saturating_mul(2).saturating_sub(used + stray + held_back);
    capacity.min(choice)
}

/// A leftover's run may be long done, and no longer loaded.
fn stray_slots(world: &World, pool: &Pool, key: (RunId, Attempt)) -> u32 {
    let of_run = || world.runs.get(&key.0).map_or(1, |run| run.spec.slots);
    pool.slots.get(&key).copied().unwrap_or_else(of_run)
}
