//! Everything a decision may depend on. If it is not here, it cannot matter.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Attempt, Exit, Obstacle, Outcome, Patience, Run, RunId, State, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SweepId(pub u128);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(pub u128);

/// What the shell read and saw, in this order.
#[derive(Clone, Debug)]
pub struct World {
    pub now: Time,
    /// Since when reports could be stored without a break. Nobody's silence before this counts.
    pub reports_since: Time,
    /// No more than matters, so that a wake costs the same however many runs there are:
    ///
    /// - every active (leased or stopping) run;
    /// - of each sweep's queue the first few whose needs have succeeded and whose wait is over (or
    ///   they would be hidden behind those who wait for something else), and the first few others;
    /// - queued runs that need one that ended without success;
    /// - runs cancelled by [`Event::NeedEnded`](crate::Event::NeedEnded) that no longer need such a
    ///   one. No other run that is done.
    pub runs: BTreeMap<RunId, Run>,
    /// What those of them that are not active need. No entry: nothing.
    pub needs: BTreeMap<RunId, Vec<Need>>,
    /// The runs that queued ones of them wait for because they are of one shape. No entry: for none.
    pub canaries: BTreeMap<RunId, Canary>,
    /// Those of them whose result another run has: they are not to be placed.
    pub reusable: BTreeSet<RunId>,
    /// The sweeps of these runs.
    pub sweeps: BTreeMap<SweepId, Sweep>,
    pub pools: BTreeMap<PoolId, Pool>,
    /// What a project may use of a pool. No entry: all of it.
    pub quotas: BTreeMap<(ProjectId, PoolId), Quota>,
}

/// A run that must succeed first, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub run: RunId,
    /// As people say it: `lr-and-mix/1`.
    pub name: String,
    /// None until it is done.
    pub outcome: Option<Outcome>,
}

/// The first run of a shape: the others of its sweep begin once it has trained a few steps, scored
/// everything, saved, and gone on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// As people say it: `llama-8b/4096`.
    pub shape: String,
    /// Of the run: `lr-and-mix/1`.
    pub name: String,
    /// It will not prove anything unless somebody retries it.
    pub has_failed: bool,
}

/// At most so many slots of a pool are taken by active runs of a project. May be set below what is
/// active: then nothing of the project is placed until it fits again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of the project, for people.
    pub name: String,
    pub slots: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    pub project: ProjectId,
    /// The older of two sweeps of equal priority goes first.
    pub created_at: Time,
    /// Somebody paused it.
    pub pause: Option<Pause>,
    /// At most so many runs of it are active at once.
    pub parallel: Option<u32>,
    /// None: as much as it takes.
    pub slot_time: Option<SlotTime>,
    /// None: however many runs fail alike, the others are tried.
    pub same_error: Option<SameError>,
}

/// What a sweep may use, and has used: each of its attempts the slots that it takes, from its
/// worker's start until it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTime {
    pub limit_ms: u64,
    pub used_ms: u64,
}

/// How many runs of a sweep failed with one error, by the error that the most of them failed with
/// since somebody last let the sweep go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SameError {
    pub limit: u32,
    pub runs: u32,
}

/// How far a pause goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing new is placed; what runs goes on.
    Placing,
    /// What runs saves a checkpoint and is queued again as well.
    Running,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// For people.
    pub name: String,
    /// Slots. May shrink under what is running: then nothing is placed until it fits again.
    pub capacity: u32,
    /// How long a worker may be silent.
    pub lease_ms: u64,
    /// How long an attempt that was asked to stop may take to save a checkpoint.
    pub grace_ms: u64,
    /// How long what cannot begin is waited for.
    pub patience: Patience,
    pub observed: Observed,
    /// Slots of attempts that may outlive what is known of their runs, as the pool remembers them.
    pub slots: BTreeMap<(RunId, Attempt), u32>,
}

/// No answer and an empty answer are different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The pool did not answer. Nothing is concluded from that, and nothing planned for it.
    Unknown { why: String },
    /// Every attempt that the pool has, alive or ended. An attempt counts as absent only if the
    /// pool, asked for that one itself, said so.
    Known(BTreeMap<(RunId, Attempt), AttemptSeen>),
}

