//! Decides what happens next to every run. Pure: no clock, no randomness, no I/O, no serde.
//!
//! The shell (`assay-controller`) does, on every activation:
//!
//! ```text
//! observe  Postgres rows + what the pools show + clock  ->  World
//! plan     plan(&World)                                 ->  Plan      <- this crate
//! commit   plan.steps, each guarded by the version it was planned from
//! perform  plan.actions: idempotent; a lost one is planned again
//! ```
//!
//! Rows first, pools after: what is planned from a row that has moved since is refused at commit
//! and planned again. Activate again at once after a plan that had steps: what follows from them
//! is in the next plan, because only what is committed counts.
//!
//! **Invariant:** attempts that can use a slot never add up to more slots than their pool has. A
//! lease is committed before its attempt is created, and given up only once that attempt is seen
//! to be gone. (An attempt that the pool itself holds back uses none until the pool lets it go.)
//!
//! **Invariant:** a crash, or a lost action, between any two lines above needs no recovery code:
//! the next activation sees the difference and plans it away. An action that lands late can leave
//! an attempt that nobody claims; it is deleted when seen, and, being stale, whatever it reports
//! is refused.
//!
//! **Invariant:** unreachable is not failed. For a pool that did not answer nothing is planned,
//! and silence counts against a worker only if somebody could have heard it.
//!
//! **Invariant:** every queued run that is not placed has a [`Waiting`] that says why.
//!
//! Read `run.rs` for the life of one run, `plan.rs` for what moves it, `queue.rs` for who goes
//! first, `tries.rs` for how often what is tried again.

#![forbid(unsafe_code)]

mod event;
mod plan;
mod queue;
mod run;
mod tries;
mod waiting;
mod world;

pub use event::{Event, Exit, Finish, Loss, Obstacle, Remedy, WorkerError};
pub use plan::{Action, Plan, Urgency, Verb, plan};
pub use run::{Attempt, IllegalStep, Outcome, Run, RunId, Spec, Standing, State, Then, Time};
pub use tries::{BackOff, Cause, ErrorSeen, Patience, Policy, Retries, Tries};
pub use waiting::Waiting;
pub use world::{
    AttemptSeen, Canary, Need, Observed, Pause, Pool, PoolId, ProjectId, Quota, SameError,
    SlotTime, Sweep, SweepId, World,
};
