//! The life of one run, as a specification: which steps are legal, where they lead, and how often
//! what is tried again.

use assay_scheduler::{
    Attempt, Cause, ErrorSeen, Event, Exit, Finish, Loss, Obstacle, Outcome, Remedy, Standing,
    State, Then, Time, Tries, WorkerError,
};

const ONE: Attempt = Attempt(1);
const TWO: Attempt = Attempt(2);
const NOW: Time = Time(1_000_000);
const LEASE_ENDS: Time = Time(1_030_000);

/// `-` is illegal, `same` is legal and changes nothing. `again:` is stopping to be queued again,
/// `end:` is stopping to be done. Budgets are full.
const TABLE: [&str; 3] = [
    "
    | what the loop says  | place  | reuse          | vanished    | exit 1      | suspended     | gone              | need ended     | need retried |
    | queued              | leased | done:succeeded | -           | -           | -             | -                 | done:cancelled | -            |
    | leased              | -      | -              | again:infra | again:error | again:preempt | -                 | -              | -            |
    | started             | -      | -              | again:infra | again:error | again:preempt | -                 | -              | -            |
    | again:error         | -      | -              | -           | -           | -             | queued            | -              | -            |
    | again:infra         | -      | -              | -           | -           | -             | queued            | -              | -            |
    | again:preempt       | -      | -              | -           | -           | -             | queued            | -              | -            |
    | end:succeeded       | -      | -              | -           | -           | -             | done:succeeded    | -              | -            |
    | end:diverged        | -      | -              | -           | -           | -             | done:diverged     | -              | -            |
    | end:failed          | -      | -              | -           | -           | -             | done:failed       | -              | -            |
    | end:cancelled       | -      | -              | -           | -           | -             | done:cancelled    | -              | -            |
    | end:stopped_early   | -      | -              | -           | -           | -             | done:stopped_early| -              | -            |
    | done:succeeded      | -      | -              | -           | -           | -             | -                 | -              | -            |
    | done:diverged       | -      | -              | -           | -           | -             | -                 | -              | -            |
    | done:failed         | -      | -              | -           | -           | -             | -                 | -              | -            |
    | done:cancelled      | -      | -              | -           | -           | -             | -                 | -              | queued       |
    | done:stopped_early  | -      | -              | -           | -           | -             | -                 | -              | -            |
    ",
    "
    | what its worker says | start   | checkpoint | success       | diverged     | crash       | bad data   | preempted     |
    | queued               | -       | -          | -             | -            | -           | -          | -             |
    | leased               | started | same       | end:succeeded | end:diverged | again:error | end:failed | again:preempt |
    | started              | -       | same       | end:succeeded | end:diverged | again:error | end:failed | again:preempt |
    | again:error          | -       | same       | end:succeeded | end:diverged | same        | same       | same          |
    | again:infra          | -       | same       | end:succeeded | end:diverged | again:error | end:failed | same          |
    | again:preempt        | -       | same       | end:succeeded | end:diverged | again:error | end:failed | same          |
    | end:succeeded        | -       | same       | same          | same         | same        | same       | same          |
    | end:diverged         | -       | same       | same          | same         | same        | same       | same          |
    | end:failed           | -       | same       | end:succeeded | end:diverged | same        | same       | same          |
    | end:cancelled        | -       | same       | same          | same         | same        | same       | same          |
    | end:stopped_early    | -       | same       | same          | same         | same        | same       | same          |
    | done:succeeded       | -       | -          | -             | -            | -           | -          | -             |
    | done:diverged        | -       | -          | -             | -            | -           | -          | -             |
    | done:failed          | -       | -          | -             | -            | -           | -          | -             |
    | done:cancelled       | -       | -          | -             | -            | -           | -          | -             |
    | done:stopped_early   | -       | -          | -             | -            | -           | -          | -             |
    ",
    "
    | what people say     | cancel         | stop early         | preempt       | retry  | renew  |
    | queued              | done:cancelled | done:stopped_early | -             | -      | -      |
    | leased              | end:cancelled  | end:stopped_early  | again:preempt | -      | -      |
    | started             | end:cancelled  | end:stopped_early  | again:preempt | -      | -      |
    | again:error         | end:cancelled  | end:stopped_early  | -             | -      | -      |
    | again:infra         | end:cancelled  | end:stopped_early  | -             | -      | -      |
    | again:preempt       | end:cancelled  | end:stopped_early  | -             | -      | -      |
    | end:succeeded       | -              | -                  | -             | -      | -      |
    | end:diverged        | -              | -                  | -             | -      | -      |
    | end:failed          | -              | -                  | -             | -      | -      |
    | end:cancelled       | -              | -                  | -             | -      | -      |
    | end:stopped_early   | -              | -                  | -             | -      | -      |
    | done:succeeded      | -              | -                  | -             | -      | queued |
    | done:diverged       | -              | -                  | -             | queued | -      |
    | done:failed         | -              | -                  | -             | queued | -      |
    | done:cancelled      | -              | -                  | -             | queued | -      |
    | done:stopped_early  | -              | -                  | -             | queued | -      |
    ",
];

