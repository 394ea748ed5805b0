//! What goes ahead of the others is a run like any other.

use assay_tests::{Books, Machine};

use super::{check, sweep, until_ended};

/// Goal: a canary costs a start and nothing else. Method: a sweep with one beside a sweep without, and
/// their points compared bit for bit; and the order of what happened, in SQL.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_with_a_canary_gives_the_points_of_one_without() {
    const AHEAD: &str = "select r.label from attempt a join run r using (run_id) join sweep w using (sweep_id)
        where w.name = 'careful' and r.kind = 'train' and r.label <> 'base' and a.cause = 'preempted'
          and a.ended_at < (
            select min(b.started_at) from attempt b join run o on o.run_id = b.run_id
            where o.sweep_id = r.sweep_id and o.kind = 'train' and o.run_id <> r.run_id and o.label <> 'base')";
    const MEASURED: &str = "select shape from canary
        where passed_at is not null and 0 < tokens_per_second and 0 < heldout_seconds and 0 < task_seconds
          and 0 < checkpoint_seconds";
    // the base is of a shape of its own, and has nobody to go ahead of
    let of = |name: &str| {
        sweep(name, "8k").replace(
            "{peak: 3e-3, warmup: 2 steps}",
            "{peak: 3e-3, warmup: 2 steps}, micro_batch: 2",
        )
    };
    let mut machine = Machine::start();
    let mut books = Books::default();
    machine.apply(&of("calm")).await;
    machine.apply(&format!("{}canary: true\n", of("careful"))).await;
    until_ended(&mut machine, &mut books).await;
    check(&machine, &mut books).await;
    assert_eq!(books.ask(&machine, MEASURED).await.len(), 1);
    assert_eq!(books.ask(&machine, AHEAD).await.len(), 1);
}
