//! An attempt that nothing befalls, and what is left of it.

use assay_api::view::{Outcome, RunState};
use assay_tests::{Cluster, Installation};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_trained_by_jobs_that_stay_to_be_looked_at() {
    let cluster = Cluster::shared();
    let installation = Installation::start(&cluster, json!({}));
    let machine = &installation.machine;
    machine.apply(&Installation::sweep("small", "", "4k")).await;
    let view = machine.until_ended("small").await;
    assert!(view.runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)), "{view:?}");

    let kept = "--for=jsonpath={.spec.ttlSecondsAfterFinished}=600";
    installation.kubectl(&cluster, &["wait", "job", "--all", kept, "--timeout=60s"]);
    let ours = "app.kubernetes.io/managed-by=assay";
    installation
        .kubectl(&cluster, &["wait", "secret", "-l", ours, "--for=delete", "--timeout=60s"]);
    assert_eq!(installation.objects(&cluster, "jobs").len(), 2, "one an attempt");
    for pod in installation.objects(&cluster, "pods") {
        assert_eq!(pod["status"]["phase"], "Succeeded", "it left by itself: {pod}");
    }
    let place = installation.run("small", 2).await.attempts[0].place.clone().unwrap();
    assert!(place.starts_with("pod assay-") && place.contains(" on node-"), "{place}");
    assert!(view.runs.iter().all(|run| run.state == RunState::Done && run.waiting.is_none()));
}
