//! What the simulation cannot know: who goes first, what is borne, and in which words.

mod fixtures;
mod limits;
mod quotas;
mod reuse;

use assay_scheduler::{
    Attempt, AttemptSeen, Canary, Cause, Event, Exit, Loss, Observed, Obstacle, Outcome, Patience,
    Pause, Plan, RunId, State, Sweep, SweepId, Time, Urgency, Verb, plan,
};

use crate::fixtures::*;

#[test]
fn nothing_is_planned_for_a_pool_that_did_not_answer() {
    let mut world = world(4)
        .with(run(1).leased())
        .with(run(2).started(expired()))
        .with(run(3).stopping(end(Outcome::Succeeded)))
        .with(run(4));
    world.pools.insert(LOCAL, unreachable_pool());
    let plan = plan(&world);
    assert_eq!((steps(&plan), actions(&plan)), (vec![], vec![]));
    assert_eq!(waiting(&plan), [(4, "pool local cannot be reached: connection refused".into())]);
}

#[test]
fn an_attempt_is_created_until_it_is_seen_or_speaks() {
    let absent = world(4).with(run(1).leased());
    assert_eq!(actions(&plan(&absent)), [(1, Verb::Ensure)]);

    let seen = world(4).with(run(1).leased()).seeing(1, starting());
    assert_eq!(actions(&plan(&seen)), [(1, Verb::Ensure)], "a part of it may be missing");

    let runs = world(4).with(run(1).leased()).seeing(1, running(NOW.0));
    assert_eq!(plan(&runs), Plan::default());

    let spoke_and_vanished = world(4).with(run(1).started(in_time()));
    assert_eq!(lost(&plan(&spoke_and_vanished)), [(1, Loss::Vanished)]);
}

#[test]
fn a_run_that_is_heard_of_is_left_alone() {
    let world = world(4).with(run(1).started(in_time())).seeing(1, running(0));
    assert_eq!(plan(&world), Plan::default());
}

#[test]
fn a_silent_worker_loses_its_lease() {
    let world = world(4).with(run(1).started(expired())).seeing(1, running(0));
    assert_eq!(lost(&plan(&world)), [(1, Loss::LeaseExpired)]);
}

#[test]
fn silence_counts_only_if_somebody_could_hear_for_a_whole_lease_time() {
    let mut world = world(4)
        .with(run(1).started(expired()))
        .with(run(2).leased())
        .seeing(1, running(0))
        .seeing(2, running(0));
    world.reports_since = Time(NOW.0 - 29_999);
    assert_eq!(plan(&world), Plan::default());
    world.reports_since = Time(NOW.0 - 30_000);
    assert_eq!(lost(&plan(&world)), [(1, Loss::LeaseExpired), (2, Loss::NeverStarted)]);
}

#[test]
fn a_worker_has_one_lease_time_to_start_in() {
    for (since, expected) in
        [(NOW.0 - 29_999, vec![]), (NOW.0 - 30_000, vec![(1, Loss::NeverStarted)])]
    {
        let world = world(4).with(run(1).leased()).seeing(1, running(since));
        assert_eq!(lost(&plan(&world)), expected, "running since {since}");
    }
}

#[test]
fn a_clock_that_lags_makes_no_attempt_older_than_its_placement() {
    let placed_at = Time(NOW.0 - 1);
    let mut young = run(1);
    young.standing.state = State::Leased { attempt: ONE, placed_at, lease: None };
    let world = world(4).with(young).seeing(1, running(0));
    assert_eq!(plan(&world), Plan::default());
}

#[test]
fn before_the_start_being_held_back_is_waiting() {
    for (held_back, why) in [(suspended(), "no quota"), (starting(), "pulling the image")] {
        let world = world(4).with(run(1).leased()).seeing(1, held_back);
        let plan = plan(&world);
        assert_eq!(plan.steps, []);
        assert_eq!(waiting(&plan), [(1, why.to_owned())]);
    }
}

#[test]
fn what_cannot_begin_is_waited_for_as_long_as_its_kind_deserves() {
    let patience = Patience::default();
    let table = [
        (Obstacle::Image, patience.image_ms),
        (Obstacle::Config, patience.config_ms),
        (Obstacle::Unschedulable, patience.unschedulable_ms),
        (Obstacle::Refused, patience.refused_ms),
    ];
    for (obstacle, patience_ms) in table {
        let since = Time(0);
        let mut world = world(4).with(run(1).leased()).seeing(1, stuck(obstacle, since));
        world.now = Time(patience_ms.cast_signed() - 1);
        let early = plan(&world);
        assert_eq!((steps(&early), waiting(&early)), (vec![], vec![(1, "it is stuck".into())]));
        world.now = Time(patience_ms.cast_signed());
        assert_eq!(lost(&plan(&world)), [(1, Loss::Stuck(obstacle))]);
    }
}