#[test]
fn every_pair_is_decided() {
    let mut pairs = 0;
    for table in TABLE {
        let mut lines = table.lines().map(cells).filter(|cells| !cells.is_empty());
        let header = lines.next().unwrap();
        let states: Vec<_> = lines.collect();
        assert_eq!(states.len(), 16, "every state has its line");
        for line in states {
            assert_eq!(line.len(), header.len(), "{line:?}");
            for (event_name, expected) in header.iter().zip(&line).skip(1) {
                let from = Standing { state: state(line[0]), tries: Tries::default() };
                let found = from.step(NOW, event(event_name)).map(|to| to.state);
                let found = match found {
                    Ok(state) if *expected == "same" => {
                        assert_eq!(state, from.state);
                        "same".to_owned()
                    }
                    Ok(state) => name(state),
                    Err(_) => "-".to_owned(),
                };
                assert_eq!(&found, expected, "{} + {event_name}", line[0]);
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 16 * 20);
}

#[test]
fn a_stale_attempt_changes_nothing() {
    for stale in [Attempt(0), TWO] {
        for event in [
            Event::Start { attempt: stale, lease_ends: LEASE_ENDS },
            Event::CheckpointAccepted { attempt: stale },
            Event::Finish { attempt: stale, how: Finish::Success },
            Event::Lost { attempt: stale, how: Loss::Vanished },
            Event::Gone { attempt: stale },
        ] {
            for state_name in ["queued", "leased", "started", "again:infra", "end:cancelled"] {
                let state = state(state_name);
                let standing = Standing { state, tries: Tries::default() };
                assert!(standing.step(NOW, event).is_err(), "{state_name} + {event:?}");
            }
        }
    }
}

#[test]
fn attempts_are_counted_on_through_everything() {
    let placed_at = NOW;
    let first = [Event::Place];
    let leased = State::Leased { attempt: ONE, placed_at, lease: None };
    assert_eq!(after(&first).state, leased);

    let requeued = [Event::Place, lost(ONE, Loss::Suspended), gone(ONE)];
    assert_eq!(after(&requeued).state, State::Queued { next: TWO, not_before: NOW });

    let retried = [Event::Place, Event::Cancel, gone(ONE), Event::Retry];
    assert_eq!(after(&retried).state, State::Queued { next: TWO, not_before: Time::ALWAYS });

    let never_placed = [Event::Cancel, Event::Retry];
    assert_eq!(after(&never_placed), Standing::NEW);
}

#[test]
fn stopping_knows_since_when() {
    let leased = Standing { state: state("started"), tries: Tries::default() };
    let stopping = leased.step(Time(7), Event::Preempt).unwrap();
    let requeue = Then::Requeue { cause: Cause::Preempted };
    assert_eq!(stopping.state, State::Stopping { attempt: ONE, since: Time(7), then: requeue });
}

#[test]
fn crashes_are_retried_twice() {
    let crash = |step, attempt| finish(attempt, error(step, Remedy::Retry));
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| crash(1, attempt)), "queued");
    assert_eq!(life.attempt(|attempt| crash(2, attempt)), "queued");
    assert_eq!(life.attempt(|attempt| crash(3, attempt)), "done:failed");
}

