//! What the database holds and who writes to it, with what must always hold of every write.

use std::collections::{BTreeMap, BTreeSet};

use assay_scheduler::{
    Attempt, Cause, Event, Exit, Finish, IllegalStep, Loss, Need, Outcome, Pause, PoolId,
    ProjectId, Quota, Run, RunId, Spec, Standing, State, Sweep, SweepId, Then, Time, World,
};

use crate::LEASE_MS;
use crate::ledger::Ledger;
use crate::random::Random;

pub(crate) struct Database {
    seed: u64,
    pub(crate) now: Time,
    pub(crate) reports_since: Time,
    pub(crate) rows: BTreeMap<RunId, Row>,
    pub(crate) sweeps: BTreeMap<SweepId, Sweep>,
    pub(crate) quotas: BTreeMap<(ProjectId, PoolId), Quota>,
    /// Attempts whose worker was let in.
    started: BTreeSet<(RunId, Attempt)>,
    /// Runs whose result another run has, of which this world knows no more.
    pub(crate) trained_elsewhere: BTreeSet<RunId>,
    last_heard: BTreeMap<(RunId, Attempt), Time>,
    pub(crate) ledger: Ledger,
    /// Kinds of steps that were taken.
    pub(crate) happened: BTreeSet<&'static str>,
}

pub(crate) struct Row {
    pub(crate) run: Run,
    pub(crate) version: u64,
    pub(crate) needs: Vec<RunId>,
    pub(crate) cancelled_for_need: bool,
    /// Counted here and not taken from `Tries`: the simulation has eyes of its own.
    errors: u32,
    infrastructure: u32,
    /// A worker recorded success, and nobody had decided otherwise.
    has_result: bool,
}

impl Database {
    pub(crate) fn new(seed: u64, random: &mut Random) -> Self {
        let sweeps = (0..=random.below(2)).map(|id| {
            let parallel = random.one_in(2).then(|| 1 + random.below(4));
            let created_at = Time(random.below(3).into());
            let mut sweep = Sweep {
                project: ProjectId(random.below(2).into()),
                created_at,
                pause: None,
                parallel,
                slot_time: None,
                same_error: None,
            };
            Ledger::limit(&mut sweep, random);
            (SweepId(id.into()), sweep)
        });
        let sweeps: BTreeMap<_, _> = sweeps.collect();
        let ids: Vec<_> = sweeps.keys().copied().collect();
        // no run takes more than four
        let quota =
            |random: &mut Random| Quota { name: "p".to_owned(), slots: 4 + random.below(3) };
        let quotas = (0..2).filter_map(|project| {
            let whose = (ProjectId(project), PoolId(1));
            random.one_in(2).then(|| (whose, quota(random)))
        });
        let quotas = quotas.collect();
        let rows = (0..=random.below(12)).map(|id| {
            let spec = Spec {
                name: format!("sweep/{id}"),
                sweep: random.pick(&ids),
                pool: PoolId(1 + u16::from(random.one_in(3))),
                slots: 1 + random.below(4),
                priority: i16::from(random.one_in(5)),
                order: random.below(4),
            };
            let needs = (0..id).filter(|_| random.one_in(8)).map(|id| RunId(id.into())).collect();
            let run = Run { id: RunId(id.into()), spec, standing: Standing::NEW };
            (run.id, Row::new(run, needs))
        });
        let rows = rows.collect();
        Self {
            seed,
            now: Time(0),
            reports_since: Time(0),
            rows,
            sweeps,
            quotas,
            started: BTreeSet::new(),
            trained_elsewhere: BTreeSet::new(),
            last_heard: BTreeMap::new(),
            ledger: Ledger::default(),
            happened: BTreeSet::new(),
        }
    }

