//! Faults at random moments.

use assay_tests::{Books, Corpus, Machine, Processes, signal, until};
use rustix::process::Signal;

use super::dice::Dice;
use super::{NO_BACK_OFF, OPEN, check, sweep, until_ended};

/// How many faults, and the seed that they are drawn from.
const KILLS: &str = "ASSAY_KILLS";
const SEED: &str = "ASSAY_KILL_SEED";
const KILLS_DEFAULT: u64 = 50;

/// What moves while a sweep runs: a moment is when one of them has moved on by so much.
const CLOCKS: [(&str, u64); 4] = [
    ("select coalesce(sum(step), 0)::text from run", 8),
    ("select count(*)::text from run_event", 3),
    ("select coalesce(sum(seq_stored), 0)::text from attempt", 3),
    ("select count(*)::text from checkpoint", 3),
];

/// Runs whose attempts may be lost once more without using up what they may lose.
const SPARE: &str =
    "select run_id::text from run where tries_infrastructure < 4 and tries_error = 0";

/// Runs that will report for a while yet: at each of their steps they save a checkpoint.
const FAR_FROM_DONE: &str = "select run_id::text from run
    where state = 'leased' and phase in ('training', 'saving') and step between 1 and steps - 16";

/// So many looks in a row: whoever only waits for a lock or a disk is seen at work in one of them. That
/// it was is no matter: the moment is then an earlier one.
const IDLE_LOOKS: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Controller,
    Worker,
    Parent,
    WorkerAndParent,
    Postmaster,
    Backend,
    Everything,
    FreezeWorker,
    FreezeController,
}

/// As likely as it stands here often.
const FAULTS: [Fault; 16] = [
    Fault::Controller,
    Fault::Controller,
    Fault::Controller,
    Fault::Worker,
    Fault::Worker,
    Fault::Worker,
    Fault::Parent,
    Fault::Parent,
    Fault::WorkerAndParent,
    Fault::Postmaster,
    Fault::Postmaster,
    Fault::Backend,
    Fault::Everything,
    Fault::FreezeWorker,
    Fault::FreezeController,
    Fault::FreezeController,
];

struct Story {
    machine: Machine,
    books: Books,
    dice: Dice,
    sweeps: u32,
}

impl Story {
    /// The next sweep, once the last one has ended.
    async fn keep_busy(&mut self) {
        assert!(self.machine.has_controller(), "it dies only when it is killed");
        if self.books.ask(&self.machine, OPEN).await.is_empty() {
            self.sweeps += 1;
            let is_careful = self.sweeps.is_multiple_of(2);
            let file =
                format!("{}canary: {is_careful}\n", sweep(&format!("hurt-{}", self.sweeps), "8k"));
            // a server that was killed just now answers us with its last breath, and the controller not
            // any more; applied again, a file does what is left to do
            let Self { machine, .. } = self;
            until("the sweep is taken", async || machine.try_to_apply(&file).await.ok()).await;
        }
    }

    /// Waits until something has moved on, or nothing but what is `frozen` is left to move.
    async fn moment(&mut self, frozen: Option<i32>) {
        let (clock, most) = self.dice.one_of(&CLOCKS).expect("there are some");
        let until_then = self.dice.throw(most);
        let Self { machine, books, .. } = self;
        let now = number(&books.ask(machine, clock).await);
        until("the sweep moves on", async || {
            books.read(machine, NO_BACK_OFF).await?;
            let has_moved = now + until_then <= number(&books.read(machine, clock).await?);
            let is_left = |attempt: &Processes| Some(attempt.worker) != frozen;
            let is_alone = frozen.is_some() && !machine.attempts().iter().any(is_left);
            let has_ended = books.read(machine, OPEN).await?.is_empty();
            (has_moved || is_alone || has_ended).then_some(())
        })
        .await;
    }

    /// While nobody listens: until workers have written so much to their disks, or none works any more:
    /// one that is done waits for whoever will hear it.
    async fn moment_of_silence(&mut self) {
        let until_then =
            self.machine.spooled() + self.dice.one_of(&[1, 2, 3, 5]).expect("there are some");
        let machine = &self.machine;
        let mut idle = 0;
        until("workers go on", async || {
            idle = if machine.is_idle() { idle + 1 } else { 0 };
            (until_then <= machine.spooled() || IDLE_LOOKS < idle).then_some(())
        })
        .await;
    }

