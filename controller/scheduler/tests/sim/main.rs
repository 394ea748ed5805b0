//! A seeded world in which actions are lost or land late, workers die, hang and fall silent, pools
//! do not answer or take slots back, the controller crashes between commit and perform or is away
//! for a while, and people cancel, preempt, retry, pause and resume, at any moment.
//!
//! Safety is checked at every write and after every tick. Then the faults stop, and every run must
//! reach an end, with nothing left in any pool (liveness). On even seeds nothing lands late, and
//! then the slots really in use, not only those leased, must never exceed those that exist, and no
//! run may let go of an attempt that is alive.

mod cluster;
mod database;
mod ledger;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use assay_scheduler::{
    Attempt, Event, Observed, Outcome, Pause, Plan, Run, RunId, State, Verb, World, plan,
};

use crate::cluster::{Cluster, POOLS};
use crate::database::Database;
use crate::ledger::Ledger;
use crate::random::Random;

const SEEDS: u64 = 2_000;
const TICKS_FAULTY_MAX: u32 = 150;
/// A back-off of five minutes, and as much again for the work.
const TICKS_CALM_MAX: u32 = 300;
const TICK_MS: u64 = 2_000;
const LEASE_MS: u64 = 12_000;
const GRACE_MS: u64 = 8_000;
const CAPACITY: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Calm,
    Stormy,
    /// Stormy, and nothing reaches the controller.
    Outage,
}

impl Weather {
    fn has_accidents(self) -> bool {
        self != Self::Calm
    }
    fn reports_can_be_stored(self) -> bool {
        self != Self::Outage
    }
}

#[test]
fn safe_under_faults_and_live_without_them() {
    let mut happened = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut sim = Sim::new(seed);
        for _ in 0..sim.random.below(TICKS_FAULTY_MAX) {
            sim.storm();
        }
        sim.calm();
        sim.check_end();
        happened.append(&mut sim.database.happened);
    }
    // A simulation in which nothing happens finds nothing.
    let kinds =
        ["placed", "reused", "started", "checkpoint_accepted", "finished", "gone", "retried"]
            .into_iter()
            .chain(["cancelled", "stopped_early", "preempted", "need_ended", "need_retried"])
            .chain(["expired", "never started", "vanished", "suspended", "exited", "killed"])
            .chain(["outranked", "out of time", "stuck", "node lost"])
            .chain(["sweep paused", "time used"]);
    assert_eq!(happened, kinds.collect());
}