#[test]
fn the_same_error_at_the_same_step_is_final() {
    let crash = |step, attempt| finish(attempt, error(step, Remedy::Retry));
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| crash(500, attempt)), "queued");
    assert_eq!(life.attempt(|attempt| lost(attempt, Loss::Vanished)), "queued");
    assert_eq!(life.attempt(|attempt| crash(500, attempt)), "done:failed");
}

#[test]
fn another_error_at_the_same_step_is_not_the_same() {
    let crash = |signature, attempt| {
        finish(attempt, Finish::Error(WorkerError { step: 5, signature, remedy: Remedy::Retry }))
    };
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| crash(1, attempt)), "queued");
    assert_eq!(life.attempt(|attempt| crash(2, attempt)), "queued");
}

#[test]
fn bad_data_is_final_at_once() {
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| finish(attempt, error(1, Remedy::None))), "done:failed");
}

#[test]
fn infrastructure_is_retried_five_times() {
    let mut life = Life::new();
    for _ in 0..5 {
        assert_eq!(life.attempt(|attempt| lost(attempt, Loss::LeaseExpired)), "queued");
    }
    assert_eq!(life.attempt(|attempt| lost(attempt, Loss::Vanished)), "done:failed");
}

#[test]
fn errors_and_infrastructure_have_budgets_of_their_own() {
    let mut life = Life::new();
    for step in 1..=2 {
        assert_eq!(life.attempt(|attempt| finish(attempt, error(step, Remedy::Retry))), "queued");
    }
    for _ in 0..5 {
        assert_eq!(life.attempt(|attempt| lost(attempt, Loss::Vanished)), "queued");
    }
    assert_eq!(
        life.standing.tries,
        Tries {
            errors: 2,
            infrastructure: 5,
            last_error: Some(ErrorSeen { step: 2, signature: 9 })
        }
    );
}

#[test]
fn making_room_costs_nothing() {
    let mut life = Life::new();
    for _ in 0..100 {
        assert_eq!(life.attempt(|_| Event::Preempt), "queued");
        assert_eq!(life.attempt(|attempt| finish(attempt, Finish::Preempted)), "queued");
        assert_eq!(life.attempt(|attempt| lost(attempt, Loss::Suspended)), "queued");
    }
    assert_eq!(life.standing.tries, Tries::default());
}

#[test]
fn a_checkpoint_fills_the_budgets_again_and_forgets_no_error() {
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| finish(attempt, error(500, Remedy::Retry))), "queued");
    assert_eq!(life.attempt(|attempt| lost(attempt, Loss::Vanished)), "queued");

    let place = life.standing.step(NOW, Event::Place).unwrap();
    let accepted = place.step(NOW, Event::CheckpointAccepted { attempt: Attempt(3) }).unwrap();
    let last_error = Some(ErrorSeen { step: 500, signature: 9 });
    assert_eq!(accepted.tries, Tries { errors: 0, infrastructure: 0, last_error });

    let crash = finish(Attempt(3), error(500, Remedy::Retry));
    assert_eq!(name(accepted.step(NOW, crash).unwrap().state), "end:failed");
}

#[test]
fn a_retry_begins_with_new_budgets() {
    let mut life = Life::new();
    assert_eq!(life.attempt(|attempt| finish(attempt, error(1, Remedy::None))), "done:failed");
    let retried = life.standing.step(NOW, Event::Retry).unwrap();
    assert_eq!(retried.tries, Tries::default());
}

#[test]
fn a_success_that_comes_late_beats_used_up_tries() {
    let tries = Tries { infrastructure: 5, ..Tries::default() };
    let leased = Standing { state: state("started"), tries };
    let failing = leased.step(NOW, lost(ONE, Loss::LeaseExpired)).unwrap();
    assert_eq!(name(failing.state), "end:failed");
    let rescued = failing.step(NOW, finish(ONE, Finish::Success)).unwrap();
    assert_eq!(name(rescued.state), "end:succeeded");
}

