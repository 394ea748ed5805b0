//! What workers stand on is away for longer than a lease: the database, the controller.

use assay_tests::{Books, Corpus, Machine, signal, until};
use rustix::process::Signal;

use super::{OPEN, check, sweep, until_ended};

/// Seconds. Short, so that the test is.
const LEASE: u64 = 2;
/// A worker writes a report down every half a second, and two for a checkpoint: so many take longer
/// than a lease, and than what passes for a busy machine.
const REPORTS: usize = 40;
/// Trained for longer than that.
const TOKENS: &str = "120k";

const RUNNING: &str = "select run_id::text from run join sweep using (sweep_id)
    where name = 'hurt' and label = 'base' and 20 < step";
const NEXT: &str = "select run_id::text from run join sweep using (sweep_id)
    where name = 'hurt' and label like 'lr%' and 20 < step";
const AGAIN: &str = "select text from run_event where 1 < attempt or event = 'lost'";

/// Freezes processes until a worker has gone on for so long that its lease is over.
async fn freeze(machine: &Machine, processes: &[i32]) {
    assert!(!processes.is_empty(), "there is something to freeze");
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    let before = machine.spooled();
    until("workers go on without being heard", async || {
        (before + REPORTS <= machine.spooled()).then_some(())
    })
    .await;
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
}

/// Goal: workers that nobody can hear are not given up, and lose nothing. Method: first the whole
/// server of the database is frozen while a worker trains, then the controller, each until a lease's
/// reports and more lie on the worker's disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_a_lease_costs_no_attempt_and_no_point() {
    let options = ["--slots", "1", "--lease", &LEASE.to_string()].map(str::to_owned);
    let mut machine = Machine::serving(Corpus::make(), options.to_vec());
    let mut books = Books::default();
    machine.apply(&sweep("calm", TOKENS)).await;
    until_ended(&mut machine, &mut books).await;
    machine.apply(&sweep("hurt", TOKENS)).await;

    until("the base trains", async || books.read(&machine, RUNNING).await?.pop()).await;
    let server: Vec<i32> = machine.postmaster().into_iter().chain(machine.backends()).collect();
    freeze(&machine, &server).await;

    until("the next run trains", async || books.read(&machine, NEXT).await?.pop()).await;
    freeze(&machine, &[machine.controller()]).await;

    assert!(!books.ask(&machine, OPEN).await.is_empty(), "it was in the middle of it");
    until_ended(&mut machine, &mut books).await;
    assert_eq!(books.ask(&machine, AGAIN).await, [""; 0], "every run took one attempt");
    check(&machine, &mut books).await;
}