    /// What the loop reads: the pools are still to be asked.
    pub(crate) fn load(&self) -> World {
        let mut runs = BTreeMap::new();
        let mut needs = BTreeMap::new();
        let mut loaded: BTreeMap<_, u32> = BTreeMap::new();
        let mut queue: Vec<_> = self.rows.values().collect();
        let turn = |row: &Row| (std::cmp::Reverse(row.run.spec.priority), row.run.spec.order);
        queue.sort_by_key(|row| turn(row));
        for row in queue {
            let all = self.needs(row);
            let is_hopeless = all.iter().any(is_hopeless);
            let wanted = match row.run.standing.state {
                State::Leased { .. } | State::Stopping { .. } => true,
                State::Done { .. } => row.cancelled_for_need && !is_hopeless,
                State::Queued { not_before, .. } => {
                    let is_ready = not_before <= self.now && all.iter().all(has_succeeded);
                    let n_loaded = loaded.entry((row.run.spec.sweep, is_ready)).or_default();
                    *n_loaded += 1;
                    is_hopeless || *n_loaded <= 3
                }
            };
            if wanted {
                runs.insert(row.run.id, row.run.clone());
                needs.insert(row.run.id, all);
            }
        }
        let (now, reports_since) = (self.now, self.reports_since);
        let active = || self.rows.values().map(|row| &row.run);
        let sweeps = self
            .sweeps
            .iter()
            .map(|(id, sweep)| (*id, self.ledger.of_sweep(*id, *sweep, active(), self.now)));
        let (sweeps, pools) = (sweeps.collect(), BTreeMap::new());
        let reusable = self.trained_elsewhere.iter().filter(|id| runs.contains_key(id));
        let reusable = reusable.copied().collect();
        World {
            now,
            reports_since,
            runs,
            needs,
            canaries: BTreeMap::new(),
            reusable,
            sweeps,
            pools,
            quotas: self.quotas.clone(),
        }
    }

    fn needs(&self, row: &Row) -> Vec<Need> {
        let need = |id: &RunId| {
            let Run { spec, .. } = &self.rows[id].run;
            Need { run: *id, name: spec.name.clone(), outcome: self.outcome(*id) }
        };
        row.needs.iter().map(need).collect()
    }

    pub(crate) fn outcome(&self, id: RunId) -> Option<Outcome> {
        match self.state(id) {
            State::Done { outcome, .. } => Some(outcome),
            State::Queued { .. } | State::Leased { .. } | State::Stopping { .. } => None,
        }
    }

    pub(crate) fn state(&self, id: RunId) -> State {
        self.rows[&id].run.standing.state
    }

    /// A step that was planned: false if somebody else moved the run first.
    pub(crate) fn commit(&mut self, id: RunId, planned_at: u64, event: Event) -> bool {
        let row = &self.rows[&id];
        let lease_goes_on = match (row.run.standing.state, event) {
            (
                State::Leased { lease: Some(ends), .. },
                Event::Lost { how: Loss::LeaseExpired, .. },
            ) => self.now < ends,
            _ => false,
        };
        if row.version != planned_at || lease_goes_on {
            return false;
        }
        self.check_before(id, event);
        let step = self.say(id, event);
        assert!(step.is_ok(), "seed {}: planned an illegal step: {step:?}", self.seed);
        true
    }

    /// What a worker, a person or the loop says, in one transaction.
    pub(crate) fn say(&mut self, id: RunId, event: Event) -> Result<(), IllegalStep> {
        let row = self.rows.get_mut(&id).expect("known run");
        let before = row.run.standing;
        row.run.standing = row.run.step(self.now, event)?;
        row.version += 1;
        self.happened.insert(kind(event));
        row.account(before, event);
        row.check_after(self.seed, before, event);
        self.ledger.note(&row.run, before, event, self.now);
        if let Event::Start { attempt, .. } = event {
            let is_first = self.started.insert((id, attempt));
            assert!(is_first, "seed {}: {id:?} {attempt:?} was started twice", self.seed);
            self.last_heard.insert((id, attempt), self.now);
        }
        Ok(())
    }

    /// Pauses a sweep if its runs still fail alike: somebody may have let it go on meanwhile.
    pub(crate) fn pause(&mut self, id: SweepId) {
        let sweep = self.sweeps.get_mut(&id).expect("known sweep");
        let limit = sweep.same_error.map_or(u32::MAX, |seen| seen.limit);
        if limit <= self.ledger.failed_alike(id) {
            sweep.pause = Some(Pause::Placing);
            self.happened.insert("sweep paused");
        }
    }

    /// A sign of life: extends the lease, which is no step. None: refused.
    pub(crate) fn beat(&mut self, id: RunId, by: Attempt) -> Option<State> {
        let lease_ends = self.now.plus(LEASE_MS);
        let state = &mut self.rows.get_mut(&id).expect("known run").run.standing.state;
        if state.attempt() != Some(by) {
            return None;
        }
        self.last_heard.insert((id, by), self.now);
        if let State::Leased { lease: Some(lease), .. } = state {
            *lease = lease_ends;
        }
        Some(*state)
    }

