//! Two controllers on one database, and the one that leads is frozen.

use assay_api::KillPoint;
use assay_tests::{Books, Corpus, Machine, signal, until};
use rustix::process::Signal;
use sqlx::PgPool;

use super::{check, sweep, until_ended};

/// As if a leader's time had passed; the rows that a frozen one holds are given back first.
const EXPIRE: &str = "update leader set expires_at = now() - interval '1 second' returning name";
const LEADER: &str = "select term || ' ' || name from leader";
/// Of the sweep that was applied last.
const STARTED: &str = "select run_id::text from attempt join run using (run_id)
    where attempt.started_at is not null
    and sweep_id = (select sweep_id from sweep order by created_at desc limit 1)";
const TWICE: &str = "select text from run_event where 1 < attempt";

/// The database of a test, as a program reaches it.
fn url(db: &PgPool) -> String {
    let options = db.connect_options();
    let socket = options.get_socket().expect("tests/with-postgres serves a socket").display();
    let name = options.get_database().expect("it has one");
    format!("postgres://{}@localhost/{name}?host={socket}", options.get_username())
}

/// Goal: a leader that wakes up in the middle of an activation does nothing that another has done
/// meanwhile. Method: it is frozen before it stores what it planned, with the rows written and not
/// committed, and before it performs what is committed; the other takes the lead and works; then the
/// first is woken.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_leader_that_wakes_up_in_the_middle_does_nothing_twice(db: PgPool) {
    let options = ["--slots", "2", "--database-url", &url(&db)].map(str::to_owned);
    let mut frozen = Machine::switched_off(Corpus::make(), options.to_vec());
    let mut books = Books::default();
    for point in [
        KillPoint::PlannedStored,
        KillPoint::StepsStoredCommitted,
        KillPoint::StepsCommittedPerformed,
    ] {
        frozen.set_hold(point);
        frozen.restart_controller();
        books.ask(&frozen, EXPIRE).await;
        frozen.apply(&sweep(&format!("hurt-{}", point.word()), "4k")).await;
        until("the leader waits", async || frozen.is_sprung(point).then_some(())).await;
        let before = books.ask(&frozen, LEADER).await;
        signal(frozen.controller(), Signal::STOP);

        let mut other = frozen.beside();
        other.restart_controller();
        books.ask(&frozen, EXPIRE).await;
        let leads = until("the other leads", async || {
            Some(books.read(&other, LEADER).await?).filter(|leader| *leader != before)
        })
        .await;
        until("the other works", async || books.read(&other, STARTED).await?.pop()).await;
        if point == KillPoint::StepsCommittedPerformed {
            // what it still has to perform is over by then
            until_ended(&mut other, &mut books).await;
        }

        frozen.let_go(point);
        signal(frozen.controller(), Signal::CONT);
        until("the first follows", async || {
            frozen.client.schedule_loop().await.ok()?.is_follower.then_some(())
        })
        .await;
        until_ended(&mut other, &mut books).await;
        assert_eq!(books.ask(&other, LEADER).await, leads, "the other leads still");
        assert_eq!(books.ask(&other, TWICE).await, [""; 0], "every run took one attempt");
        assert!(frozen.has_controller(), "it lives, and follows");
        frozen.end_controller();
        assert!(other.stop_controller());
    }
    frozen.set_trap(None);
    frozen.restart_controller();
    frozen.apply(&sweep("calm", "4k")).await;
    until_ended(&mut frozen, &mut books).await;
    check(&frozen, &mut books).await;
}
