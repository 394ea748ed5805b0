//! The scheduler alone: one plan over a world of 100,000 queued runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use assay_scheduler::{
    Attempt, Observed, Patience, Pool, PoolId, ProjectId, Run, RunId, Spec, Standing, State, Sweep,
    SweepId, Time, Tries, World, plan,
};
use assay_tests::bench::Figure;

use crate::seconds;

const SWEEPS: u32 = 10;
const RUNS: u32 = 10_000;
const SLOTS: u32 = 64;

pub(crate) fn measure() -> Vec<Figure> {
    let world = world();
    let mut took = Vec::new();
    for _ in 0..11 {
        let begin = Instant::now();
        let plan = plan(&world);
        took.push(begin.elapsed());
        assert_eq!(plan.steps.len(), SLOTS as usize, "an idle pool is filled");
    }
    vec![seconds("plan_100000_runs_seconds", took)]
}

fn world() -> World {
    let sweep = |i: u32| {
        let sweep = Sweep {
            project: ProjectId(u128::from(i % 4)),
            created_at: Time(i64::from(i)),
            pause: None,
            parallel: None,
            slot_time: None,
            same_error: None,
        };
        (SweepId(u128::from(i)), sweep)
    };
    let runs = (0..SWEEPS).flat_map(|sweep| (0..RUNS).map(move |order| run(sweep, order)));
    let pool = Pool {
        name: "local".to_owned(),
        capacity: SLOTS,
        lease_ms: 60_000,
        grace_ms: 30_000,
        patience: Patience::default(),
        observed: Observed::Known(BTreeMap::new()),
        slots: BTreeMap::new(),
    };
    World {
        now: Time(1_000_000),
        reports_since: Time(0),
        runs: runs.map(|run| (run.id, run)).collect(),
        needs: BTreeMap::new(),
        canaries: BTreeMap::new(),
        reusable: BTreeSet::new(),
        sweeps: (0..SWEEPS).map(sweep).collect(),
        pools: BTreeMap::from([(PoolId(0), pool)]),
        quotas: BTreeMap::new(),
    }
}

fn run(sweep: u32, order: u32) -> Run {
    Run {
        id: RunId(u128::from(order) << 32 | u128::from(sweep)),
        spec: Spec {
            sweep: SweepId(u128::from(sweep)),
            pool: PoolId(0),
            slots: 1,
            priority: 0,
            order,
            name: format!("s{sweep}/{order}"),
        },
        standing: Standing {
            state: State::Queued { next: Attempt(1), not_before: Time::ALWAYS },
            tries: Tries::default(),
        },
    }
}