    /// What must hold when the loop moves a run.
    fn check_before(&self, id: RunId, event: Event) {
        let seed = self.seed;
        if matches!(event, Event::Place | Event::Reuse) {
            let needs = &self.rows[&id].needs;
            let is_ready = |id: &RunId| self.outcome(*id) == Some(Outcome::Succeeded);
            assert!(needs.iter().all(is_ready), "seed {seed}: {id:?} placed before its needs");
            let is_trained = self.trained_elsewhere.contains(&id);
            assert!(event == Event::Place || is_trained, "seed {seed}: {id:?} has no result");
        }
        if let Event::Lost { attempt, how: Loss::LeaseExpired } = event {
            let silent_since = self.last_heard[&(id, attempt)].max(self.reports_since);
            let silent_long = silent_since.plus(LEASE_MS) <= self.now;
            assert!(silent_long, "seed {seed}: {id:?} lost its lease though it was heard");
        }
    }
}

impl Row {
    fn new(run: Run, needs: Vec<RunId>) -> Self {
        let (errors, infrastructure, has_result) = (0, 0, false);
        let (version, cancelled_for_need) = (0, false);
        Self { run, version, needs, cancelled_for_need, errors, infrastructure, has_result }
    }

    fn account(&mut self, before: Standing, event: Event) {
        if before != self.run.standing {
            match event.cause() {
                Some(Cause::Error) => self.errors += 1,
                Some(Cause::Infrastructure) => self.infrastructure += 1,
                _ => (),
            }
        }
        if matches!(event, Event::CheckpointAccepted { .. } | Event::Retry | Event::NeedRetried) {
            (self.errors, self.infrastructure) = (0, 0);
        }
        if matches!(event, Event::Finish { how: Finish::Success, .. }) {
            self.has_result |= !is_decided(before.state);
        }
        self.has_result |= event == Event::Reuse;
        if event == Event::NeedEnded {
            self.cancelled_for_need = true;
        } else if matches!(event, Event::Retry | Event::NeedRetried) {
            self.cancelled_for_need = false;
        }
    }

    /// What must hold after every step, whoever took it.
    fn check_after(&self, seed: u64, before: Standing, event: Event) {
        let State::Done { outcome, .. } = self.run.standing.state else {
            let revived = matches!(before.state, State::Done { .. });
            let wanted = matches!(event, Event::Retry | Event::NeedRetried);
            assert!(!revived || wanted, "seed {seed}: {event:?} revived {:?}", self.run);
            assert!(!(revived && self.has_result), "seed {seed}: a result was thrown away");
            if let State::Queued { .. } = self.run.standing.state {
                assert!(!self.has_result, "seed {seed}: a result was not believed: {:?}", self.run);
                let within = self.errors <= 2 && self.infrastructure <= 5;
                assert!(within, "seed {seed}: too many tries: {:?}", self.run);
            }
            return;
        };
        let succeeded = outcome == Outcome::Succeeded;
        assert_eq!(succeeded, self.has_result, "seed {seed}: not the result: {:?}", self.run);
    }
}

/// By a person, or by what the worker recorded before.
fn is_decided(state: State) -> bool {
    let State::Stopping { then: Then::End { outcome }, .. } = state else { return false };
    matches!(outcome, Outcome::Cancelled | Outcome::StoppedEarly | Outcome::Diverged)
}

/// The losses apart: each is another decision.
pub(crate) fn kind(event: Event) -> &'static str {
    let Event::Lost { how, .. } = event else { return event.word() };
    match how {
        Loss::LeaseExpired => "expired",
        Loss::NeverStarted => "never started",
        Loss::Vanished => "vanished",
        Loss::Suspended => "suspended",
        Loss::Ended(Exit::Code(_)) => "exited",
        Loss::Ended(Exit::Signal(_) | Exit::OutOfMemory | Exit::Evicted | Exit::Unknown) => {
            "killed"
        }
        Loss::Ended(Exit::Preempted) => "outranked",
        Loss::Ended(Exit::Deadline) => "out of time",
        Loss::Stuck(_) => "stuck",
        Loss::NodeLost => "node lost",
    }
}

fn has_succeeded(need: &Need) -> bool {
    need.outcome == Some(Outcome::Succeeded)
}

fn is_hopeless(need: &Need) -> bool {
    need.outcome.is_some_and(|outcome| outcome != Outcome::Succeeded)
}
