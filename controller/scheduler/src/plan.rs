//! From what is, to what should happen next. Read `plan` first; the rest serves it.

use std::collections::BTreeSet;

use crate::queue::place_queued;
use crate::world::{Seen, World};
use crate::{Attempt, AttemptSeen, Cause, Event, Exit, Loss, Need, Outcome, Pool, PoolId};
use crate::{Run, RunId, State, SweepId, Then, Time, Waiting};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Committed first, each guarded by the version it was planned from. At most one per run.
    pub steps: Vec<(RunId, Event)>,
    /// Sweeps that nothing new is placed of until somebody lets them go on: committed with the steps,
    /// if that is still so.
    pub pauses: Vec<SweepId>,
    /// Sweeps with something left to do that have used all their time: people are told of each once.
    pub spent: Vec<SweepId>,
    /// Performed afterwards. Idempotent, and safe to lose.
    pub actions: Vec<Action>,
    /// Why each run that is placed but has not begun waits, and then each queued one that is not
    /// placed, in the order of the queue.
    pub waiting: Vec<(RunId, Waiting)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub pool: PoolId,
    pub run: RunId,
    pub attempt: Attempt,
    pub verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Create what is missing of it. Planned until its worker speaks, as any part may be missing.
    Ensure,
    /// End its process, if it has one. What the pool knows of its end is kept.
    Stop(Urgency),
    /// Forget it; end its process at once if it has one.
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It may save a checkpoint and report first.
    Gracefully,
    /// What it did since its last checkpoint is not wanted, or it does not listen.
    AtOnce,
}

/// How long a worker takes to leave by itself, at the most.
const LEAVING_MS: u64 = 10_000;

#[must_use]
pub fn plan(world: &World) -> Plan {
    let mut plan = Plan::default();
    pause_failing(world, &mut plan);
    note_spent(world, &mut plan);
    judge_leased(world, &mut plan);
    release_stopping(world, &mut plan);
    follow_needs(world, &mut plan);
    reuse(world, &mut plan);
    place_queued(world, &mut plan);
    delete_unclaimed(world, &mut plan);
    plan
}

fn pause_failing(world: &World, plan: &mut Plan) {
    let failing =
        world.sweeps.iter().filter(|(_, sweep)| sweep.pause.is_none() && sweep.is_failing());
    plan.pauses.extend(failing.map(|(id, _)| *id));
}

/// A sweep that a person paused waits for them anyway.
fn note_spent(world: &World, plan: &mut Plan) {
    let is_open = |run: &&Run| match run.standing.state {
        State::Queued { .. } => !world.is_reused(run),
        State::Leased { .. } => true,
        State::Stopping { .. } | State::Done { .. } => false,
    };
    let open: BTreeSet<_> = world.runs.values().filter(is_open).map(|run| run.spec.sweep).collect();
    let is_spent = |id: &SweepId| {
        world.sweeps.get(id).is_some_and(|sweep| sweep.pause.is_none() && sweep.spent().is_some())
    };
    plan.spent.extend(open.into_iter().filter(is_spent));
}

/// A leased run wants its attempt to exist, and to be heard once it runs; unless its sweep is paused
/// with all that runs, or has used its time.
fn judge_leased(world: &World, plan: &mut Plan) {
    for run in world.runs.values() {
        let State::Leased { attempt, placed_at, lease } = run.standing.state else { continue };
        let Some((pool, seen)) = world.known_pool_of(run) else { continue };
        let seen = seen.get(&(run.id, attempt));
        let how = match lease {
            None => loss_before_start(world, pool, placed_at, seen),
            Some(lease_ends) => loss_after_start(world, pool, lease_ends, seen),
        };
        match (how, lease) {
            (Some(how), _) => plan.steps.push((run.id, Event::Lost { attempt, how })),
            // here and not where the pause is asked for: what was being placed just then is seen next
            (None, _) if world.sweep_of(run).wants_its_slots_back() => {
                plan.steps.push((run.id, Event::Preempt));
            }
            (None, None) => prepare(run, attempt, seen, plan),
            (None, Some(_)) => (),
        }
    }
}

/// Until it runs, an attempt is made whole, and says what it waits for.
fn prepare(run: &Run, attempt: Attempt, seen: Option<&AttemptSeen>, plan: &mut Plan) {
    let waiting = match seen {
        None => None,
        Some(AttemptSeen::Suspended { why }) => Some(Waiting::HeldBack { why: why.clone() }),
        Some(AttemptSeen::Starting { why } | AttemptSeen::Stuck { why, .. }) => {
            Some(Waiting::InPool { why: why.clone() })
        }
        Some(AttemptSeen::Running { .. } | AttemptSeen::NodeLost | AttemptSeen::Ended { .. }) => {
            return;
        }
    };
    plan.actions.push(action(run, attempt, Verb::Ensure));
    plan.waiting.extend(waiting.map(|waiting| (run.id, waiting)));
}