    /// The attempts that may be killed.
    async fn victims(&mut self) -> Vec<Processes> {
        let spare = self.books.ask(&self.machine, SPARE).await;
        let attempts = self.machine.attempts().into_iter();
        attempts.filter(|attempt| spare.contains(&attempt.run)).collect()
    }

    /// False: there was nothing to do it to.
    async fn strike(&mut self, fault: Fault) -> bool {
        let victims = self.victims().await;
        let goes_on = !self.books.ask(&self.machine, FAR_FROM_DONE).await.is_empty();
        let is_spared = victims.len() == self.machine.attempts().len();
        let at: Vec<usize> = (0..victims.len()).collect();
        let victim = self.dice.one_of(&at).map(|at| &victims[at]);
        match (fault, victim) {
            (Fault::Controller, _) => {
                self.machine.end_controller();
                if goes_on && self.dice.throw(2) == 1 {
                    self.moment_of_silence().await;
                }
                self.machine.restart_controller();
            }
            (Fault::Everything, _) if is_spared => self.pull_the_plug(&victims),
            (Fault::Postmaster, _) => kill(self.machine.postmaster()),
            (Fault::Backend, _) => kill(self.dice.one_of(&self.machine.backends())),
            (Fault::FreezeController, _) if goes_on => {
                signal(self.machine.controller(), Signal::STOP);
                self.moment_of_silence().await;
                signal(self.machine.controller(), Signal::CONT);
            }
            (Fault::Worker, Some(victim)) => kill([victim.worker]),
            (Fault::Parent, Some(victim)) => kill([victim.parent]),
            (Fault::WorkerAndParent, Some(victim)) => kill([victim.parent, victim.worker]),
            (Fault::FreezeWorker, Some(victim)) => {
                let frozen = victim.worker;
                signal(frozen, Signal::STOP);
                self.moment(Some(frozen)).await;
                signal(frozen, Signal::CONT);
            }
            (
                Fault::Worker
                | Fault::Parent
                | Fault::WorkerAndParent
                | Fault::FreezeWorker
                | Fault::FreezeController
                | Fault::Everything,
                _,
            ) => return false,
        }
        true
    }

    /// As when the power fails, but for what the disk had not written.
    fn pull_the_plug(&mut self, victims: &[Processes]) {
        let postmaster = self.machine.postmaster();
        self.machine.end_controller();
        kill(postmaster);
        victims.iter().for_each(|victim| kill([victim.parent, victim.worker]));
        self.machine.restart_controller();
    }
}

fn kill(processes: impl IntoIterator<Item = i32>) {
    processes.into_iter().for_each(|pid| signal(pid, Signal::KILL));
}

fn number(rows: &[String]) -> u64 {
    rows.first().and_then(|row| row.parse().ok()).expect("a sum is one number")
}

#[expect(clippy::disallowed_methods, reason = "how a person asks for more of this test")]
fn asked_for(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, and should be a number")))
}

/// Goal: whatever dies or freezes at whatever moment, nothing is lost, doubled or left over. Method:
/// one sweep is left alone; while others like it run, one fault follows the other, each at a moment
/// that chance chose; at the end everything is compared.
#[tokio::test(flavor = "multi_thread")]
async fn no_fault_at_any_moment_loses_or_doubles_anything() {
    let seed = asked_for(SEED).unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let faults = asked_for(KILLS).unwrap_or(KILLS_DEFAULT);
    say(&format!("{faults} faults; again with {SEED}={seed} {KILLS}={faults}"));
    let machine = Machine::serving(Corpus::make(), vec!["--slots".to_owned(), "2".to_owned()]);
    let (books, dice) = (Books::default(), Dice::new(seed));
    let mut story = Story { machine, books, dice, sweeps: 0 };
    story.machine.apply(&sweep("calm", "8k")).await;
    until_ended(&mut story.machine, &mut story.books).await;

    let mut done = 0;
    while done < faults {
        story.keep_busy().await;
        story.moment(None).await;
        let fault = story.dice.one_of(&FAULTS).expect("there are some");
        if story.strike(fault).await {
            done += 1;
            say(&format!("fault {done} of {faults}, seed {seed}: {fault:?}"));
        }
    }
    until_ended(&mut story.machine, &mut story.books).await;
    check(&story.machine, &mut story.books).await;
}

#[expect(clippy::print_stderr, reason = "a test that fails shows what was done to it")]
fn say(line: &str) {
    eprintln!("{line}");
}
