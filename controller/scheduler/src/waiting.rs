//! Why a queued run is not placed, worded once: API, command line and pages show this sentence.

use std::fmt;

use crate::Time;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It is placed, and its pool's own queue holds it back, in its words. It uses no slots.
    HeldBack { why: String },
    /// It is placed, and its pool has not begun it: in the pool's own words.
    InPool { why: String },
    /// Its pool is not one of this installation's.
    NoPool,
    /// It takes more slots than its pool has at all.
    NeverFits { pool: String, capacity: u32, takes: u32 },
    /// It takes more slots than its project may use of its pool at all.
    NeverInQuota { project: String, pool: String, slots: u32, takes: u32 },
    /// Somebody paused its sweep.
    Paused,
    /// Its sweep has used all the time on slots that it may.
    SlotTimeUsed { limit_ms: u64 },
    /// A run that it needs has not succeeded yet.
    Need { name: String },
    /// Another run of its shape goes ahead, and has not proved yet that such runs work.
    Canary { shape: String, name: String, has_failed: bool },
    /// Its last attempt went wrong a moment ago.
    BackingOff { until: Time },
    /// Its pool did not answer.
    PoolUnreachable { pool: String, why: String },
    /// As many runs of its sweep are active as may be.
    ParallelLimit { limit: u32 },
    /// Active runs of its project take what it may use of the pool, or leave too little of it.
    QuotaUsed { project: String, pool: String, slots: u32, taken: u32, takes: u32 },
    /// An earlier run waits for slots in the same pool.
    Behind { name: String },
    /// It is the next one of its pool, and there is no room.
    PoolFull { pool: String, free: u32, capacity: u32, takes: u32 },
}

impl fmt::Display for Waiting {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldBack { why } | Self::InPool { why } => to.write_str(why),
            Self::NoPool => to.write_str("its pool does not exist here"),
            Self::NeverFits { pool, capacity, takes } => {
                write!(to, "it takes {}, and pool {pool} has only {capacity}", slots(*takes))
            }
            Self::NeverInQuota { project, pool, slots: quota, takes } => write!(
                to,
                "it takes {}, and project {project} may use only {quota} of pool {pool}; an admin raises \
                 that by `ctl project quota`",
                slots(*takes)
            ),
            Self::Paused => to.write_str("its sweep is paused"),
            Self::SlotTimeUsed { limit_ms } => write!(
                to,
                "its sweep has used its {} GPU hours; raise limits.gpu_hours and apply again",
                hours(*limit_ms)
            ),
            Self::Need { name } => write!(to, "waits for {name} to succeed"),
            Self::Canary { shape, name, has_failed: false } => {
                write!(to, "waits for the canary of {shape}: {name}")
            }
            Self::Canary { shape, name, has_failed: true } => write!(
                to,
                "the canary of {shape} has failed: {name}; retry it once that is mended, or apply with \
                 `canary: false`"
            ),
            Self::BackingOff { until } => {
                write!(to, "waits until {} before the next try", clock(*until))
            }
            Self::PoolUnreachable { pool, why } => {
                write!(to, "pool {pool} cannot be reached: {why}")
            }
            Self::ParallelLimit { limit } => {
                write!(to, "its sweep may run {limit} at a time, and as many are active")
            }
            Self::QuotaUsed { project, pool, slots: quota, taken, takes } => write!(
                to,
                "project {project} uses {taken} of the {} of pool {pool} that it may, and it takes {takes}",
                slots(*quota)
            ),
            Self::Behind { name } => write!(to, "behind {name} in the queue"),
            Self::PoolFull { pool, free, capacity, takes } => {
                write!(
                    to,
                    "pool {pool} has {free} of {} free, and it takes {takes}",
                    slots(*capacity)
                )
            }
        }
    }
}

fn slots(n_slots: u32) -> String {
    if n_slots == 1 { "1 slot".to_owned() } else { format!("{n_slots} slots") }
}

/// Hours, with as many decimals as a limit of whole seconds shows: 200, or 0.05.
fn hours(limit_ms: u64) -> String {
    const HOUR_MS: u64 = 3_600_000;
    let (whole, rest) = (limit_ms / HOUR_MS, limit_ms % HOUR_MS);
    let decimals = format!("{:04}", rest * 10_000 / HOUR_MS);
    let text = format!("{whole}.{decimals}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The time of day alone: nothing backs off for longer than minutes. Rounded up, so that the run
/// is never seen waiting past the time it names.
fn clock(time: Time) -> String {
    let second = time.0.saturating_add(999).div_euclid(1_000).rem_euclid(24 * 60 * 60);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02} UTC", second % 60)
}
