//! More than one pool, more than one installation, and pools that do not answer.

use assay_api::client::Error;
use assay_api::view::{ApplyRequest, Outcome, PoolHealth, RunRow};
use assay_tests::{Cluster, Installation};
use serde_json::json;

fn succeeded_at_once(run: &RunRow) -> bool {
    run.outcome == Some(Outcome::Succeeded) && run.attempt == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installation_in_the_namespace_is_left_alone() {
    let cluster = Cluster::shared();
    let script = json!({"image": "assay.test/script:1", "env": {"SCRIPT": "sleep 600"}});
    let namespace = cluster.namespace();
    let one = Installation::beside(&cluster, &namespace, &[("gpus", script)], &[]);
    let two = Installation::beside(&cluster, &namespace, &[("gpus", json!({}))], &[]);
    one.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let run = one.running(&cluster, "s", 1).await;
    let uid = one.pod(&cluster, &run)["metadata"]["uid"].clone();
    // a whole life beside it, with its clearing up
    two.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let view = two.machine.until_ended("s").await;
    assert!(view.runs.iter().all(succeeded_at_once), "{view:?}");
    let pod = one.pod(&cluster, &run);
    assert_eq!(pod["metadata"]["uid"], uid);
    assert_eq!(pod["status"]["phase"], "Running");
    assert!(pod["metadata"]["deletionTimestamp"].is_null(), "{pod}");
}

/// Two pools of one installation in one namespace, as for two kinds of GPU: neither takes what the
/// other left to be looked at for what nobody claims.
#[tokio::test(flavor = "multi_thread")]
async fn another_pool_in_the_namespace_is_left_alone() {
    let cluster = Cluster::shared();
    let pools = [("gpus", json!({})), ("other", json!({}))];
    let installation = Installation::beside(&cluster, &cluster.namespace(), &pools, &[]);
    let other = |name| Installation::sweep(name, "", "4k").replace("pool: gpus", "pool: other");
    // in turns, so that each pool has looked around after the other's Jobs were over
    let sweeps =
        [Installation::sweep("a", "", "4k"), other("b"), Installation::sweep("c", "", "4k")];
    for (sweep, name) in sweeps.iter().zip(["a", "b", "c"]) {
        installation.machine.apply(sweep).await;
        let view = installation.machine.until_ended(name).await;
        assert!(view.runs.iter().all(succeeded_at_once), "{view:?}");
    }
    let jobs = installation.objects(&cluster, "jobs");
    let of_pool = |pool: &str| {
        jobs.iter().filter(|job| job["metadata"]["labels"]["assay.dev/pool"] == pool).count()
    };
    assert_eq!((of_pool("gpus"), of_pool("other")), (4, 2), "{jobs:?}");
}

/// As a crash between two writes leaves it: a Job and a Secret of an attempt that nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_run_claims_is_deleted() {
    let cluster = Cluster::shared();
    let mut installation = Installation::start(&cluster, json!({"device": "example.com/none"}));
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let run = installation.first_waits("s", "Insufficient").await.row;
    installation.machine.end_controller();
    let name = format!("assay-{}-7", run.run_id.0.simple());
    for kind in ["job", "secret"] {
        let mut object = installation.objects(&cluster, kind).remove(0);
        let mut labels = object["metadata"]["labels"].clone();
        labels["assay.dev/attempt"] = "7".into();
        object["metadata"] =
            json!({"name": name, "namespace": installation.namespace, "labels": labels});
        let members = object.as_object_mut().unwrap();
        members.remove("status");
        if let Some(spec) = members.get_mut("spec").and_then(|spec| spec.as_object_mut()) {
            spec.remove("selector");
            spec["template"]["metadata"] = json!({"labels": labels});
        }
        cluster.apply(&object);
    }
    installation.machine.restart_controller();
    let left = "assay.dev/attempt=7";
    for kind in ["job", "pod", "secret"] {
        let gone = ["wait", kind, "-l", left, "--for=delete", "--timeout=60s"];
        installation.kubectl(&cluster, &gone);
    }
    assert_eq!(installation.objects(&cluster, "jobs").len(), 1, "the other is claimed");
}