#[test]
fn once_its_worker_has_spoken_only_its_silence_counts() {
    let stuck = stuck(Obstacle::Config, Time(0));
    let heard = world(4).with(run(1).started(in_time())).seeing(1, stuck.clone());
    assert_eq!(plan(&heard), Plan::default());
    let silent = world(4).with(run(1).started(expired())).seeing(1, stuck);
    assert_eq!(lost(&plan(&silent)), [(1, Loss::LeaseExpired)]);
}

#[test]
fn a_run_goes_on_without_its_lost_node_whose_slots_stay_taken() {
    for run in [run(1).leased(), run(1).started(in_time())] {
        let world = world(4).with(run).seeing(1, AttemptSeen::NodeLost);
        assert_eq!(lost(&plan(&world)), [(1, Loss::NodeLost)]);
    }
    let fenced = run(1).stopping(again(Cause::Infrastructure));
    let fenced = world(4).with(fenced).seeing(1, AttemptSeen::NodeLost);
    assert_eq!(steps(&plan(&fenced)), [(1, Event::Gone { attempt: ONE })]);

    // attempt 1 took 3 of 4 slots, and nobody knows its run any more
    let mut left = world(4).with(run(2).taking(2)).seeing(1, AttemptSeen::NodeLost);
    left.pools.get_mut(&LOCAL).unwrap().slots.insert((RunId(1), ONE), 3);
    assert_eq!(placed(&plan(&left)), []);
    assert_eq!(actions(&plan(&left)), [(1, Verb::Delete)]);
}

#[test]
fn a_deadline_ends_a_run_that_left_in_time_to_be_queued_again() {
    let deadline = Exit::Deadline;
    let lost_to_it = vec![(1, Loss::Ended(deadline))];
    for then in [again(Cause::Preempted), again(Cause::Error), again(Cause::Infrastructure)] {
        let world = world(4).with(run(1).stopping(then)).seeing(1, ended(deadline));
        assert_eq!(lost(&plan(&world)), lost_to_it);
    }
    let succeeded = world(4).with(run(1).stopping(end(Outcome::Succeeded)));
    let succeeded = succeeded.seeing(1, ended(deadline));
    assert_eq!(steps(&plan(&succeeded)), [(1, Event::Gone { attempt: ONE })]);
}

#[test]
fn after_the_start_being_suspended_is_making_room() {
    let world = world(4).with(run(1).started(in_time())).seeing(1, suspended());
    assert_eq!(lost(&plan(&world)), [(1, Loss::Suspended)]);
}

#[test]
fn an_end_without_a_record_is_a_loss() {
    for run in [run(1).leased(), run(1).started(in_time())] {
        let world = world(4).with(run).seeing(1, ended(Exit::Code(0)));
        let plan = plan(&world);
        assert_eq!(lost(&plan), [(1, Loss::Ended(Exit::Code(0)))]);
        assert_eq!(actions(&plan), [], "its end is not deleted before it is stored");
    }
}

#[test]
fn slots_come_back_when_the_attempt_is_gone() {
    let gone = Event::Gone { attempt: ONE };
    let absent = world(1).with(run(1).stopping(end(Outcome::Succeeded)));
    let ended = absent.clone().seeing(1, ended(Exit::Code(0)));
    for world in [absent, ended] {
        let plan = plan(&world.with(run(2)));
        assert_eq!(steps(&plan), [(1, gone)], "and are given away once that is committed");
        assert_eq!(waiting(&plan).len(), 1);
        assert_eq!(actions(&plan), []);
    }
}

