//! Runs, worlds and plans in few words.

use std::collections::{BTreeMap, BTreeSet};

use assay_scheduler::{
    Action, Attempt, AttemptSeen, Cause, Event, Exit, Loss, Need, Observed, Obstacle, Outcome,
    Patience, Plan, Pool, PoolId, ProjectId, Quota, Run, RunId, Spec, Standing, State, Sweep,
    SweepId, Then, Time, Tries, Verb, World,
};

pub(crate) const NOW: Time = Time(1_000_000);
pub(crate) const LEASE_MS: u64 = 30_000;
pub(crate) const GRACE_MS: u64 = 60_000;
pub(crate) const ONE: Attempt = Attempt(1);
pub(crate) const LOCAL: PoolId = PoolId(1);
pub(crate) const CLUSTER: PoolId = PoolId(2);
pub(crate) const PROJECT: ProjectId = ProjectId(1);
pub(crate) const OTHER_PROJECT: ProjectId = ProjectId(2);
pub(crate) const OLD_SWEEP: SweepId = SweepId(20);
pub(crate) const NEW_SWEEP: SweepId = SweepId(10);

/// A run and what it needs, as it goes into a world.
pub(crate) struct Fixture {
    pub(crate) run: Run,
    pub(crate) needs: Vec<Need>,
}

pub(crate) fn run(id: u128) -> Fixture {
    let spec = Spec {
        name: format!("sweep/{id}"),
        sweep: OLD_SWEEP,
        pool: LOCAL,
        slots: 1,
        priority: 0,
        order: 5,
    };
    Fixture { run: Run { id: RunId(id), spec, standing: Standing::NEW }, needs: Vec::new() }
}

impl std::ops::Deref for Fixture {
    type Target = Run;
    fn deref(&self) -> &Run {
        &self.run
    }
}

impl std::ops::DerefMut for Fixture {
    fn deref_mut(&mut self) -> &mut Run {
        &mut self.run
    }
}

impl Fixture {
    pub(crate) fn standing_at(mut self, state: State) -> Self {
        self.standing = Standing { state, tries: Tries::default() };
        self
    }
    pub(crate) fn leased(self) -> Self {
        self.standing_at(State::Leased { attempt: ONE, placed_at: Time(0), lease: None })
    }
    pub(crate) fn started(self, lease_ends: Time) -> Self {
        let lease = Some(lease_ends);
        self.standing_at(State::Leased { attempt: ONE, placed_at: Time(0), lease })
    }
    pub(crate) fn stopping(self, then: Then) -> Self {
        self.standing_at(State::Stopping { attempt: ONE, since: NOW, then })
    }
    pub(crate) fn done(self, outcome: Outcome) -> Self {
        self.standing_at(State::Done { next: Attempt(2), outcome })
    }
    pub(crate) fn not_before(self, not_before: Time) -> Self {
        self.standing_at(State::Queued { next: Attempt(2), not_before })
    }
    pub(crate) fn taking(mut self, slots: u32) -> Self {
        self.spec.slots = slots;
        self
    }
    pub(crate) fn ordered(mut self, order: u32) -> Self {
        self.spec.order = order;
        self
    }
    pub(crate) fn of(mut self, sweep: SweepId) -> Self {
        self.spec.sweep = sweep;
        self
    }
    pub(crate) fn nowhere(mut self) -> Self {
        self.spec.pool = PoolId(99);
        self
    }
    pub(crate) fn needing(mut self, id: u128, outcome: Option<Outcome>) -> Self {
        self.needs.push(need(id, outcome));
        self
    }
}

pub(crate) fn need(id: u128, outcome: Option<Outcome>) -> Need {
    Need { run: RunId(id), name: format!("sweep/{id}"), outcome }
}

/// A sweep without limits.
pub(crate) fn sweep_of(created_at: i64) -> Sweep {
    Sweep {
        project: PROJECT,
        created_at: Time(created_at),
        pause: None,
        parallel: None,
        slot_time: None,
        same_error: None,
    }
}

/// A world with one local pool and two sweeps.
pub(crate) fn world(capacity: u32) -> World {
    World {
        now: NOW,
        reports_since: Time(0),
        runs: BTreeMap::new(),
        needs: BTreeMap::new(),
        canaries: BTreeMap::new(),
        reusable: BTreeSet::new(),
        sweeps: BTreeMap::from([(OLD_SWEEP, sweep_of(1)), (NEW_SWEEP, sweep_of(2))]),
        pools: BTreeMap::from([(LOCAL, pool("local", capacity))]),
        quotas: BTreeMap::new(),
    }
}

