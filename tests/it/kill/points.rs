//! Every kill point, one after the other.

use assay_api::KillPoint;
use assay_tests::{Books, Corpus, Machine, until};

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
/// Passed when a controller is told to stop.
const STOP: [KillPoint; 2] = [KillPoint::AskedGone, KillPoint::GoneStopped];

/// Goal: between any two effects a process may die, and nothing is lost, doubled or left over. Method:
/// each point is made deadly for one process, controllers and workers follow each other on one machine,
/// and sweeps are applied for as long as they are needed; in the end one is left alone, and all are
/// compared with it.
#[tokio::test(flavor = "multi_thread")]
async fn between_any_two_effects_a_process_may_die() {
    let options = vec!["--slots".to_owned(), "2".to_owned()];
    let mut machine = Machine::switched_off(Corpus::make(), options);
    let mut books = Books::default();
    for point in FIRST_START {
        machine.set_trap(Some(point));
        assert!(!machine.begin_to_start(), "a controller dies before it listens");
        assert!(machine.is_sprung(point), "nobody passed {point:?}");
    }
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
}

/// What a machine needs so that somebody passes a point.
enum Need {
    Nothing,
    Controller,
    Sweep,
    Stop,
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