#[test]
fn whoever_listens_may_save_a_checkpoint_and_whoever_leaves_is_let_go() {
    let (gracefully, at_once) = (Some(Urgency::Gracefully), Some(Urgency::AtOnce));
    let table = [
        (again(Cause::Preempted), gracefully, gracefully),
        (again(Cause::Error), None, gracefully),
        (again(Cause::Infrastructure), at_once, at_once),
        (end(Outcome::Succeeded), None, gracefully),
        (end(Outcome::Diverged), None, gracefully),
        (end(Outcome::StoppedEarly), gracefully, gracefully),
        (end(Outcome::Failed), None, gracefully),
        (end(Outcome::Cancelled), at_once, at_once),
    ];
    for (then, first, later) in table {
        for (waited_ms, urgency) in [(9_999, first), (10_000, later)] {
            for alive in [starting(), running(0)] {
                let mut stopping = run(1).stopping(then);
                let since = Time(NOW.0 - waited_ms);
                stopping.standing.state = State::Stopping { attempt: ONE, since, then };
                let plan = plan(&world(4).with(stopping).seeing(1, alive));
                let expected: Vec<_> =
                    urgency.map(|urgency| (1, Verb::Stop(urgency))).into_iter().collect();
                assert_eq!(
                    (steps(&plan), actions(&plan)),
                    (vec![], expected),
                    "{then:?} {waited_ms}"
                );
            }
        }
    }
}

#[test]
fn whoever_takes_too_long_is_stopped_at_once() {
    for (waited_ms, urgency) in [(59_999, Urgency::Gracefully), (60_000, Urgency::AtOnce)] {
        let mut slow = run(1).stopping(again(Cause::Preempted));
        let since = Time(NOW.0 - waited_ms);
        slow.standing.state =
            State::Stopping { attempt: ONE, since, then: again(Cause::Preempted) };
        let world = world(4).with(slow).seeing(1, running(0));
        assert_eq!(actions(&plan(&world)), [(1, Verb::Stop(urgency))], "{waited_ms}");
    }
}

#[test]
fn what_is_suspended_is_deleted_before_its_pool_lets_it_go() {
    let world = world(4).with(run(1).stopping(end(Outcome::Cancelled))).seeing(1, suspended());
    let plan = plan(&world);
    assert_eq!((steps(&plan), actions(&plan)), (vec![], vec![(1, Verb::Delete)]));
}

#[test]
fn what_nobody_claims_is_deleted() {
    let mut world = world(4)
        .with(run(1).leased())
        .with(run(2).done(Outcome::Succeeded))
        .seeing(1, running(NOW.0))
        .seeing(2, ended(Exit::Code(0)))
        .seeing(3, running(0));
    let old = (RunId(1), Attempt(0));
    if let Observed::Known(seen) = &mut world.pools.get_mut(&LOCAL).unwrap().observed {
        seen.insert(old, running(0));
    }
    let plan = plan(&world);
    let deleted: Vec<_> =
        plan.actions.iter().map(|action| (action.run.0, action.attempt.0)).collect();
    assert_eq!(deleted, [(1, 0), (2, 1), (3, 1)]);
    assert!(plan.actions.iter().all(|action| action.verb == Verb::Delete && action.pool == LOCAL));
    assert_eq!(plan.steps, []);
}

#[test]
fn an_attempt_is_claimed_in_the_pool_of_its_run_alone() {
    let mut elsewhere = run(1).leased();
    elsewhere.spec.pool = CLUSTER;
    let world =
        world(4).with_pool(CLUSTER, pool("cluster", 4)).with(elsewhere).seeing(1, running(0));
    let verbs: Vec<_> = plan(&world).actions.iter().map(|a| (a.pool, a.verb)).collect();
    assert_eq!(verbs, [(CLUSTER, Verb::Ensure), (LOCAL, Verb::Delete)]);
}

#[test]
fn priority_then_equal_shares_then_the_older_sweep_and_its_order() {
    let mut younger = run(1);
    younger.spec.sweep = NEW_SWEEP;
    let mut urgent = run(2);
    urgent.spec.sweep = NEW_SWEEP;
    urgent.spec.priority = 1;
    let world = world(9).with(younger).with(urgent).with(run(3).ordered(7)).with(run(4).ordered(5));
    // 2 is urgent and holds a slot then, so the other sweep takes its turn; at a tie it is the older
    assert_eq!(placed(&plan(&world)), [2, 4, 3, 1]);
}

#[test]
fn sweeps_of_one_priority_get_equal_shares() {
    let of_new = |id| run(id).of(NEW_SWEEP);
    let mut world = world(6).with(run(1).started(in_time()).taking(2)).seeing(1, running(0));
    for id in 2..6 {
        world = world.with(run(id));
    }
    for id in 6..10 {
        world = world.with(of_new(id));
    }
    // the older sweep holds two: the younger catches up, then they take turns
    assert_eq!(placed(&plan(&world)), [6, 7, 2, 8]);
}