#[test]
fn every_end_without_a_record_has_its_cause() {
    let table = [
        (Loss::Ended(Exit::Code(0)), Cause::Error),
        (Loss::Ended(Exit::Code(1)), Cause::Error),
        (Loss::Ended(Exit::Code(75)), Cause::Preempted),
        (Loss::Ended(Exit::Signal(9)), Cause::Infrastructure),
        (Loss::Ended(Exit::OutOfMemory), Cause::Error),
        (Loss::Ended(Exit::Unknown), Cause::Infrastructure),
        (Loss::Vanished, Cause::Infrastructure),
        (Loss::Suspended, Cause::Preempted),
        (Loss::LeaseExpired, Cause::Infrastructure),
        (Loss::NeverStarted, Cause::Infrastructure),
        (Loss::NodeLost, Cause::Infrastructure),
        (Loss::Stuck(Obstacle::Image), Cause::Infrastructure),
        (Loss::Ended(Exit::Evicted), Cause::Infrastructure),
        (Loss::Ended(Exit::Preempted), Cause::Preempted),
        (Loss::Ended(Exit::Deadline), Cause::Error),
    ];
    for (how, cause) in table {
        assert_eq!(lost(ONE, how).cause(), Some(cause), "{how:?}");
    }
}

#[test]
fn a_deadline_is_final_unless_more_was_decided() {
    let deadline = |attempt| lost(attempt, Loss::Ended(Exit::Deadline));
    let placed = after(&[Event::Place]);
    for before in [
        placed,
        placed.step(NOW, finish(ONE, Finish::Preempted)).unwrap(),
        placed.step(NOW, lost(ONE, Loss::LeaseExpired)).unwrap(),
    ] {
        let after = before.step(NOW, deadline(ONE)).unwrap();
        assert_eq!(name(after.state), "end:failed", "{before:?}");
    }
    let succeeded = placed.step(NOW, finish(ONE, Finish::Success)).unwrap();
    assert!(succeeded.step(NOW, deadline(ONE)).is_err());
}

#[test]
fn waits_double_from_seconds_to_five_minutes() {
    let waits =
        |cause: Cause| [0, 1, 2, 3, 5, 6, 7, 40, 99].map(|n| cause.policy().back_off.wait_ms(n));
    assert_eq!(
        waits(Cause::Error),
        [10_000, 10_000, 20_000, 40_000, 160_000, 300_000, 300_000, 300_000, 300_000]
    );
    assert_eq!(
        waits(Cause::Infrastructure),
        [5_000, 5_000, 10_000, 20_000, 80_000, 160_000, 300_000, 300_000, 300_000]
    );
    assert_eq!(waits(Cause::Preempted), [0; 9]);
}

#[test]
fn the_wait_runs_from_when_the_attempt_is_gone() {
    let stopping = after(&[Event::Place, finish(ONE, error(1, Remedy::Retry))]);
    let queued = stopping.step(Time(NOW.0 + 60_000), gone(ONE)).unwrap();
    let not_before = Time(NOW.0 + 70_000);
    assert_eq!(queued.state, State::Queued { next: TWO, not_before });
}

#[test]
fn a_refusal_is_a_sentence() {
    let refusals = [
        ("done:succeeded", "cancel", "the run is done (succeeded): it cannot be cancelled"),
        ("queued", "retry", "the run is queued: it cannot be retried"),
        ("started", "start", "the run is leased (attempt 1): attempt 1 cannot start"),
        (
            "leased",
            "gone",
            "the run is leased (attempt 1, not started): attempt 1 cannot give its slots back",
        ),
        (
            "end:stopped_early",
            "cancel",
            "the run is stopping (attempt 1, then stopped early): it cannot be cancelled",
        ),
        (
            "again:infra",
            "preempt",
            "the run is stopping (attempt 1, then queued again): it cannot be asked to make room",
        ),
    ];
    for (state_name, event_name, sentence) in refusals {
        let standing = Standing { state: state(state_name), tries: Tries::default() };
        let refusal = standing.step(NOW, event(event_name)).unwrap_err();
        assert_eq!(refusal.to_string(), sentence);
    }
}

/// A run that is placed again and again.
struct Life {
    standing: Standing,
}

impl Life {
    fn new() -> Self {
        Self { standing: Standing::NEW }
    }

