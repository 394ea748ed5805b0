//! Every end of an attempt has a name: docs/deaths.md is the table, and each of its rows happens here.

use assay_api::view::{AttemptView, Outcome, RunState};
use assay_tests::{Cluster, Installation};
use serde_json::{Value, json};

/// What a user reads of an attempt that ended: its cause, and all of these words.
#[track_caller]
fn assert_told(attempt: &AttemptView, cause: &str, words: &[&str]) {
    assert_eq!(attempt.cause.as_deref(), Some(cause), "{attempt:?}");
    let reason = attempt.reason.as_deref().unwrap_or_default();
    for word in words {
        assert!(reason.contains(word), "`{word}` is missing in: {reason}");
    }
}

/// A pool whose workers run these shell commands instead of working.
fn scripted(script: &str) -> Value {
    json!({"image": "assay.test/script:1", "env": {"SCRIPT": script}})
}

async fn end_of(cluster: &Cluster, settings: Value, resources: &str) -> AttemptView {
    let installation = Installation::start(cluster, settings);
    installation.machine.apply(&Installation::sweep("s", resources, "4k")).await;
    installation.end_of("s", 1).await.attempts.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory() {
    let greedy = scripted("x=x; while :; do x=$x$x; done");
    let end = end_of(&Cluster::shared(), greedy, "memory: 32Mi").await;
    assert_told(
        &end,
        "error",
        &["ran out of memory", "OOMKilled", "32Mi", "raise `resources.memory`", "on node-"],
    );
}

/// The worker knows what its container may use, and says what the model needs before it takes any.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_not_fit() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    let sweep = Installation::sweep("s", "memory: 64Mi", "4k").replace("llama-300k", "llama-6m");
    installation.machine.apply(&sweep).await;
    let end = installation.end_of("s", 2).await.attempts.remove(0);
    assert_told(
        &end,
        "error",
        &["does not fit into the memory there is", "57.04 MB are to be had", "train.micro_batch"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_with_a_status_and_last_words() {
    let script = "i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; exit 3";
    let end = end_of(&Cluster::shared(), scripted(script), "").await;
    assert_told(&end, "error", &["exited with status 3", "exit code 3", "pod assay-"]);
    let expected: Vec<String> = (11..=30).map(|i| format!("line {i}")).collect();
    assert_eq!(end.output, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_without_a_record() {
    let end = end_of(&Cluster::shared(), scripted("exit 0"), "").await;
    assert_told(
        &end,
        "error",
        &["exited without recording a result", "is `image` the pool's worker?"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_by_a_signal() {
    // its cluster takes every second `$` away
    let end = end_of(&Cluster::shared(), scripted("sh -c 'kill -SEGV $$$$'; exit $?"), "").await;
    assert_told(&end, "infrastructure", &["killed by signal 11", "exit code 139 (signal 11)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_by_somebody_on_its_node() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 2 <= run.step).await;
    installation.signal(&run, "KILL");
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_told(&end, "infrastructure", &["killed by signal 9", "kernel log"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_75_is_making_room() {
    let end = end_of(&Cluster::shared(), scripted("exit 75"), "").await;
    assert_told(&end, "preempted", &["made room and left", "exit code 75"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline() {
    let end = end_of(&Cluster::shared(), scripted("sleep 60"), "deadline: 3s").await;
    assert_told(&end, "error", &["ran into its deadline", "Raise `resources.deadline`"]);
}

/// The worker saves a checkpoint when its time is over, and would be queued again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_a_worker_leaves_in_time_for() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "deadline: 6s", "2M")).await;
    let end = installation.end_of("s", 2).await;
    assert_eq!(end.row.outcome, Some(Outcome::Failed), "{end:?}");
    assert_eq!(end.attempts.len(), 1);
    assert_told(&end.attempts[0], "error", &["ran into its deadline"]);
    assert!(!end.checkpoints.is_empty(), "a retry goes on from there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there() {
    let settings = json!({"image": "127.0.0.1:5000/none:1", "patience": {"image": "2s"}});
    let end = end_of(&Cluster::shared(), settings, "").await;
    let words = ["its image could not be pulled", "127.0.0.1:5000/none:1", "image_pull_secrets"];
    assert_told(&end, "infrastructure", &words);
}

/// Goal: a registry that wants a secret which the pool does not have is named. Method: something on
/// each node that answers as such a registry does.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_needs_a_secret() {
    let cluster = Cluster::shared();
    let file = std::env::temp_dir().join("assay-registry-that-refuses");
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=private\r\nContent-Length: 0\r\n\r\n";
    std::fs::write(&file, answer).unwrap();
    let answers = format!("SYSTEM:cat {}", file.display());
    let registry = ["socat", "TCP-LISTEN:5001,fork,reuseaddr", &answers];
    let _registries = ["1", "2"].map(|node| cluster.on(node, &registry));
    let settings = json!({"image": "127.0.0.1:5001/private:1", "patience": {"image": "2s"}});
    let end = end_of(&cluster, settings, "").await;
    let words = ["its image could not be pulled", "127.0.0.1:5001/private:1", "401 Unauthorized"];
    assert_told(&end, "infrastructure", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_name_is_none() {
    let settings = json!({"image": "No Such Image", "patience": {"image": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "").await;
    assert_told(&end, "infrastructure", &["its image could not be pulled", "No Such Image"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing() {
    let variable =
        json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}});
    let template = json!({"spec": {"containers": [{"name": "worker", "env": [variable]}]}});
    let settings = json!({"template": template, "patience": {"config": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "").await;
    let words = ["something that its container asks for is missing", "secret \"hub\" not found"];
    assert_told(&end, "infrastructure", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_missing() {
    let volume = json!({"mount": "/keys", "volume": {"secret": {"secretName": "keys"}}});
    let settings = json!({"volumes": {"keys": volume}, "patience": {"config": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "").await;
    let words = ["something that its container asks for is missing", "secret \"keys\" not found"];
    assert_told(&end, "infrastructure", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_no_node_has() {
    let settings = json!({"device": "example.com/none", "patience": {"unschedulable": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "").await;
    let words = [
        "no node could ever take it",
        "Insufficient example.com/none",
        "has 0 example.com/none in all",
    ];
    assert_told(&end, "infrastructure", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_any_node_has() {
    let settings = json!({"memory_max": "900Gi", "patience": {"unschedulable": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "memory: 900Gi").await;
    assert_told(
        &end,
        "infrastructure",
        &["no node could ever take it", "Insufficient memory", "memory in all"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_no_node_has() {
    let settings = json!({"node_selector_keys": ["gpu"], "patience": {"unschedulable": "1s"}});
    let end = end_of(&Cluster::shared(), settings, "node_selector: {gpu: b200}").await;
    let words = [
        "no node could ever take it",
        "didn't match Pod's node affinity/selector",
        "lacks the label gpu=b200",
    ];
    assert_told(&end, "infrastructure", &words);
}

/// Goal: being busy is never a failure. Method: a device of which there is one, held by somebody else
/// for longer than the pool's whole patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_busy_is_waited_for() {
    let cluster = Cluster::shared();
    cluster.script("gpus", &["1", "1", "example.com/one"]);
    let namespace = cluster.namespace();
    let holder = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "holder", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 6, "containers": [{
            "name": "holder", "image": "assay.test/script:1", "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "SCRIPT", "value": "sleep 600"}],
            "resources": {"limits": {"example.com/one": "1"}},
        }]},
    });
    let settings = json!({"device": "example.com/one", "patience": {"unschedulable": "1s"}});
    let (pools, hasty) = ([("gpus", settings)], ["--lease", "2"]);
    let installation = Installation::beside(&cluster, &namespace, &pools, &hasty);
    cluster.apply(&holder);
    let holds = [
        "--namespace",
        &namespace,
        "wait",
        "pod/holder",
        "--for=condition=PodScheduled",
        "--timeout=60s",
    ];
    cluster.kubectl(&holds);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let waits = installation.first_waits("s", "Insufficient example.com/one").await;
    assert_eq!(waits.row.state, RunState::Leased);
    let view = installation.machine.until_ended("s").await;
    assert!(
        view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded) && run.attempt == 1),
        "{view:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_refuses_pods() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace();
    quota(&cluster, &namespace, "pods");
    let settings = json!({"patience": {"refused": "1s"}});
    let installation = Installation::beside(&cluster, &namespace, &[("gpus", settings)], &[]);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(&end, "infrastructure", &["its pool did not admit it", "exceeded quota: none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_refuses_jobs() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace();
    quota(&cluster, &namespace, "count/jobs.batch");
    let settings = json!({"patience": {"refused": "4s"}});
    let installation = Installation::beside(&cluster, &namespace, &[("gpus", settings)], &[]);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let waits = installation.first_waits("s", "exceeded quota: none").await;
    assert!(waits.row.waiting.unwrap().starts_with("the cluster refuses its Job"));
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(&end, "infrastructure", &["its pool did not admit it", "exceeded quota: none"]);
    let ours = [
        "wait",
        "secret",
        "-l",
        "app.kubernetes.io/managed-by=assay",
        "--for=delete",
        "--timeout=60s",
    ];
    installation.machine.client.cancel("s").await.unwrap();
    installation.machine.until_ended("s").await;
    installation.kubectl(&cluster, &ours);
}

fn quota(cluster: &Cluster, namespace: &str, what: &str) {
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": namespace},
        "spec": {"hard": {what: "0"}},
    }));
    let known = format!("--for=jsonpath={{.status.hard.{}}}=0", what.replace('.', "\\."));
    cluster.kubectl(&[
        "--namespace",
        namespace,
        "wait",
        "resourcequota/none",
        &known,
        "--timeout=60s",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_evicted_saves_a_checkpoint() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 4 <= run.step).await;
    installation.evict(&cluster, &run);
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_told(
        &end,
        "preempted",
        &["saved a checkpoint at step", "EvictionByEvictionAPI", "exit code 75"],
    );
    let view = installation.machine.until_ended("s").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
    let attempts = installation.run("s", run.number).await.attempts;
    assert!(attempts[1].resumed_from.is_some_and(|step| 4 <= step), "{attempts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_evicted_and_does_not_leave() {
    let cluster = Cluster::shared();
    let mut settings = scripted("trap '' TERM; while :; do sleep 1; done");
    settings["grace"] = "1s".into();
    let installation = Installation::start(&cluster, settings);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let run = installation.running(&cluster, "s", 1).await;
    installation.evict(&cluster, &run);
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(&end, "infrastructure", &["was evicted", "exit code 137", "EvictionByEvictionAPI"]);
}

/// The cluster's own priorities, without a queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_gives_way_to_a_higher_priority() {
    let cluster = Cluster::shared();
    cluster.script("gpus", &["2", "1", "example.com/rank"]);
    let class = format!("high-{}", cluster.namespace());
    cluster.apply(&json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": class}, "value": 1000,
    }));
    let mut settings = scripted("trap '' TERM; while :; do sleep 1; done");
    settings["device"] = "example.com/rank".into();
    settings["grace"] = "1s".into();
    let installation = Installation::start(&cluster, settings);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    installation.running(&cluster, "s", 1).await;
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "urgent", "namespace": installation.namespace},
        "spec": {"restartPolicy": "Never", "priorityClassName": class, "containers": [{
            "name": "urgent", "image": "assay.test/script:1", "imagePullPolicy": "IfNotPresent",
            "env": [{"name": "SCRIPT", "value": "sleep 600"}],
            "resources": {"limits": {"example.com/rank": "1"}},
        }]},
    }));
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(
        &end,
        "preempted",
        &["gave way to something of higher priority", "PreemptionByScheduler"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_deleted_by_hand() {
    let cluster = Cluster::shared();
    let mut settings = scripted("trap '' TERM; while :; do sleep 1; done");
    settings["grace"] = "1s".into();
    let installation = Installation::start(&cluster, settings);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let run = installation.running(&cluster, "s", 1).await;
    installation.kubectl(&cluster, &["delete", "job", "-l", &installation.labels(&run)]);
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(&end, "infrastructure", &["killed by signal 9", "its pod was deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_deleted_by_hand_after_its_start() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 2 <= run.step).await;
    installation.kubectl(&cluster, &["delete", "job", "-l", &installation.labels(&run)]);
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_told(&end, "preempted", &["saved a checkpoint"]);
    let view = installation.machine.until_ended("s").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_deleted_by_hand_without_grace() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 2 <= run.step).await;
    let labels = installation.labels(&run);
    installation
        .kubectl(&cluster, &["delete", "pod", "-l", &labels, "--grace-period=0", "--force"]);
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    let reason = end.reason.clone().unwrap_or_default();
    assert!(matches!(end.cause.as_deref(), Some("infrastructure" | "preempted")), "{end:?}");
    assert!(reason.contains("deleted") || reason.contains("saved a checkpoint"), "{reason}");
    let view = installation.machine.until_ended("s").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_silent() {
    let cluster = Cluster::shared();
    let pools = [("gpus", json!({}))];
    let installation =
        Installation::beside(&cluster, &cluster.namespace(), &pools, &["--lease", "3"]);
    installation.machine.apply(&Installation::sweep("s", "", "200k")).await;
    let run = installation.until_training("s", |run| 2 <= run.step).await;
    installation.signal(&run, "STOP");
    let end = installation.end_of("s", run.number).await.attempts.remove(0);
    assert_told(
        &end,
        "infrastructure",
        &["was silent for a whole lease time", "pod assay-", "on node-"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_speaks() {
    let cluster = Cluster::shared();
    let pools = [("gpus", scripted("sleep 600"))];
    let installation =
        Installation::beside(&cluster, &cluster.namespace(), &pools, &["--lease", "3"]);
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let end = installation.end_of("s", 1).await.attempts.remove(0);
    assert_told(
        &end,
        "infrastructure",
        &["ran for a whole lease time without starting work", "on node-"],
    );
}