pub(crate) trait Build {
    fn with(self, fixture: Fixture) -> Self;
    fn reusing(self, id: u128) -> Self;
    fn with_sweep(self, id: SweepId, sweep: Sweep) -> Self;
    fn with_pool(self, id: PoolId, pool: Pool) -> Self;
    fn with_quota(self, project: ProjectId, slots: u32) -> Self;
    fn seeing(self, id: u128, seen: AttemptSeen) -> Self;
}

impl Build for World {
    fn with(mut self, fixture: Fixture) -> Self {
        self.needs.insert(fixture.run.id, fixture.needs);
        self.runs.insert(fixture.run.id, fixture.run);
        self
    }
    fn reusing(mut self, id: u128) -> Self {
        self.reusable.insert(RunId(id));
        self
    }
    fn with_sweep(mut self, id: SweepId, sweep: Sweep) -> Self {
        self.sweeps.insert(id, sweep);
        self
    }
    fn with_pool(mut self, id: PoolId, pool: Pool) -> Self {
        self.pools.insert(id, pool);
        self
    }
    /// Of the local pool.
    fn with_quota(mut self, project: ProjectId, slots: u32) -> Self {
        let quota = Quota { name: format!("p{}", project.0), slots };
        self.quotas.insert((project, LOCAL), quota);
        self
    }
    /// Attempt 1 of a run, in the local pool.
    fn seeing(mut self, id: u128, what: AttemptSeen) -> Self {
        let pool = self.pools.get_mut(&LOCAL).expect("every world has it");
        if let Observed::Known(seen) = &mut pool.observed {
            seen.insert((RunId(id), ONE), what);
        }
        self
    }
}

pub(crate) fn pool(name: &str, capacity: u32) -> Pool {
    let observed = Observed::Known(BTreeMap::new());
    Pool {
        name: name.into(),
        capacity,
        lease_ms: LEASE_MS,
        grace_ms: GRACE_MS,
        patience: Patience::default(),
        observed,
        slots: BTreeMap::new(),
    }
}

pub(crate) fn unreachable_pool() -> Pool {
    Pool { observed: Observed::Unknown { why: "connection refused".into() }, ..pool("local", 4) }
}

pub(crate) fn in_time() -> Time {
    Time(NOW.0 + 1)
}
pub(crate) fn expired() -> Time {
    NOW
}
pub(crate) fn suspended() -> AttemptSeen {
    AttemptSeen::Suspended { why: "no quota".into() }
}
pub(crate) fn starting() -> AttemptSeen {
    AttemptSeen::Starting { why: "pulling the image".into() }
}
pub(crate) fn stuck(obstacle: Obstacle, since: Time) -> AttemptSeen {
    AttemptSeen::Stuck { since, obstacle, why: "it is stuck".into() }
}
pub(crate) fn running(since: i64) -> AttemptSeen {
    AttemptSeen::Running { since: Time(since) }
}
pub(crate) fn ended(exit: Exit) -> AttemptSeen {
    AttemptSeen::Ended { exit }
}
pub(crate) fn again(cause: Cause) -> Then {
    Then::Requeue { cause }
}
pub(crate) fn end(outcome: Outcome) -> Then {
    Then::End { outcome }
}

pub(crate) fn steps(plan: &Plan) -> Vec<(u128, Event)> {
    plan.steps.iter().map(|(id, event)| (id.0, *event)).collect()
}

pub(crate) fn placed(plan: &Plan) -> Vec<u128> {
    let is_placed = |(_, event): &&(RunId, Event)| *event == Event::Place;
    plan.steps.iter().filter(is_placed).map(|(id, _)| id.0).collect()
}

/// The losses that a plan consists of, and nothing else happened.
pub(crate) fn lost(plan: &Plan) -> Vec<(u128, Loss)> {
    assert_eq!((&plan.actions, &plan.waiting), (&vec![], &vec![]));
    let loss = |(id, event): &(RunId, Event)| {
        let Event::Lost { attempt: ONE, how } = *event else {
            panic!("not a loss of the first attempt: {event:?}");
        };
        (id.0, how)
    };
    plan.steps.iter().map(loss).collect()
}

pub(crate) fn actions(plan: &Plan) -> Vec<(u128, Verb)> {
    let of_the_first_attempt = |action: &Action| {
        assert_eq!((action.pool, action.attempt), (LOCAL, ONE));
        (action.run.0, action.verb)
    };
    plan.actions.iter().map(of_the_first_attempt).collect()
}

pub(crate) fn waiting(plan: &Plan) -> Vec<(u128, String)> {
    plan.waiting.iter().map(|(id, why)| (id.0, why.to_string())).collect()
}