/// Before its worker speaks, an attempt is judged by what its pool shows.
fn loss_before_start(
    world: &World,
    pool: &Pool,
    placed_at: Time,
    seen: Option<&AttemptSeen>,
) -> Option<Loss> {
    match seen? {
        AttemptSeen::Suspended { .. } | AttemptSeen::Starting { .. } => None,
        AttemptSeen::Stuck { since, obstacle, .. } => {
            let deadline = placed_at.max(*since).plus(pool.patience.ms(*obstacle));
            (deadline <= world.now).then_some(Loss::Stuck(*obstacle))
        }
        AttemptSeen::NodeLost => Some(Loss::NodeLost),
        AttemptSeen::Running { since } => {
            // A node's clock may lag: nothing runs since before it was placed.
            let deadline = placed_at.max(*since).plus(pool.lease_ms);
            world.is_late(deadline, pool).then_some(Loss::NeverStarted)
        }
        AttemptSeen::Ended { exit } => Some(Loss::Ended(*exit)),
    }
}

/// After that by what it says; it is never created again.
fn loss_after_start(
    world: &World,
    pool: &Pool,
    lease_ends: Time,
    seen: Option<&AttemptSeen>,
) -> Option<Loss> {
    match seen {
        None => Some(Loss::Vanished),
        Some(AttemptSeen::Suspended { .. }) => Some(Loss::Suspended),
        Some(AttemptSeen::Ended { exit }) => Some(Loss::Ended(*exit)),
        Some(AttemptSeen::NodeLost) => Some(Loss::NodeLost),
        Some(
            AttemptSeen::Starting { .. } | AttemptSeen::Stuck { .. } | AttemptSeen::Running { .. },
        ) => world.is_late(lease_ends, pool).then_some(Loss::LeaseExpired),
    }
}

/// Slots come back only once the attempt is seen to be gone. With a lost node they do not come back,
/// but the run goes on: the attempt is fenced, and what is left of it is nobody's.
fn release_stopping(world: &World, plan: &mut Plan) {
    for run in world.runs.values() {
        let State::Stopping { attempt, since, then } = run.standing.state else { continue };
        let Some((pool, seen)) = world.known_pool_of(run) else { continue };
        match seen.get(&(run.id, attempt)) {
            // it left when it was told to, and was told because its time was over
            Some(AttemptSeen::Ended { exit: Exit::Deadline })
                if matches!(then, Then::Requeue { .. }) =>
            {
                let how = Loss::Ended(Exit::Deadline);
                plan.steps.push((run.id, Event::Lost { attempt, how }));
            }
            None | Some(AttemptSeen::Ended { .. } | AttemptSeen::NodeLost) => {
                plan.steps.push((run.id, Event::Gone { attempt }));
            }
            // It has no process yet, and the pool could give it one at any moment.
            Some(AttemptSeen::Suspended { .. }) => {
                plan.actions.push(action(run, attempt, Verb::Delete));
            }
            Some(
                AttemptSeen::Starting { .. }
                | AttemptSeen::Stuck { .. }
                | AttemptSeen::Running { .. },
            ) => {
                let stop = urgency(then, world.now.since(since), pool.grace_ms);
                plan.actions.extend(stop.map(|urgency| action(run, attempt, Verb::Stop(urgency))));
            }
        }
    }
}

/// Who may still say something worth hearing, and who is on its way out already: a worker that
/// recorded its end leaves by itself, and what it leaves can be looked at then. None: not yet.
fn urgency(then: Then, waited_ms: u64, grace_ms: u64) -> Option<Urgency> {
    let is_leaving = match then {
        Then::Requeue { cause: Cause::Infrastructure }
        | Then::End { outcome: Outcome::Cancelled } => return Some(Urgency::AtOnce),
        Then::Requeue { cause: Cause::Error }
        | Then::End { outcome: Outcome::Succeeded | Outcome::Diverged | Outcome::Failed } => true,
        Then::Requeue { .. } | Then::End { .. } => false,
    };
    if grace_ms <= waited_ms {
        return Some(Urgency::AtOnce);
    }
    (!is_leaving || LEAVING_MS <= waited_ms).then_some(Urgency::Gracefully)
}

/// A run is cancelled with what it needs, and queued again with it.
fn follow_needs(world: &World, plan: &mut Plan) {
    for run in world.runs.values() {
        let hopeless = world.needs_of(run.id).iter().any(Need::has_failed);
        match run.standing.state {
            State::Queued { .. } if hopeless => plan.steps.push((run.id, Event::NeedEnded)),
            State::Done { outcome: Outcome::Cancelled, .. } if !hopeless => {
                plan.steps.push((run.id, Event::NeedRetried));
            }
            State::Queued { .. }
            | State::Leased { .. }
            | State::Stopping { .. }
            | State::Done { .. } => (),
        }
    }
}

/// What has been trained is not trained again.
fn reuse(world: &World, plan: &mut Plan) {
    let reused = world.runs.values().filter(|run| world.is_reused(run));
    plan.steps.extend(reused.map(|run| (run.id, Event::Reuse)));
}

/// What no run lays claim to has ended and is accounted for, or is a leftover of a crash.
fn delete_unclaimed(world: &World, plan: &mut Plan) {
    let known = world.pools.iter().filter_map(|(id, pool)| Some((*id, pool.known()?.1)));
    for (pool, (run, attempt)) in known.flat_map(each_attempt) {
        if !world.is_claimed(pool, run, attempt) {
            plan.actions.push(Action { pool, run, attempt, verb: Verb::Delete });
        }
    }
}

fn each_attempt((pool, seen): (PoolId, &Seen)) -> impl Iterator<Item = (PoolId, (RunId, Attempt))> {
    seen.keys().map(move |key| (pool, *key))
}

fn action(run: &Run, attempt: Attempt, verb: Verb) -> Action {
    Action { pool: run.spec.pool, run: run.id, attempt, verb }
}