#[test]
fn the_head_blocks_the_rest_of_its_pool_and_no_other() {
    let mut elsewhere = run(5);
    elsewhere.spec.pool = CLUSTER;
    let world = world(3)
        .with_pool(CLUSTER, pool("cluster", 1))
        .with(run(1).taking(2))
        .with(run(2).taking(2))
        .with(run(3))
        .with(elsewhere);
    let plan = plan(&world);
    assert_eq!(placed(&plan), [1, 5]);
    assert_eq!(
        waiting(&plan),
        [
            (2, "pool local has 1 of 3 slots free, and it takes 2".into()),
            (3, "behind sweep/2 in the queue".into()), // it would fit
        ]
    );
}

#[test]
fn whoever_waits_for_something_else_blocks_nobody() {
    let mut world = world(2)
        .with(run(1).taking(3))
        .with(run(2).needing(9, None))
        .with(run(3).not_before(Time(NOW.0 + 1)))
        .with_sweep(SweepId(5), Sweep { pause: Some(Pause::Placing), ..sweep_of(0) })
        .with_sweep(SweepId(6), Sweep { parallel: Some(1), ..sweep_of(0) })
        .with(run(4).of(SweepId(5)))
        .with(run(5).of(SweepId(6)))
        .with(run(6).of(SweepId(6)))
        .with(run(7).nowhere());
    world.runs.get_mut(&RunId(7)).unwrap().spec.order = 0;
    let plan = plan(&world.with(run(8)));
    assert_eq!(placed(&plan), [5, 8]);
    let expected = [
        (4, "its sweep is paused"),
        (7, "its pool does not exist here"),
        (1, "it takes 3 slots, and pool local has only 2"),
        (2, "waits for sweep/9 to succeed"),
        (3, "waits until 00:16:41 UTC before the next try"),
        (6, "its sweep may run 1 at a time, and as many are active"),
    ];
    assert_eq!(waiting(&plan), expected.map(|(id, why)| (id, why.to_owned())));
}

#[test]
fn a_run_waits_for_the_canary_of_its_shape_and_blocks_nobody_meanwhile() {
    let canary = |has_failed| Canary {
        shape: "llama-8b/4096".to_owned(),
        name: "sweep/1".to_owned(),
        has_failed,
    };
    let mut world = world(4).with(run(1)).with(run(2).ordered(0)).with(run(3).needing(9, None));
    world.canaries.insert(RunId(2), canary(false));
    world.canaries.insert(RunId(3), canary(false));
    let going = plan(&world);
    assert_eq!(placed(&going), [1]);
    let expected =
        ["waits for the canary of llama-8b/4096: sweep/1", "waits for sweep/9 to succeed"];
    assert_eq!(waiting(&going), [(2, expected[0].into()), (3, expected[1].into())]);

    world.runs.remove(&RunId(1));
    world.canaries.insert(RunId(2), canary(true));
    let failed = "the canary of llama-8b/4096 has failed: sweep/1; retry it once that is mended, or apply \
                  with `canary: false`";
    assert_eq!(waiting(&plan(&world)), [(2, failed.into()), (3, expected[1].into())]);
    world.canaries.clear();
    assert_eq!(placed(&plan(&world)), [2]);
}

#[test]
fn a_pause_takes_what_runs_along_only_if_it_says_so() {
    let runs = |pause| {
        let sweep = Sweep { pause, ..sweep_of(1) };
        let world = world(4)
            .with_sweep(OLD_SWEEP, sweep)
            .with(run(1).started(in_time()))
            .with(run(2).leased())
            .with(run(3).started(in_time()))
            .with(run(4).of(NEW_SWEEP).started(in_time()))
            .with(run(5).stopping(again(Cause::Preempted)));
        world.seeing(1, running(0)).seeing(3, ended(Exit::Signal(9))).seeing(4, running(0))
    };
    let lost = (3, Event::Lost { attempt: ONE, how: Loss::Ended(Exit::Signal(9)) });
    let gone = (5, Event::Gone { attempt: ONE });
    assert_eq!(steps(&plan(&runs(Some(Pause::Placing)))), [lost, gone]);

    let mut world = runs(Some(Pause::Running));
    let preempted = [(1, Event::Preempt), (2, Event::Preempt), lost, gone];
    assert_eq!(steps(&plan(&world)), preempted, "what was just placed, too; a loss stays one");
    world.pools.insert(LOCAL, unreachable_pool());
    assert_eq!(steps(&plan(&world)), []);
}