struct Sim {
    seed: u64,
    random: Random,
    database: Database,
    cluster: Cluster,
    outage_ticks: u32,
    /// Attempts placed in calm weather: none of them may be lost.
    safe: BTreeSet<(RunId, Attempt)>,
    /// Runs that had their whole life before them when it became calm.
    spared: BTreeSet<RunId>,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let database = Database::new(seed, &mut random);
        let (safe, spared) = (BTreeSet::new(), BTreeSet::new());
        let cluster = Cluster::default();
        Self { seed, random, database, cluster, outage_ticks: 0, safe, spared }
    }

    fn storm(&mut self) {
        if self.outage_ticks == 0 && self.random.one_in(20) {
            self.outage_ticks = 1 + self.random.below(12);
        }
        let is_out = 0 < self.outage_ticks;
        self.tick(if is_out { Weather::Outage } else { Weather::Stormy });
        if is_out {
            self.outage_ticks -= 1;
            self.database.reports_since = self.database.now;
        }
    }

    fn calm(&mut self) {
        // people let everything go on, and raise what it may use
        for sweep in self.database.sweeps.values_mut() {
            (sweep.pause, sweep.slot_time, sweep.same_error) = (None, None, None);
        }
        let queued = |id: &RunId| matches!(self.database.state(*id), State::Queued { .. });
        self.spared = self.database.rows.keys().copied().filter(queued).collect();
        for _ in 0..TICKS_CALM_MAX {
            if self.has_settled() {
                return;
            }
            self.tick(Weather::Calm);
        }
    }

    /// One tick of everybody; the loop's turn falls apart into its four parts, and the others may
    /// move between any two of them.
    fn tick(&mut self, weather: Weather) {
        self.database.now = self.database.now.plus(TICK_MS);
        let moves_at = self.random.below(4);
        if moves_at == 0 {
            self.others_move(weather);
        }
        if weather.reports_can_be_stored() {
            let versions = self.versions();
            let mut world = self.database.load();
            if moves_at == 1 {
                self.others_move(weather);
            }
            for pool in POOLS {
                let is_reachable = weather == Weather::Calm || !self.random.one_in(8);
                world.pools.insert(pool, self.cluster.observe(pool, is_reachable));
            }
            let plan = plan(&world);
            self.check_plan(&world, &plan);
            if moves_at == 2 {
                self.others_move(weather);
            }
            self.commit(&plan, &versions, weather);
            self.perform(&plan, weather);
        }
        self.cluster.land_actions(&self.database);
        if moves_at == 3 {
            self.others_move(weather);
        }
        self.check_tick();
    }

    fn commit(&mut self, plan: &Plan, versions: &BTreeMap<RunId, u64>, weather: Weather) {
        plan.pauses.iter().for_each(|sweep| self.database.pause(*sweep));
        for &(id, event) in &plan.steps {
            let is_committed = self.database.commit(id, versions[&id], event);
            let attempt = self.database.state(id).attempt();
            match (event, attempt) {
                (Event::Place, Some(attempt)) if is_committed && weather == Weather::Calm => {
                    self.safe.insert((id, attempt));
                }
                (Event::Preempt, _) if is_committed => {
                    self.database.happened.insert("time used");
                }
                (Event::Lost { attempt, .. }, _) if is_committed => {
                    let was_safe = self.safe.contains(&(id, attempt));
                    assert!(!was_safe, "seed {}: lost in calm weather: {id:?}", self.seed);
                }
                _ => (),
            }
        }
    }

    fn perform(&mut self, plan: &Plan, weather: Weather) {
        let has_crashed = weather.has_accidents() && self.random.one_in(8);
        for &action in &plan.actions {
            let is_lost = has_crashed || (weather.has_accidents() && self.random.one_in(4));
            let is_late = weather.has_accidents() && self.lands_late();
            if !is_lost {
                let delay = if is_late { self.random.below(4) } else { 0 };
                self.cluster.perform(action, delay);
            }
        }
    }

    fn others_move(&mut self, weather: Weather) {
        self.cluster.live(&mut self.database, &mut self.random, weather);
        if weather == Weather::Stormy {
            self.people_move();
        }
    }

    fn people_move(&mut self) {
        let ids: Vec<_> = self.database.rows.keys().copied().collect();
        let sweeps: Vec<_> = self.database.sweeps.keys().copied().collect();
        let (id, sweep_id) = (self.random.pick(&ids), self.random.pick(&sweeps));
        let wish = match self.random.below(60) {
            0 | 1 => Event::Cancel,
            2 => Event::StopEarly,
            3 | 4 => Event::Preempt,
            5..9 => Event::Retry,
            9 => {
                self.database.trained_elsewhere.insert(id);
                return;
            }
            10 | 11 => {
                let sweep = self.database.sweeps.get_mut(&sweep_id).expect("known sweep");
                sweep.pause = match self.random.below(3) {
                    0 => None,
                    1 => Some(Pause::Placing),
                    _ => Some(Pause::Running),
                };
                self.database.ledger.forget_errors(sweep_id);
                return;
            }
            _ => return,
        };
        let _too_late_is_fine = self.database.say(id, wish);
    }

    fn check_plan(&self, world: &World, plan: &Plan) {
        let seed = self.seed;
        let moved: BTreeSet<_> = plan.steps.iter().map(|(id, _)| *id).collect();
        assert_eq!(moved.len(), plan.steps.len(), "seed {seed}: two steps of one run");
        let waiting: BTreeSet<_> = plan.waiting.iter().map(|(id, _)| *id).collect();
        assert_eq!(waiting.len(), plan.waiting.len(), "seed {seed}: two reasons for one run");
        for run in world.runs.values() {
            let (says, moves) = (waiting.contains(&run.id), moved.contains(&run.id));
            let is_right = match run.standing.state {
                State::Queued { .. } => says != moves,
                // if its pool has words for it
                State::Leased { lease: None, .. } => !(says && moves),
                State::Leased { .. } | State::Stopping { .. } | State::Done { .. } => !says,
            };
            assert!(is_right, "seed {seed}: why waits {run:?}");
            let step = plan.steps.iter().find(|(id, _)| *id == run.id).map(|(_, event)| *event);
            if matches!(world.pools[&run.spec.pool].observed, Observed::Known(_)) {
                Ledger::check(seed, &world.sweeps[&run.spec.sweep], run, step);
            }
        }
        for (id, event) in &plan.steps {
            let run = &world.runs[id];
            let is_known = matches!(world.pools[&run.spec.pool].observed, Observed::Known(_));
            let needs_no_pool =
                matches!(event, Event::Reuse | Event::NeedEnded | Event::NeedRetried);
            assert!(is_known || needs_no_pool, "seed {seed}: {event:?} in an unknown pool");
            let is_new = matches!(event, Event::Place | Event::Reuse);
            let is_paused = is_new && world.sweeps[&run.spec.sweep].pause.is_some();
            assert!(!is_paused, "seed {seed}: placed while paused");
            let is_trained = world.reusable.contains(id);
            assert!(*event != Event::Place || !is_trained, "seed {seed}: trained again: {run:?}");
        }
        for action in &plan.actions {
            let key = (action.run, action.attempt);
            let is_known = matches!(world.pools[&action.pool].observed, Observed::Known(_));
            assert!(is_known, "seed {seed}: {action:?} in an unknown pool");
            let runs_twice = action.verb == Verb::Ensure
                && matches!(
                    world.runs[&action.run].standing.state,
                    State::Leased { lease: Some(_), .. }
                );
            assert!(!runs_twice, "seed {seed}: {key:?} created again after its start");
        }
    }

    fn check_tick(&self) {
        let seed = self.seed;
        for (id, sweep) in &self.database.sweeps {
            let is_active =
                |run: &&Run| run.spec.sweep == *id && run.standing.state.attempt().is_some();
            let active = self.database.rows.values().map(|row| &row.run).filter(is_active).count();
            let limit = sweep.parallel.unwrap_or(u32::MAX) as usize;
            assert!(active <= limit, "seed {seed}: {active} runs of {id:?} are active");
        }
        for ((project, pool), quota) in &self.database.quotas {
            let sweeps = &self.database.sweeps;
            let is_counted = |run: &&Run| {
                run.spec.pool == *pool
                    && sweeps[&run.spec.sweep].project == *project
                    && run.standing.state.attempt().is_some()
            };
            let active = self.database.rows.values().map(|row| &row.run).filter(is_counted);
            let taken: u32 = active.map(|run| run.spec.slots).sum();
            assert!(taken <= quota.slots, "seed {seed}: {project:?} takes {taken} of {pool:?}");
        }
        if self.lands_late() {
            return;
        }
        for pool in POOLS {
            let in_use = self.cluster.slots_in_use(pool);
            assert!(in_use <= CAPACITY, "seed {seed}: {in_use} slots of {pool:?} in use");
        }
        for ((_, run, attempt), process) in &self.cluster.processes {
            let is_held = self.database.state(*run).attempt() == Some(*attempt);
            let is_alive = process.seen.uses_slots() && !process.is_on_lost_node();
            assert!(is_held || !is_alive, "seed {seed}: {run:?} let go of a living {attempt:?}");
        }
    }

    fn has_settled(&self) -> bool {
        let is_done = |id: &RunId| self.database.outcome(*id).is_some();
        self.cluster.processes.is_empty() && self.database.rows.keys().all(is_done)
    }

    fn check_end(&self) {
        let seed = self.seed;
        let left = &self.cluster.processes;
        assert!(left.is_empty(), "seed {seed}: left in a pool: {left:?}");
        for (id, row) in &self.database.rows {
            let outcome = self.database.outcome(*id);
            assert!(outcome.is_some(), "seed {seed}: never ended: {:?}", row.run);
            let is_hopeless =
                row.needs.iter().any(|id| self.database.outcome(*id) != Some(Outcome::Succeeded));
            let has_succeeded = outcome == Some(Outcome::Succeeded);
            let was_spared = self.spared.contains(id);
            assert!(
                !was_spared || has_succeeded || is_hopeless,
                "seed {seed}: {outcome:?} in calm weather: {:?}",
                row.run
            );
            let is_forgotten = row.cancelled_for_need && !is_hopeless;
            assert!(!is_forgotten, "seed {seed}: its need came back, it did not: {:?}", row.run);
        }
    }

    fn versions(&self) -> BTreeMap<RunId, u64> {
        self.database.rows.iter().map(|(id, row)| (*id, row.version)).collect()
    }

    fn lands_late(&self) -> bool {
        self.seed % 2 == 1
    }
}
