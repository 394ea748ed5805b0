//! Runs whose result another run has.

use assay_scheduler::{Event, Outcome, Pause, SlotTime, Sweep, Time, plan};

use crate::fixtures::*;

#[test]
fn what_has_been_trained_takes_no_slot_and_waits_for_none() {
    let world = world(1)
        .with(run(1).started(in_time()))
        .with(run(2))
        .with(run(3).not_before(Time(NOW.0 + 60_000)))
        .with(run(4))
        .seeing(1, running(0))
        .reusing(2)
        .reusing(3);
    let plan = plan(&world);
    assert_eq!(steps(&plan), [(2, Event::Reuse), (3, Event::Reuse)]);
    let full = "pool local has 0 of 1 slot free, and it takes 1".to_owned();
    assert_eq!(waiting(&plan), [(4, full)]);
}

#[test]
fn a_result_needs_no_pool_that_answers_and_no_time_that_is_left() {
    let spent = Sweep { slot_time: Some(SlotTime { limit_ms: 1, used_ms: 1 }), ..sweep_of(0) };
    let mut world = world(1).with_sweep(OLD_SWEEP, spent).with(run(1)).reusing(1);
    world.pools.insert(LOCAL, unreachable_pool());
    let plan = plan(&world);
    assert_eq!(steps(&plan), [(1, Event::Reuse)]);
    assert_eq!((waiting(&plan), plan.spent), (vec![], vec![]), "nobody is told that it waits");
}

#[test]
fn nothing_of_a_paused_sweep_is_reused_and_nothing_before_its_data_is_known() {
    let paused = Sweep { pause: Some(Pause::Placing), ..sweep_of(0) };
    let waits = world(1).with_sweep(OLD_SWEEP, paused).with(run(1)).reusing(1);
    assert_eq!(steps(&plan(&waits)), []);
    assert_eq!(waiting(&plan(&waits)), [(1, "its sweep is paused".to_owned())]);
    let early = world(1).with(run(2).needing(9, None)).reusing(2);
    assert_eq!(waiting(&plan(&early)), [(2, "waits for sweep/9 to succeed".to_owned())]);
    let hopeless = world(1).with(run(2).needing(9, Some(Outcome::Failed))).reusing(2);
    assert_eq!(steps(&plan(&hopeless)), [(2, Event::NeedEnded)]);
}

#[test]
fn what_is_at_work_is_not_linked() {
    let world = world(2).with(run(1).started(in_time())).seeing(1, running(0)).reusing(1);
    assert_eq!(steps(&plan(&world)), []);
}