/// One attempt, as its pool shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptSeen {
    /// Held back by the pool's own queue: no process, no slots.
    Suspended {
        why: String,
    },
    /// It has its slots and no process yet: an image is pulled, say.
    Starting {
        why: String,
    },
    /// It has its slots, and something is in its way that does not pass by waiting for room.
    Stuck {
        since: Time,
        obstacle: Obstacle,
        why: String,
    },
    Running {
        since: Time,
    },
    /// Its node is lost. It may still run, so its slots are taken until it or the node is gone.
    NodeLost,
    /// Kept by the pool until it is deleted.
    Ended {
        exit: Exit,
    },
}

impl World {
    /// # Panics
    /// The shell loaded a run without its sweep.
    pub(crate) fn sweep_of(&self, run: &Run) -> Sweep {
        *self.sweeps.get(&run.spec.sweep).expect("a run is loaded with its sweep")
    }

    /// Whose slots it takes, of which pool.
    ///
    /// # Panics
    /// The shell loaded a run without its sweep.
    pub(crate) fn share_of(&self, run: &Run) -> (ProjectId, PoolId) {
        (self.sweep_of(run).project, run.spec.pool)
    }

    /// It ends with the result that another run has. A result needs no slots and no pool that answers; the
    /// data that it is of is known once what the run needs has succeeded.
    pub(crate) fn is_reused(&self, run: &Run) -> bool {
        self.reusable.contains(&run.id)
            && matches!(run.standing.state, State::Queued { .. })
            && self.sweep_of(run).pause.is_none()
            && self.needs_of(run.id).iter().all(Need::has_succeeded)
    }

    pub(crate) fn needs_of(&self, id: RunId) -> &[Need] {
        self.needs.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The pool of a run, if it exists and answered, with what it showed.
    pub(crate) fn known_pool_of(&self, run: &Run) -> Option<(&Pool, &Seen)> {
        self.pools.get(&run.spec.pool).and_then(Pool::known)
    }

    /// Whether a worker that should have been heard by `deadline` is late. Only if reports could be
    /// stored for one whole lease time: after an outage everybody gets the time to say something.
    pub(crate) fn is_late(&self, deadline: Time, pool: &Pool) -> bool {
        deadline.max(self.reports_since.plus(pool.lease_ms)) <= self.now
    }

    /// Whether a run holds this attempt in this pool. One that nobody claims is a leftover.
    pub(crate) fn is_claimed(&self, pool: PoolId, id: RunId, attempt: Attempt) -> bool {
        self.runs.get(&id).is_some_and(|run| {
            run.spec.pool == pool && run.standing.state.attempt() == Some(attempt)
        })
    }
}

pub(crate) type Seen = BTreeMap<(RunId, Attempt), AttemptSeen>;

impl Pool {
    pub(crate) fn known(&self) -> Option<(&Self, &Seen)> {
        match &self.observed {
            Observed::Known(seen) => Some((self, seen)),
            Observed::Unknown { .. } => None,
        }
    }
}

impl Sweep {
    /// Its limit, if all of it is used.
    pub(crate) fn spent(&self) -> Option<SlotTime> {
        self.slot_time.filter(|time| time.limit_ms <= time.used_ms)
    }

    /// What runs is to save a checkpoint and make room.
    pub(crate) fn wants_its_slots_back(&self) -> bool {
        self.pause == Some(Pause::Running) || self.spent().is_some()
    }

    /// So many of its runs failed alike that the others would, too.
    pub(crate) fn is_failing(&self) -> bool {
        self.same_error.is_some_and(|seen| seen.limit <= seen.runs)
    }
}

impl Need {
    pub(crate) fn has_succeeded(&self) -> bool {
        self.outcome == Some(Outcome::Succeeded)
    }

    /// It will not succeed unless somebody retries it.
    pub(crate) fn has_failed(&self) -> bool {
        self.outcome.is_some_and(|outcome| outcome != Outcome::Succeeded)
    }
}

impl AttemptSeen {
    /// Whether the pool's slots are taken by it.
    #[must_use]
    pub const fn uses_slots(&self) -> bool {
        match self {
            Self::Starting { .. } | Self::Stuck { .. } | Self::Running { .. } | Self::NodeLost => {
                true
            }
            Self::Suspended { .. } | Self::Ended { .. } => false,
        }
    }
}
