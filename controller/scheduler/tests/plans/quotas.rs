//! What a project may take of a pool.

use assay_scheduler::{Outcome, Sweep, plan};

use crate::fixtures::*;

#[test]
fn a_project_takes_no_more_of_a_pool_than_it_may() {
    let others = Sweep { project: OTHER_PROJECT, ..sweep_of(2) };
    let world = world(9)
        .with_quota(PROJECT, 3)
        .with_sweep(NEW_SWEEP, others)
        .with(run(1).taking(2).started(in_time()))
        .with(run(2).taking(2).ordered(1))
        .with(run(3).ordered(2))
        .with(run(4).taking(4).ordered(3))
        .with(run(5).taking(7).of(NEW_SWEEP))
        .seeing(1, running(0));
    let plan = plan(&world);
    assert_eq!(placed(&plan), [5], "what one project may not take is left to the others");
    let expected = [
        (2, "project p1 uses 2 of the 3 slots of pool local that it may, and it takes 2"),
        (3, "behind sweep/2 in the queue"), // or small runs would starve a large one
        (
            4,
            "it takes 4 slots, and project p1 may use only 3 of pool local; an admin raises that by \
             `ctl project quota`",
        ),
    ];
    assert_eq!(waiting(&plan), expected.map(|(id, why)| (id, why.to_owned())));
}

#[test]
fn a_quota_that_is_set_below_what_is_active_takes_nothing_back() {
    let world = world(9)
        .with_quota(PROJECT, 1)
        .with(run(1).started(in_time()))
        .with(run(2).stopping(end(Outcome::Succeeded)))
        .with(run(3))
        .seeing(1, running(0))
        .seeing(2, running(0));
    let plan = plan(&world);
    assert_eq!(steps(&plan), []);
    let why = "project p1 uses 2 of the 1 slot of pool local that it may, and it takes 1";
    assert_eq!(waiting(&plan), [(3, why.to_owned())]);
}
