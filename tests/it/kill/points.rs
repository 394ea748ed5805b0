//! Every kill point, one after the other.

use assay_api::KillPoint;
use assay_api::view::{WebhookEvent, WebhookRequest};
use assay_tests::{Books, Corpus, Machine, Receiver, until};

use super::{NO_BACK_OFF, OPEN, check, sweep, until_ended};

/// Passed before a controller listens for the first time.
const FIRST_START: [KillPoint; 4] = [
    KillPoint::KeyWrittenNamed,
    KillPoint::ClusterMadeNamed,
    KillPoint::ServerSpawnedAnswers,
    KillPoint::DatabaseMadeMigrated,
];
/// Passed only while a dataset is not there yet: in the first sweep.
const FIRST_SWEEP: [KillPoint; 2] = [KillPoint::DraftWrittenNamed, KillPoint::VersionNamedNewest];
/// Passed when a sweep that has ended is deleted.
const DELETION: [KillPoint; 6] = [
    KillPoint::DeletionStoredCommitted,
    KillPoint::DeletionCommittedAnswered,
    KillPoint::StorageAsideOutput,
    KillPoint::AsideNoted,
    KillPoint::AsideNotedCleared,
    KillPoint::ClearedForgotten,
];
/// Passed when a webhook is told of something.
const TELLING: [KillPoint; 2] = [KillPoint::ClaimedSent, KillPoint::SentNoted];
/// What is not told yet, due at once.
const UNTOLD: &str =
    "update delivery set next_at = now() where state = 'waiting' returning delivery_id::text";
/// Runs and sweeps of whose end not just one message was written.
const TOLD_WRONG: &str = "
    select w.name || '/' || r.number from run r join sweep w using (sweep_id) where 1 <> (
        select count(*) from delivery d where d.event = 'run.succeeded'
            and d.about = w.name || '/' || r.number and r.created_at <= d.created_at)
    union all
    select w.name from sweep w where 1 <> (
        select count(*) from delivery d where d.event = 'sweep.finished'
            and d.about = w.name and w.created_at <= d.created_at)";
/// Passed when a controller is told to stop.
const STOP: [KillPoint; 2] = [KillPoint::AskedGone, KillPoint::GoneStopped];

/// Goal: between any two effects a process may die, and nothing is lost, doubled or left over. Method:
/// each point is made deadly for one process, controllers and workers follow each other on one machine,
/// and sweeps are applied for as long as they are needed; in the end one is left alone, and all are
/// compared with it.
#[tokio::test(flavor = "multi_thread")]
async fn between_any_two_effects_a_process_may_die() {
    let options = ["--slots", "2", "--webhooks-to-private"].map(str::to_owned);
    let mut machine = Machine::switched_off(Corpus::make(), options.to_vec());
    let mut books = Books::default();
    for point in FIRST_START {
        machine.set_trap(Some(point));
        assert!(!machine.begin_to_start(), "a controller dies before it listens");
        assert!(machine.is_sprung(point), "nobody passed {point:?}");
    }
    let receiver = Receiver::start().await;
    machine.set_trap(None);
    machine.restart_controller();
    add_webhook(&machine, &receiver).await;
    machine.end_controller();
    let later = KillPoint::ALL.iter().filter(|point| !FIRST_START.contains(point));
    let later = later.filter(|point| !FIRST_SWEEP.contains(point));
    let mut sweeps = 0;
    for point in FIRST_SWEEP.iter().chain(later) {
        machine.set_trap(Some(*point));
        machine.start_controller();
        spring(&mut machine, &mut books, (*point, &mut sweeps)).await;
        if machine.has_controller() {
            machine.end_controller();
        }
    }
    machine.set_trap(None);
    machine.restart_controller();
    until_ended(&mut machine, &mut books).await;
    machine.apply(&sweep("calm", "4k")).await;
    until_ended(&mut machine, &mut books).await;
    check(&machine, &mut books).await;
    check_told(&machine, &mut books, &receiver).await;
}

async fn add_webhook(machine: &Machine, receiver: &Receiver) {
    let (name, url) = ("ears".to_owned(), receiver.url());
    let events = vec![WebhookEvent::RunSucceeded, WebhookEvent::SweepFinished];
    machine.client.add_webhook(&WebhookRequest { name, url, events }).await.unwrap();
}

/// Every end was written down once, and has reached the receiver.
async fn check_told(machine: &Machine, books: &mut Books, receiver: &Receiver) {
    until("all is told", async || books.read(machine, UNTOLD).await?.is_empty().then_some(()))
        .await;
    let wrong = books.ask(machine, TOLD_WRONG).await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let got = receiver.got();
    let written = books.ask(machine, "select message_id::text from delivery").await;
    let lost = written.iter().find(|id| !got.iter().any(|got| got.id() == id.as_str()));
    assert_eq!(lost, None, "of {} messages", written.len());
}

/// What a machine needs so that somebody passes a point.
enum Need {
    Nothing,
    Controller,
    Sweep,
    Stop,
    Ping,
}

async fn need(machine: &mut Machine, books: &mut Books, point: KillPoint) -> Need {
    until(&format!("somebody passes {point:?}"), async || {
        if machine.is_sprung(point) {
            return Some(Need::Nothing);
        }
        if !machine.has_controller() {
            return Some(Need::Controller);
        }
        if STOP.contains(&point) && !machine.attempts().is_empty() {
            return Some(Need::Stop);
        }
        if TELLING.contains(&point) {
            return books.read(machine, UNTOLD).await?.is_empty().then_some(Need::Ping);
        }
        books.read(machine, NO_BACK_OFF).await?;
        books.read(machine, OPEN).await?.is_empty().then_some(Need::Sweep)
    })
    .await
}

/// Gives the machine what it needs until somebody falls into the trap.
async fn spring(machine: &mut Machine, books: &mut Books, (point, sweeps): (KillPoint, &mut u32)) {
    loop {
        match need(machine, books, point).await {
            Need::Nothing => return,
            Need::Controller => machine.start_controller(),
            Need::Stop => {
                let _ended_well = machine.stop_controller();
            }
            Need::Ping => {
                // the controller may die before it answers
                let _sent_or_killed = machine.client.test_webhook("ears").await;
            }
            Need::Sweep if DELETION.contains(&point) && 0 < *sweeps => {
                // the answer may be what the controller dies before: asked again, it is gone
                let _killed_or_gone = machine.try_to_delete(&format!("hurt-{sweeps}")).await;
                *sweeps -= 1;
            }
            Need::Sweep => {
                *sweeps += 1;
                let file = sweep(&format!("hurt-{sweeps}"), "4k");
                // it may be what kills the controller; applied again, it does what is left to do
                while machine.try_to_apply(&file).await.is_err() {
                    if machine.has_controller() {
                        machine.end_controller(); // on its way out
                    }
                    machine.start_controller();
                }
            }
        }
    }
}
