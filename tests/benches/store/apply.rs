//! A sweep of as many points as a file may have is applied; the loop wakes with ten of them queued.

use std::time::{Duration, Instant};

use assay_controller::schedule::{Memory, activate};
use assay_tests::bench::Figure;

use crate::seconds;
use crate::server::{Server, sweep};

const SWEEPS: u32 = 10;
const WAKES: usize = 21;

pub(crate) async fn measure() -> Vec<Figure> {
    // two slots: the first sweep's data is prepared, and all else waits
    let mut server = Server::start("apply", 2).await;
    let mut applied = Vec::new();
    for i in 0..SWEEPS {
        let file = sweep(&format!("s{i}"), 100, 100);
        let begin = Instant::now();
        server.apply(&file).await;
        applied.push(begin.elapsed());
    }
    let queued: i64 = sqlx::query_scalar("select count(*) from run where state = 'queued'")
        .fetch_one(server.db())
        .await
        .expect("a number");
    assert!(100_000 <= queued, "{queued} are queued");
    let waiting = wakes(&mut server).await;
    server.app.succeed("s0", 1).await;
    server.app.succeed("s0", 2).await;
    let placeable = wakes(&mut server).await;
    vec![
        seconds("apply_10000_seconds", applied),
        seconds("wake_100000_runs_seconds", placeable),
        seconds("wake_100000_waiting_runs_seconds", waiting),
    ]
}

/// Activations with nothing to do, as a timer or anybody's wish causes them.
async fn wakes(server: &mut Server) -> Vec<Duration> {
    server.app.settle().await;
    let mut memory = Memory::default();
    let mut took = Vec::new();
    for _ in 0..WAKES {
        let begin = Instant::now();
        let done = activate(&server.app.app, &mut memory).await.expect("the database answers");
        took.push(begin.elapsed());
        assert_eq!(done.steps, 0, "the pool is full");
    }
    took
}
