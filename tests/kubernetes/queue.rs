//! Quota by Kueue: its real controller admits, and takes back.

use assay_api::view::{Outcome, RunRow, RunState};
use assay_tests::{Cluster, Installation};
use serde_json::{Value, json};

/// A queue `team-a` with a quota of so many slots, in a new namespace.
fn queue(cluster: &Cluster, slots: u32) -> String {
    let namespace = cluster.namespace();
    let kueue = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": name}, "spec": spec});
    cluster.apply(&kueue("ResourceFlavor", "plain", json!({})));
    for (class, value) in [("high", 1000), ("low", 0)] {
        cluster.apply(&json!({
            "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "WorkloadPriorityClass",
            "metadata": {"name": class}, "value": value,
        }));
    }
    let amounts = json!([
        {"name": "example.com/slot", "nominalQuota": slots},
        {"name": "cpu", "nominalQuota": 100},
        {"name": "memory", "nominalQuota": "100Gi"},
    ]);
    let covered = json!(["example.com/slot", "cpu", "memory"]);
    let flavors = json!([{"name": "plain", "resources": amounts}]);
    let spec = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": covered, "flavors": flavors}],
    });
    cluster.apply(&kueue("ClusterQueue", &namespace, spec));
    let mut local = kueue("LocalQueue", "team-a", json!({"clusterQueue": namespace}));
    local["metadata"]["namespace"] = namespace.clone().into();
    cluster.apply(&local);
    cluster.kubectl(&[
        "wait",
        "clusterqueue",
        &namespace,
        "--for=condition=Active",
        "--timeout=60s",
    ]);
    namespace
}

fn settings(slots: u32) -> Value {
    json!({
        "slots": slots,
        "device": "example.com/slot",
        "queues": ["team-a", "team-b"],
        "priority_classes": ["high", "low"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_holds_back_waits_in_its_words_and_uses_no_slot() {
    let cluster = Cluster::shared();
    cluster.script("gpus", &["1", "8", "example.com/slot"]);
    let namespace = queue(&cluster, 1);
    let installation = Installation::beside(&cluster, &namespace, &[("gpus", settings(2))], &[]);
    let machine = &installation.machine;
    for name in ["a", "b"] {
        machine.apply(&Installation::sweep(name, "queue: team-a", "100k")).await;
    }
    let waits = |run: &RunRow| {
        let why = run.waiting.as_deref().unwrap_or_default();
        run.state == RunState::Leased && why.contains("queue team-a: couldn't assign flavors")
    };
    // there is quota for one run at a time
    machine.until("b", |view| view.runs.iter().any(waits)).await;
    for name in ["a", "b"] {
        let view = machine.until_ended(name).await;
        let is_well = |run: &RunRow| run.outcome == Some(Outcome::Succeeded) && run.attempt == 1;
        assert!(view.runs.iter().all(is_well), "{view:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_exist_says_so() {
    let cluster = Cluster::shared();
    let namespace = queue(&cluster, 1);
    let installation = Installation::beside(&cluster, &namespace, &[("gpus", settings(2))], &[]);
    installation.machine.apply(&Installation::sweep("s", "queue: team-b", "4k")).await;
    installation.first_waits("s", "queue team-b: LocalQueue team-b doesn't exist").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_priority_takes_the_quota_back_and_nothing_is_lost() {
    let cluster = Cluster::shared();
    cluster.script("gpus", &["1", "8", "example.com/slot"]);
    let namespace = queue(&cluster, 1);
    let installation = Installation::beside(&cluster, &namespace, &[("gpus", settings(4))], &[]);
    let machine = &installation.machine;
    let low = "queue: team-a, priority_class: low";
    machine.apply(&Installation::sweep("low", low, "200k")).await;
    let run = installation.until_training("low", |run| 4 <= run.step).await;
    let high = "queue: team-a, priority_class: high";
    machine.apply(&Installation::sweep("high", high, "4k")).await;
    let end = installation.end_of("low", run.number).await.attempts.remove(0);
    assert_eq!(end.cause.as_deref(), Some("preempted"), "{end:?}");
    for name in ["high", "low"] {
        let view = machine.until_ended(name).await;
        let succeeded = |run: &RunRow| run.outcome == Some(Outcome::Succeeded);
        assert!(view.runs.iter().all(succeeded), "{view:?}");
    }
    let attempts = installation.run("low", run.number).await.attempts;
    assert!(attempts[1].resumed_from.is_some_and(|step| 4 <= step), "{attempts:?}");
}
