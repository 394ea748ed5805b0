//! Nodes that are lost, rebooted, drained and short of memory: each test breaks a cluster of its own.

use assay_api::view::{Outcome, RunRow, SweepView};
use assay_tests::{Cluster, Installation};
use serde_json::json;

const SERIES: [&str; 3] = ["train/loss", "train/grad_norm", "heldout/general/bits_per_byte"];

fn node_of(installation: &Installation, cluster: &Cluster, run: &RunRow) -> String {
    installation.pod(cluster, run)["spec"]["nodeName"].as_str().unwrap().to_owned()
}

/// What a test does to a node, by its name.
fn node(cluster: &Cluster, name: &str, what: &str) {
    cluster.script("node", &[name.strip_prefix("node-").unwrap(), what]);
}

#[track_caller]
fn assert_succeeded(view: &SweepView) {
    let succeeded = |run: &RunRow| run.outcome == Some(Outcome::Succeeded);
    assert!(view.runs.iter().all(succeeded), "{view:?}");
}

/// Goal: a run that is moved from node to node computes what one does that is left alone, bit for bit.
/// Method: a drain in the middle, with `kubectl drain` itself, and a run without one before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_costs_no_bit() {
    let cluster = Cluster::own();
    let installation = Installation::start(&cluster, json!({}));
    let machine = &installation.machine;
    machine.apply(&Installation::sweep("calm", "", "40k")).await;
    let calm = machine.until_ended("calm").await;
    let calm = machine.points(&calm.runs[1], &SERIES).await;

    machine.apply(&Installation::sweep("moved", "", "40k")).await;
    let run = installation.until_training("moved", |run| 20 <= run.step).await;
    let left = node_of(&installation, &cluster, &run);
    cluster.kubectl(&["drain", &left, "--force", "--delete-emptydir-data"]);
    let view = machine.until_ended("moved").await;
    assert_succeeded(&view);
    let attempts = installation.run("moved", run.number).await.attempts;
    assert_eq!(attempts[0].cause.as_deref(), Some("preempted"), "{attempts:?}");
    assert!(attempts[1].resumed_from.is_some_and(|step| 20 <= step), "{attempts:?}");
    assert!(!attempts[1].place.as_deref().unwrap().contains(&left), "{attempts:?}");
    assert!(!calm.is_empty());
    assert_eq!(machine.points(&view.runs[1], &SERIES).await, calm);
}

/// Goal: a lost node's attempt is fenced at once and its run goes on elsewhere, while its slot stays
/// taken until the node is gone. Method: pull the node's cable in the middle of a run, in a pool with
/// room for two; the worker there goes on and cannot be heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_is_fenced_and_its_slot_stays_taken() {
    let cluster = Cluster::own();
    let (pools, patient) = ([("gpus", json!({}))], ["--lease", "600"]);
    let installation = Installation::beside(&cluster, &cluster.namespace(), &pools, &patient);
    let machine = &installation.machine;
    machine.apply(&Installation::sweep("s", "", "400k")).await;
    let run = installation.until_training("s", |run| 10 <= run.step).await;
    let lost = node_of(&installation, &cluster, &run);
    node(&cluster, &lost, "cut");
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_eq!(end.cause.as_deref(), Some("infrastructure"), "{end:?}");
    let reason = end.reason.unwrap();
    assert!(reason.contains("was lost with its node") && reason.contains(&lost), "{reason}");

    let second = installation.until_training("s", |run| run.attempt == 2 && 1 <= run.step).await;
    assert_ne!(node_of(&installation, &cluster, &second), lost);
    machine.apply(&Installation::sweep("t", "", "4k")).await;
    installation.first_waits("t", "pool gpus has 0 of 2 slots free").await;
    cluster.kubectl(&["delete", "node", &lost]);
    assert_succeeded(&machine.until_ended("t").await);
    assert_succeeded(&machine.until_ended("s").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebooted_node() {
    let cluster = Cluster::own();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "100k")).await;
    let run = installation.until_training("s", |run| 10 <= run.step).await;
    // or it might be done before its node goes down
    installation.signal(&run, "STOP");
    node(&cluster, &node_of(&installation, &cluster, &run), "reboot");
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_eq!(end.cause.as_deref(), Some("infrastructure"), "{end:?}");
    assert_succeeded(&installation.machine.until_ended("s").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_short_of_memory() {
    let cluster = Cluster::own();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "2M")).await;
    let run = installation.until_training("s", |run| 10 <= run.step).await;
    node(&cluster, &node_of(&installation, &cluster, &run), "press");
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_eq!(end.cause.as_deref(), Some("preempted"), "it had the time to save: {end:?}");
    let reason = end.reason.unwrap();
    assert!(reason.contains("saved a checkpoint"), "{reason}");
    assert!(reason.contains("low on resource: memory"), "{reason}");
}

/// Goal: a worker whose pod is gone is refused. Method: its node's kubelet dies, and somebody deletes
/// the pod by force, so that nobody stops the process; which is frozen meanwhile, or it might be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reports_although_its_pod_is_gone() {
    let cluster = Cluster::own();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 10 <= run.step).await;
    installation.signal(&run, "STOP");
    node(&cluster, &node_of(&installation, &cluster, &run), "stop");
    let labels = installation.labels(&run);
    let forced = ["delete", "pod", "-l", &labels, "--grace-period=0", "--force"];
    installation.kubectl(&cluster, &forced);
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_eq!(end.cause.as_deref(), Some("infrastructure"), "{end:?}");
    installation.signal(&run, "CONT");
    assert_succeeded(&installation.machine.until_ended("s").await);
    assert!(!installation.has_process(&run), "refused, it left by itself");
}
