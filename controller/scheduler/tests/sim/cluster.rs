//! Two pools and the workers in them: they start, speak, finish, hang and die. Pool 1 starts what
//! it is given; pool 2 has a queue of its own, and may take slots back.

use std::collections::BTreeMap;

use assay_scheduler::{
    Action, Attempt, AttemptSeen, Cause, Event, Exit, Finish, Observed, Obstacle, Patience, Pool,
    PoolId, Remedy, RunId, State, Then, Time, Urgency, Verb, WorkerError,
};

use crate::database::Database;
use crate::random::Random;
use crate::{CAPACITY, GRACE_MS, LEASE_MS, Weather};

const WITH_A_QUEUE: PoolId = PoolId(2);
pub(crate) const POOLS: [PoolId; 2] = [PoolId(1), WITH_A_QUEUE];

pub(crate) type Key = (PoolId, RunId, Attempt);

#[derive(Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) processes: BTreeMap<Key, Process>,
    /// Performed but not yet landed, with the ticks left to go.
    in_flight: Vec<(u32, Action)>,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) seen: AttemptSeen,
    slots: u32,
    has_started: bool,
    /// Alive, and will never speak again.
    is_hung: bool,
    /// What it wants to record; it stays until somebody took note.
    record: Option<Finish>,
}

impl Cluster {
    pub(crate) fn observe(&self, pool: PoolId, is_reachable: bool) -> Pool {
        let of_pool = self.processes.iter().filter(|((id, ..), _)| *id == pool);
        let seen = of_pool.map(|((_, run, attempt), process)| ((*run, *attempt), &process.seen));
        let observed = if is_reachable {
            Observed::Known(seen.map(|(key, seen)| (key, seen.clone())).collect())
        } else {
            Observed::Unknown { why: "no route".to_owned() }
        };
        let (lease_ms, grace_ms) = (LEASE_MS, GRACE_MS);
        let of_pool = self.processes.iter().filter(|((id, ..), _)| *id == pool);
        Pool {
            name: format!("{pool:?}"),
            capacity: CAPACITY,
            lease_ms,
            grace_ms,
            patience: Patience {
                image_ms: LEASE_MS,
                config_ms: LEASE_MS,
                unschedulable_ms: LEASE_MS,
                refused_ms: LEASE_MS,
            },
            observed,
            slots: of_pool.map(|((_, run, attempt), p)| ((*run, *attempt), p.slots)).collect(),
        }
    }

    pub(crate) fn perform(&mut self, action: Action, delay: u32) {
        self.in_flight.push((delay, action));
    }

    pub(crate) fn land_actions(&mut self, database: &Database) {
        for (delay, action) in std::mem::take(&mut self.in_flight) {
            if 0 < delay {
                self.in_flight.push((delay - 1, action));
            } else {
                self.land(action, database);
            }
        }
    }

    fn land(&mut self, Action { pool, run, attempt, verb }: Action, database: &Database) {
        let key = (pool, run, attempt);
        match verb {
            Verb::Ensure => {
                let slots = database.rows[&run].run.spec.slots;
                self.processes.entry(key).or_insert_with(|| Process::new(pool, slots));
            }
            Verb::Stop(urgency) => {
                if let Some(process) = self.processes.get_mut(&key) {
                    process.stop(urgency);
                }
            }
            // what is on a lost node cannot be reached
            Verb::Delete => {
                self.processes.retain(|other, process| *other != key || process.is_on_lost_node());
            }
        }
    }

    /// Slots that are really taken.
    pub(crate) fn slots_in_use(&self, pool: PoolId) -> u32 {
        let of_pool = self.processes.iter().filter(|((id, ..), _)| *id == pool);
        of_pool.map(|(_, process)| process).filter(|p| p.seen.uses_slots()).map(|p| p.slots).sum()
    }

    /// One tick: pools let processes go on, accidents happen, workers speak.
    pub(crate) fn live(&mut self, database: &mut Database, random: &mut Random, weather: Weather) {
        for key in self.processes.keys().copied().collect::<Vec<_>>() {
            self.go_on(key, database.now, random);
            let is_there = self.processes.contains_key(&key);
            if is_there && weather.has_accidents() && random.one_in(12) {
                self.have_accident(key, database.now, random);
            }
            if weather.reports_can_be_stored()
                && let Some(process) = self.processes.get_mut(&key)
            {
                process.speak(key, database, random, weather);
            }
        }
    }

    fn go_on(&mut self, key: Key, now: Time, random: &mut Random) {
        let free = CAPACITY.saturating_sub(self.slots_in_use(key.0));
        let process = self.processes.get_mut(&key).expect("it is there");
        match process.seen {
            AttemptSeen::Suspended { .. } if process.slots <= free && random.one_in(2) => {
                process.seen = AttemptSeen::Starting { why: "pulling the image".to_owned() };
            }
            AttemptSeen::Starting { .. } if random.one_in(2) => {
                process.seen = AttemptSeen::Running { since: now };
            }
            // its node is given up at last
            AttemptSeen::NodeLost if random.one_in(20) => drop(self.processes.remove(&key)),
            AttemptSeen::Suspended { .. }
            | AttemptSeen::Starting { .. }
            | AttemptSeen::Stuck { .. }
            | AttemptSeen::NodeLost
            | AttemptSeen::Running { .. }
            | AttemptSeen::Ended { .. } => (),
        }
    }