/// Goal: a crash between any two of Secret, Job and whose the Secret is needs no repair by hand. Method:
/// each of them is missing when the controller comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_half_made_is_made_whole() {
    let cluster = Cluster::shared();
    let mut installation = Installation::start(&cluster, json!({"device": "example.com/none"}));
    installation.machine.apply(&Installation::sweep("s", "", "4k")).await;
    let run = installation.first_waits("s", "Insufficient").await.row;
    let (labels, name) = (installation.labels(&run), format!("assay-{}-1", run.run_id.0.simple()));
    let nobodys = json!({"metadata": {"ownerReferences": null}}).to_string();
    let orphan: [&str; 5] = ["patch", "secret", &name, "-p", &nobodys];
    let broken: [&[&str]; 3] =
        [&orphan, &["delete", "secret", &name], &["delete", "job", &name, "--cascade=foreground"]];
    for breaking in broken {
        installation.machine.end_controller();
        installation.kubectl(&cluster, breaking);
        installation.machine.restart_controller();
        for kind in ["secret", "job"] {
            let exists = ["wait", kind, "-l", &labels, "--for=create", "--timeout=60s"];
            installation.kubectl(&cluster, &exists);
        }
        let owned = "--for=jsonpath={.metadata.ownerReferences[0].kind}=Job";
        installation.kubectl(&cluster, &["wait", "secret", &name, owned, "--timeout=60s"]);
    }
    assert_eq!(installation.run("s", 1).await.attempts.len(), 1, "it is the same attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_was_killed_goes_on_with_what_runs() {
    let cluster = Cluster::shared();
    let mut installation = Installation::start(&cluster, json!({}));
    installation.machine.apply(&Installation::sweep("s", "", "300k")).await;
    installation.until_training("s", |run| 2 <= run.step).await;
    installation.machine.kill_controller();
    installation.until_training("s", |run| 20 <= run.step).await;
    assert!(installation.machine.stop_controller(), "workers on a cluster outlive it");
    installation.machine.restart_controller();
    let view = installation.machine.until_ended("s").await;
    assert!(view.runs.iter().all(succeeded_at_once), "{view:?}");
}

/// Goal: a pool that cannot be reached fails nothing and doubles nothing, and the others go on. Method:
/// two clusters, one whose API server dies while a worker trains there.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_cannot_be_reached_holds_up_nobody() {
    let (cluster, broken) = (Cluster::shared(), Cluster::own());
    let namespace = broken.namespace();
    let far = Installation::abroad(&broken, &namespace);
    let pools = [("gpus", json!({})), ("far", far)];
    let installation = Installation::beside(&cluster, &cluster.namespace(), &pools, &[]);
    let machine = &installation.machine;
    let sweep = Installation::sweep("far", "", "600k").replace("pool: gpus", "pool: far");
    machine.apply(&sweep).await;
    let before = installation.until_training("far", |run| 2 <= run.step).await;
    broken.script("part", &["apiserver", "kill"]);
    machine.apply(&Installation::sweep("near", "", "4k")).await;
    let view = machine.until_ended("near").await;
    assert!(view.runs.iter().all(succeeded_at_once), "{view:?}");
    let pools = machine.client.pools().await.unwrap();
    let far = pools.iter().find(|pool| pool.name == "far").unwrap();
    assert_eq!(far.health, PoolHealth::Unknown);
    assert!(far.why.is_some());
    assert_eq!(far.used, 1, "its slot stays taken");
    // the worker speaks to the controller all the while
    installation.until_training("far", |run| before.step + 10 <= run.step).await;
    broken.script("part", &["apiserver", "start"]);
    let view = machine.until_ended("far").await;
    assert!(view.runs.iter().all(succeeded_at_once), "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_does_not_give_is_refused_at_apply() {
    let cluster = Cluster::shared();
    let settings = json!({"queues": ["team-a"], "volumes": {"corpus": {"mount": "/elsewhere"}}});
    let installation = Installation::start(&cluster, settings);
    let machine = &installation.machine;
    let asked = "queue: team-b, memory: 2Gi, priority_class: high, node_selector: {gpu: h100}";
    let request = ApplyRequest {
        file: Installation::sweep("s", asked, "4k"),
        folder: Some(machine.corpus.folder().to_owned()),
        prune: false,
        retry: Vec::new(),
        repin: false,
    };
    let Err(Error::Refused { problem, .. }) = machine.client.apply(&request).await else {
        panic!("it was taken");
    };
    let mut told: Vec<_> =
        problem.errors.iter().map(|error| format!("{}: {}", error.path, error.message)).collect();
    told.sort();
    let folder = machine.corpus.folder();
    let expected = [
        format!(
            "data.sources.general.path: {folder}/general.jsonl: the pool's workers do not see it; they see \
             /elsewhere, {folder}/storage: put it there"
        ),
        "resources.memory: the pool gives an attempt at most 1Gi of memory".to_owned(),
        "resources.node_selector: the pool lets sweeps choose by no label".to_owned(),
        "resources.priority_class: the pool has no priority class to ask for".to_owned(),
        "resources.queue: the pool has only the queue `team-a`".to_owned(),
    ];
    assert_eq!(told, expected);
    assert!(machine.client.sweeps().await.unwrap().is_empty(), "nothing is stored");

    let unknown = ApplyRequest { file: request.file.replace("pool: gpus", "pool: gpu"), ..request };
    let Err(Error::Refused { problem, .. }) = machine.client.apply(&unknown).await else {
        panic!("it was taken");
    };
    assert_eq!(problem.errors[0].message, "there is no pool `gpu`; there is `gpus`");
}