#[test]
fn stopping_runs_count_against_the_parallel_limit() {
    let sweep = Sweep { parallel: Some(2), ..sweep_of(0) };
    let world = world(9)
        .with_sweep(OLD_SWEEP, sweep)
        .with(run(1).started(in_time()))
        .with(run(2).stopping(end(Outcome::Succeeded)))
        .with(run(3))
        .seeing(1, running(0))
        .seeing(2, running(0));
    let plan = plan(&world);
    assert_eq!(placed(&plan), []);
    assert_eq!(
        waiting(&plan),
        [(3, "its sweep may run 2 at a time, and as many are active".into())]
    );
}

#[test]
fn a_wait_is_over_when_the_clock_was_set_back() {
    let longest = Time(NOW.0 + 5 * 60_000);
    assert_eq!(placed(&plan(&world(1).with(run(1).not_before(longest)))), []);
    let further = Time(longest.0 + 1);
    assert_eq!(placed(&plan(&world(1).with(run(1).not_before(further)))), [1]);
}

#[test]
fn a_wait_is_over_when_its_time_has_come() {
    let world = world(1).with(run(1).not_before(NOW));
    assert_eq!(placed(&plan(&world)), [1]);
}

#[test]
fn a_run_follows_what_it_needs() {
    let table = [
        (None, vec![]),
        (Some(Outcome::Succeeded), vec![(1, Event::Place)]),
        (Some(Outcome::Failed), vec![(1, Event::NeedEnded)]),
        (Some(Outcome::Cancelled), vec![(1, Event::NeedEnded)]),
        (Some(Outcome::Diverged), vec![(1, Event::NeedEnded)]),
        (Some(Outcome::StoppedEarly), vec![(1, Event::NeedEnded)]),
    ];
    for (outcome, expected) in table {
        let plan = plan(&world(4).with(run(1).needing(9, outcome)));
        assert_eq!(steps(&plan), expected, "{outcome:?}");
        assert_eq!(plan.waiting.len(), usize::from(outcome.is_none()));
    }
}

#[test]
fn one_failed_need_is_enough_and_all_must_succeed() {
    let mut world = world(4).with(run(1).needing(9, Some(Outcome::Succeeded)));
    world.needs.get_mut(&RunId(1)).unwrap().push(need(8, None));
    assert_eq!(waiting(&plan(&world)), [(1, "waits for sweep/8 to succeed".into())]);
    world.needs.get_mut(&RunId(1)).unwrap().push(need(7, Some(Outcome::Failed)));
    assert_eq!(steps(&plan(&world)), [(1, Event::NeedEnded)]);
}

#[test]
fn a_run_cancelled_for_its_need_returns_with_it() {
    for (outcome, expected) in [
        (Some(Outcome::Failed), vec![]),
        (None, vec![(1, Event::NeedRetried)]),
        (Some(Outcome::Succeeded), vec![(1, Event::NeedRetried)]),
    ] {
        let cancelled = run(1).done(Outcome::Cancelled);
        let world = world(4).with(Fixture { needs: vec![need(9, outcome)], ..cancelled });
        assert_eq!(steps(&plan(&world)), expected, "{outcome:?}");
    }
}

#[test]
fn an_attempt_that_its_pool_holds_back_uses_no_slot_yet() {
    let world =
        world(2).with(run(1).leased().taking(2)).seeing(1, suspended()).with(run(2).taking(2));
    assert_eq!(placed(&plan(&world)), [2]);
}

#[test]
fn a_pool_that_holds_everything_back_gets_no_more_than_twice_its_slots() {
    let world = world(2)
        .with(run(1).leased().taking(2))
        .with(run(2).leased().taking(2))
        .seeing(1, suspended())
        .seeing(2, suspended())
        .with(run(3));
    assert_eq!(
        waiting(&plan(&world)).last(),
        Some(&(3, "pool local has 0 of 2 slots free, and it takes 1".into()))
    );
}

#[test]
fn a_leftover_uses_slots_until_it_is_gone() {
    let unknown = world(1).seeing(9, running(0)).with(run(1));
    assert_eq!(placed(&plan(&unknown)), []);
    let ended = world(1).seeing(9, ended(Exit::Unknown)).with(run(1));
    assert_eq!(placed(&plan(&ended)), [1]);
}

#[test]
fn a_pool_that_shrank_takes_nothing_new() {
    let world = world(1)
        .with(run(1).started(in_time()).taking(1))
        .with(run(2).started(in_time()))
        .seeing(1, running(0))
        .seeing(2, running(0))
        .with(run(3));
    let plan = plan(&world);
    assert_eq!(plan.steps, []);
    assert_eq!(waiting(&plan), [(3, "pool local has 0 of 1 slot free, and it takes 1".into())]);
}
