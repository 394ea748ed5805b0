//! What a sweep may use, and how often it may fail alike.

use assay_scheduler::{
    Cause, Event, Exit, Loss, Outcome, Pause, Plan, SameError, SlotTime, Sweep, SweepId, Verb,
    World, plan,
};

use crate::fixtures::*;

const HOUR_MS: u64 = 3_600_000;
const SPENT: &str = "its sweep has used its 200 GPU hours; raise limits.gpu_hours and apply again";

fn using(used_ms: u64) -> Sweep {
    Sweep { slot_time: Some(SlotTime { limit_ms: 200 * HOUR_MS, used_ms }), ..sweep_of(0) }
}

fn failing(runs: u32) -> Sweep {
    Sweep { same_error: Some(SameError { limit: 3, runs }), ..sweep_of(0) }
}

/// One run that is at work, one that its pool has not begun, and one in the queue.
fn busy(sweep: Sweep) -> World {
    world(9)
        .with_sweep(OLD_SWEEP, sweep)
        .with(run(1).started(in_time()))
        .with(run(2).leased())
        .with(run(3))
        .seeing(1, running(0))
        .seeing(2, suspended())
}

#[test]
fn a_sweep_that_has_used_its_time_makes_room_and_says_so() {
    let one_left = plan(&busy(using(200 * HOUR_MS - 1)));
    assert_eq!(steps(&one_left), [(3, Event::Place)]);
    let spent = plan(&busy(using(200 * HOUR_MS)));
    assert_eq!(steps(&spent), [(1, Event::Preempt), (2, Event::Preempt)]);
    assert_eq!((actions(&spent), waiting(&spent)), (vec![], vec![(3, SPENT.to_owned())]));
}

#[test]
fn another_sweep_takes_the_slots_of_one_that_has_used_its_time() {
    let world = busy(using(200 * HOUR_MS)).with(run(4).of(NEW_SWEEP));
    assert_eq!(placed(&plan(&world)), [4]);
}

#[test]
fn what_ends_by_itself_is_not_asked_to_make_room() {
    let ended_badly = world(9)
        .with_sweep(OLD_SWEEP, using(200 * HOUR_MS))
        .with(run(1).started(in_time()))
        .with(run(2).stopping(end(Outcome::Succeeded)))
        .with(run(3).stopping(again(Cause::Preempted)))
        .seeing(1, ended(Exit::Code(1)))
        .seeing(2, ended(Exit::Code(0)))
        .seeing(3, running(0));
    let plan = plan(&ended_badly);
    let lost = Event::Lost { attempt: ONE, how: Loss::Ended(Exit::Code(1)) };
    assert_eq!(steps(&plan), [(1, lost), (2, Event::Gone { attempt: ONE })]);
    assert_eq!(actions(&plan).len(), 1, "3 was asked already, and is stopped");
}

#[test]
fn nobody_is_asked_to_make_room_in_a_pool_that_does_not_answer() {
    let mut world = busy(using(200 * HOUR_MS));
    world.pools.insert(LOCAL, unreachable_pool());
    assert_eq!(steps(&plan(&world)), []);
}

#[test]
fn hours_are_told_as_they_are_written() {
    for (limit_ms, expected) in [(HOUR_MS / 20, "0.05"), (HOUR_MS * 5 / 2, "2.5"), (36_000, "0.01")]
    {
        let slot_time = Some(SlotTime { limit_ms, used_ms: limit_ms });
        let world = world(1).with_sweep(OLD_SWEEP, Sweep { slot_time, ..sweep_of(0) }).with(run(1));
        let said = waiting(&plan(&world)).remove(0).1;
        assert!(said.contains(&format!("used its {expected} GPU hours")), "{said}");
    }
}

#[test]
fn the_third_run_that_fails_alike_pauses_its_sweep_and_nothing_else() {
    let few = plan(&busy(failing(2)).with(run(4).of(NEW_SWEEP)));
    assert_eq!((placed(&few), few.pauses), (vec![4, 3], vec![]), "by equal shares");
    let paused = plan(&busy(failing(3)).with(run(4).of(NEW_SWEEP)));
    assert_eq!((placed(&paused), &paused.pauses), (vec![4], &vec![OLD_SWEEP]));
    assert_eq!(waiting(&paused).last(), Some(&(3, "its sweep is paused".to_owned())));
    assert_eq!(actions(&paused), [(2, Verb::Ensure)], "what is placed goes on");
}

#[test]
fn a_sweep_that_is_paused_is_not_paused_again() {
    let paused = Sweep { pause: Some(Pause::Placing), ..failing(5) };
    let plan = plan(&world(1).with_sweep(SweepId(7), paused).with(run(1).of(SweepId(7))));
    assert_eq!((plan.pauses, plan.steps), (vec![], Plan::default().steps));
}