    /// Places the run, lets one thing happen to its attempt, and gives its slots back.
    fn attempt(&mut self, happening: impl Fn(Attempt) -> Event) -> String {
        let placed = self.standing.step(NOW, Event::Place).expect("it is queued");
        let attempt = placed.state.attempt().expect("it is placed");
        let stopping = placed.step(NOW, happening(attempt)).expect("it is leased");
        self.standing = stopping.step(NOW, gone(attempt)).expect("it is stopping");
        name(self.standing.state)
    }
}

fn after(events: &[Event]) -> Standing {
    let step = |standing: Standing, event: &Event| standing.step(NOW, *event).expect("it is legal");
    events.iter().fold(Standing::NEW, step)
}

fn finish(attempt: Attempt, how: Finish) -> Event {
    Event::Finish { attempt, how }
}

fn lost(attempt: Attempt, how: Loss) -> Event {
    Event::Lost { attempt, how }
}

fn gone(attempt: Attempt) -> Event {
    Event::Gone { attempt }
}

fn error(step: u64, remedy: Remedy) -> Finish {
    Finish::Error(WorkerError { step, signature: 9, remedy })
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_matches('|');
    if line.is_empty() { Vec::new() } else { line.split('|').map(str::trim).collect() }
}

fn event(name: &str) -> Event {
    match name {
        "place" => Event::Place,
        "reuse" => Event::Reuse,
        "vanished" => lost(ONE, Loss::Vanished),
        "exit 1" => lost(ONE, Loss::Ended(Exit::Code(1))),
        "suspended" => lost(ONE, Loss::Suspended),
        "gone" => gone(ONE),
        "need ended" => Event::NeedEnded,
        "need retried" => Event::NeedRetried,
        "start" => Event::Start { attempt: ONE, lease_ends: LEASE_ENDS },
        "checkpoint" => Event::CheckpointAccepted { attempt: ONE },
        "success" => finish(ONE, Finish::Success),
        "diverged" => finish(ONE, Finish::Diverged),
        "crash" => finish(ONE, error(1, Remedy::Retry)),
        "bad data" => finish(ONE, error(1, Remedy::None)),
        "preempted" => finish(ONE, Finish::Preempted),
        "cancel" => Event::Cancel,
        "stop early" => Event::StopEarly,
        "preempt" => Event::Preempt,
        "retry" => Event::Retry,
        "renew" => Event::Renew,
        unknown => panic!("no event is called {unknown}"),
    }
}

/// The state that a word of the table means, with its attempt numbered 1 and its times fixed.
fn state(word: &str) -> State {
    let states = [
        State::Queued { next: ONE, not_before: Time::ALWAYS },
        State::Leased { attempt: ONE, placed_at: NOW, lease: None },
        State::Leased { attempt: ONE, placed_at: NOW, lease: Some(LEASE_ENDS) },
    ];
    let causes = [Cause::Error, Cause::Infrastructure, Cause::Preempted];
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Diverged,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::StoppedEarly,
    ];
    let stopping = |then| State::Stopping { attempt: ONE, since: NOW, then };
    states
        .into_iter()
        .chain(causes.map(|cause| stopping(Then::Requeue { cause })))
        .chain(outcomes.map(|outcome| stopping(Then::End { outcome })))
        .chain(outcomes.map(|outcome| State::Done { next: TWO, outcome }))
        .find(|state| name(*state) == word)
        .unwrap_or_else(|| panic!("no state is called {word}"))
}

fn name(state: State) -> String {
    match state {
        State::Queued { .. } => "queued".to_owned(),
        State::Leased { lease: None, .. } => "leased".to_owned(),
        State::Leased { lease: Some(_), .. } => "started".to_owned(),
        State::Stopping { then: Then::Requeue { cause: Cause::Infrastructure }, .. } => {
            "again:infra".to_owned()
        }
        State::Stopping { then: Then::Requeue { cause: Cause::Preempted }, .. } => {
            "again:preempt".to_owned()
        }
        State::Stopping { then: Then::Requeue { cause }, .. } => format!("again:{cause}"),
        State::Stopping { then: Then::End { outcome }, .. } => format!("end:{}", outcome.word()),
        State::Done { outcome, .. } => format!("done:{}", outcome.word()),
    }
}