    fn have_accident(&mut self, key: Key, now: Time, random: &mut Random) {
        let process = self.processes.get_mut(&key).expect("it is there");
        if !process.seen.uses_slots() {
            return;
        }
        if process.is_on_lost_node() {
            return;
        }
        let exits = [0, 1, 75].map(Exit::Code);
        let others = [Exit::OutOfMemory, Exit::Evicted, Exit::Preempted, Exit::Deadline];
        match random.below(8) {
            0 => process.end(Exit::Signal(9)),
            1 => process.end(random.pick(&others)),
            2 => process.end(random.pick(&exits)),
            3 => process.is_hung = true,
            6 => process.seen = AttemptSeen::NodeLost,
            7 if !process.has_started => process.seen = stuck(now),
            4 if key.0 == WITH_A_QUEUE => *process = Process::new(key.0, process.slots),
            4 => process.end(Exit::Unknown),
            _ => drop(self.processes.remove(&key)),
        }
    }
}

impl Process {
    fn new(pool: PoolId, slots: u32) -> Self {
        let suspended = AttemptSeen::Suspended { why: "no quota".to_owned() };
        let starting = AttemptSeen::Starting { why: "pulling the image".to_owned() };
        let seen = if pool == WITH_A_QUEUE { suspended } else { starting };
        Self { seen, slots, has_started: false, is_hung: false, record: None }
    }

    fn stop(&mut self, urgency: Urgency) {
        match urgency {
            Urgency::AtOnce | Urgency::Gracefully if self.is_on_lost_node() => (),
            Urgency::AtOnce if self.seen.uses_slots() => self.end(Exit::Signal(9)),
            Urgency::Gracefully if self.has_started => {
                self.record.get_or_insert(Finish::Preempted);
            }
            // A worker that gets the signal while it starts leaves with nothing to say.
            Urgency::Gracefully if self.seen.uses_slots() && !self.is_hung => {
                self.end(Exit::Code(75));
            }
            Urgency::AtOnce | Urgency::Gracefully => (),
        }
    }

    pub(crate) fn is_on_lost_node(&self) -> bool {
        self.seen == AttemptSeen::NodeLost
    }

    fn end(&mut self, exit: Exit) {
        self.seen = AttemptSeen::Ended { exit };
    }

    fn speak(&mut self, key: Key, database: &mut Database, random: &mut Random, weather: Weather) {
        let (_, run, attempt) = key;
        let is_running = matches!(self.seen, AttemptSeen::Running { .. });
        let is_delayed = weather.has_accidents() && random.one_in(6);
        if !is_running || self.is_hung || is_delayed {
            return;
        }
        if !self.has_started {
            return self.start(key, database, random);
        }
        if let Some(how) = self.record {
            // Refused or stored, there is nothing more to do.
            let is_stored = database.say(run, Event::Finish { attempt, how }).is_ok();
            return self.end(Exit::Code(if is_stored { 0 } else { 1 }));
        }
        match database.beat(run, attempt) {
            None => self.end(Exit::Code(1)),
            Some(State::Stopping { then: Then::Requeue { cause: Cause::Preempted }, .. }) => {
                self.record = Some(Finish::Preempted);
            }
            Some(State::Stopping { .. }) => self.end(Exit::Code(1)),
            Some(_) => self.record = work(random, weather),
        }
    }

    fn start(&mut self, (_, run, attempt): Key, database: &mut Database, random: &mut Random) {
        let lease_ends = database.now.plus(LEASE_MS);
        self.has_started = database.say(run, Event::Start { attempt, lease_ends }).is_ok();
        if !self.has_started {
            self.end(Exit::Code(1));
        } else if random.one_in(4) {
            let accepted = database.say(run, Event::CheckpointAccepted { attempt });
            assert!(accepted.is_ok(), "it has just been let in");
        }
    }
}

/// For ever.
fn stuck(since: Time) -> AttemptSeen {
    let why = "no node has such a GPU".to_owned();
    AttemptSeen::Stuck { since, obstacle: Obstacle::Unschedulable, why }
}

/// A tick's worth of training, and whether it comes to an end.
fn work(random: &mut Random, weather: Weather) -> Option<Finish> {
    if random.one_in(8) {
        return Some(Finish::Success);
    }
    if !weather.has_accidents() {
        return None;
    }
    let remedy = if random.one_in(5) { Remedy::None } else { Remedy::Retry };
    let (step, signature) = (random.below(3).into(), random.below(2).into());
    match random.below(40) {
        0 => Some(Finish::Diverged),
        1..4 => Some(Finish::Error(WorkerError { step, signature, remedy })),
        _ => None,
    }
}
