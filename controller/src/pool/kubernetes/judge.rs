//! From what a cluster shows of one attempt to what the scheduler and people are told. Pure.
//!
//! docs/deaths.md has the table of ends, in the order of causes; tests/it/kubernetes has a test that
//! makes each of them happen.

use assay_scheduler::{AttemptSeen, Exit, Obstacle, Time};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Date;

use super::job::{self, WORKER};
use crate::pool::Seen;

/// Reasons of a container that waits for its image.
const IMAGE: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "ImageInspectError",
];
/// Reasons of a container that waits for something else that is missing or wrong.
const CONFIG: [&str; 4] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
];
/// Who can help where the cluster refuses.
const ASK: &str = "Ask whoever keeps the namespace's quotas and admission rules";
/// `EX_TEMPFAIL`: it saved a checkpoint and left.
const EXIT_PREEMPTED: i32 = 75;
const SIGKILL: i32 = 9;
/// A shell's and a runtime's way to say that a signal ended a process.
const SIGNALLED: i32 = 128;

/// Everything that is known of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) job: Option<&'a Job>,
    pub(super) pod: Option<&'a Pod>,
    /// Its pod as it was last seen, if it is gone.
    pub(super) departed: Option<&'a Pod>,
    pub(super) has_secret: bool,
    /// Of the pod's node; none: nobody may look at nodes.
    pub(super) is_node_lost: Option<bool>,
    /// Why no node could ever take it, if that is so.
    pub(super) never_fits: Option<&'a str>,
    /// What its queue says.
    pub(super) queue: Option<&'a str>,
    /// The last warning about its pod, or about its Job where there is no pod.
    pub(super) warning: Option<&'a str>,
    /// The cluster's words, if it refuses to take it.
    pub(super) refused: Option<&'a str>,
    pub(super) now: Time,
}

/// None: the cluster does not have it. What is stuck is so since now: whoever remembers knows better.
pub(super) fn judge(facts: &Facts<'_>) -> Option<Seen> {
    let (what, told) = see(facts)?;
    let slots = [facts.job.map(|job| &job.metadata), facts.pod.map(|pod| &pod.metadata)];
    let slots = slots.into_iter().flatten().find_map(job::slots);
    Some(Seen { what, slots, told })
}

fn see(facts: &Facts<'_>) -> Option<(AttemptSeen, Option<String>)> {
    if let Some(pod) = facts.pod
        && !is_over(pod)
    {
        return Some(alive(facts, pod));
    }
    let Some(job) = facts.job else {
        return match facts.pod {
            Some(pod) => Some(ended(facts, pod)),
            None => unmade(facts),
        };
    };
    if is_suspended(job) {
        let why = facts.queue.unwrap_or("its Job is suspended, and its queue has not said why yet");
        return Some((AttemptSeen::Suspended { why: why.to_owned() }, None));
    }
    // of this very Job: one that was deleted may have been made again under its name
    let is_its = |pod: &&Pod| owner(pod).is_some() && owner(pod) == job.metadata.uid.as_deref();
    let has_run = |pod: &&Pod| terminated(pod).is_some() || is_over(pod);
    let departed = facts.departed.filter(is_its).filter(has_run);
    match (facts.pod.or(departed), finished(job)) {
        // somebody deletes it before it ever ran; once it is gone it can be made again
        (None, _) if job.metadata.deletion_timestamp.is_some() => Some(podless(facts)),
        // its Job may not have taken note yet; no other pod can follow this one
        (Some(pod), _) => Some(ended(facts, pod)),
        (None, Some(Finished::Deadline)) => {
            Some((AttemptSeen::Ended { exit: Exit::Deadline }, out_of_time(job)))
        }
        (None, Some(Finished::Complete)) => {
            Some((AttemptSeen::Ended { exit: Exit::Code(0) }, None))
        }
        (None, Some(Finished::Failed)) => {
            let told = "its pod is gone: somebody deleted it, or its node, and how it ended cannot be seen any more";
            Some((AttemptSeen::Ended { exit: Exit::Unknown }, Some(told.to_owned())))
        }
        (None, None) => Some(podless(facts)),
    }
}

/// A Job without a pod: the cluster does not let it have one, or has not come to it yet.
fn podless(facts: &Facts<'_>) -> (AttemptSeen, Option<String>) {
    match facts.warning {
        Some(why) => {
            let told = Some(format!("{why}. {ASK}"));
            let why = format!("the cluster refuses its pod: {why}");
            (AttemptSeen::Stuck { since: facts.now, obstacle: Obstacle::Refused, why }, told)
        }
        None => {
            let why = "its pod is about to be created".to_owned();
            (AttemptSeen::Starting { why }, None)
        }
    }
}

/// No Job and no pod.
fn unmade(facts: &Facts<'_>) -> Option<(AttemptSeen, Option<String>)> {
    if let Some(words) = facts.refused {
        let why = format!("the cluster refuses its Job: {words}");
        let told = Some(format!("{words}. {ASK}"));
        let obstacle = Obstacle::Refused;
        return Some((AttemptSeen::Stuck { since: facts.now, obstacle, why }, told));
    }
    let why = || "its Job is about to be created".to_owned();
    facts.has_secret.then(|| (AttemptSeen::Starting { why: why() }, None))
}

/// A pod that holds its node's resources, or waits for some.
fn alive(facts: &Facts<'_>, pod: &Pod) -> (AttemptSeen, Option<String>) {
    let place = place(pod);
    if is_lost(facts, pod) {
        let told = format!(
            "{place}, which does not answer; what it did since its last checkpoint is done again"
        );
        return (AttemptSeen::NodeLost, Some(told));
    }
    if let Some(since) = running_since(pod) {
        return (AttemptSeen::Running { since }, Some(place));
    }
    let status = pod.status.as_ref();
    let waiting = worker(pod).and_then(|worker| worker.state.as_ref()?.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let words = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or(reason);
    let stuck = |obstacle, why: String, advice: &str| {
        let told = Some(format!("{place}: {why}. {advice}"));
        (AttemptSeen::Stuck { since: facts.now, obstacle, why }, told)
    };
    if IMAGE.contains(&reason) {
        let why = format!("its image cannot be pulled: {words}");
        return stuck(Obstacle::Image, why, "Check `image` and `image_pull_secrets` of the pool");
    }
    if CONFIG.contains(&reason) {
        let why = format!("its container cannot be made: {words}");
        return stuck(Obstacle::Config, why, "Check the pool's volumes, environment and template");
    }
    let unscheduled = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let unscheduled =
        unscheduled.into_iter().find(|is| is.type_ == "PodScheduled" && is.status != "True");
    if let Some(condition) = unscheduled {
        let words =
            condition.message.as_deref().unwrap_or("the scheduler has not looked at it yet");
        let why = format!("no node takes it: {words}");
        return match facts.never_fits {
            Some(never) => stuck(
                Obstacle::Unschedulable,
                format!("{why} ({never})"),
                "Ask for less, or have a node added; check the pool's node selector and tolerations",
            ),
            None => (AttemptSeen::Starting { why }, None),
        };
    }
    match facts.warning {
        Some(warning) => {
            let why = format!("its container is not made yet: {warning}");
            stuck(Obstacle::Config, why, "Check the pool's volumes and secrets")
        }
        None => {
            let why = format!("its container is being made, in {place}");
            (AttemptSeen::Starting { why }, None)
        }
    }
}

/// Its node is gone, or is silent and somebody has given the pod up.
fn is_lost(facts: &Facts<'_>, pod: &Pod) -> bool {
    let is_given_up = pod.metadata.deletion_timestamp.is_some();
    match facts.is_node_lost {
        Some(is_lost) => is_lost && is_given_up,
        None => {
            is_given_up
                && disruption(pod).is_some_and(|(reason, _)| reason == "DeletionByTaintManager")
        }
    }
}

/// How a pod ended that is over.
fn ended(facts: &Facts<'_>, pod: &Pod) -> (AttemptSeen, Option<String>) {
    let exit = exit(facts, pod);
    let told = format!("{}{}. {}", place(pod), how(pod), advice(exit, pod));
    (AttemptSeen::Ended { exit }, Some(told))
}

fn exit(facts: &Facts<'_>, pod: &Pod) -> Exit {
    let status = pod.status.as_ref();
    let reason = status.and_then(|status| status.reason.as_deref()).unwrap_or_default();
    let disruption = disruption(pod).map(|(reason, _)| reason);
    let terminated = terminated(pod);
    if facts.job.and_then(finished) == Some(Finished::Deadline) || reason == "DeadlineExceeded" {
        return Exit::Deadline;
    }
    if terminated.is_some_and(|end| end.reason.as_deref() == Some("OOMKilled")) {
        return Exit::OutOfMemory;
    }
    if let Some(ContainerStateTerminated { exit_code: EXIT_PREEMPTED, .. }) = terminated {
        return Exit::Code(EXIT_PREEMPTED);
    }
    match (disruption, reason) {
        (Some("PreemptionByScheduler"), _) | (_, "Preempting") => return Exit::Preempted,
        (Some(_), _) | (_, "Evicted" | "NodeLost" | "NodeShutdown" | "Terminated" | "Shutdown") => {
            return Exit::Evicted;
        }
        _ => (),
    }
    match terminated {
        None => Exit::Unknown,
        Some(end) => match (end.signal, end.exit_code) {
            (Some(signal), _) if 0 < signal => Exit::Signal(signal),
            (_, code) if SIGNALLED < code => Exit::Signal(code - SIGNALLED),
            (_, code) => Exit::Code(code),
        },
    }
}

/// What can be seen of an end: codes, and the words of whoever caused it.
fn how(pod: &Pod) -> String {
    let mut how = String::new();
    if let Some(end) = terminated(pod) {
        how += &format!(", exit code {}", end.exit_code);
        if SIGNALLED < end.exit_code {
            how += &format!(" (signal {})", end.exit_code - SIGNALLED);
        }
        let reason = end.reason.as_deref().unwrap_or_default();
        if !matches!(reason, "" | "Error" | "Completed") {
            how += &format!(", {reason}");
        }
    }
    let status = pod.status.as_ref();
    let words = status.and_then(|status| status.message.as_deref()).map(str::trim_end);
    match (disruption(pod), words) {
        (Some((reason, message)), _) => how += &format!(": {reason} ({message})"),
        (None, Some(words)) if !words.is_empty() => how += &format!(": {words}"),
        (None, _) if pod.metadata.deletion_timestamp.is_some() => how += ": its pod was deleted",
        (None, _) => (),
    }
    how.trim_end_matches('.').to_owned()
}

fn advice(exit: Exit, pod: &Pod) -> String {
    match exit {
        Exit::OutOfMemory => {
            let limit = pod.spec.iter().flat_map(|spec| &spec.containers);
            let limit = limit.filter(|container| container.name == WORKER).find_map(|container| {
                container.resources.as_ref()?.limits.as_ref()?.get("memory").cloned()
            });
            let limit = limit.map_or_else(|| "what its node has".to_owned(), |limit| limit.0);
            format!("It may use {limit}: raise `resources.memory`, or lower `train.batch` or `train.context`")
        }
        Exit::Deadline => "Raise `resources.deadline`, or give it more devices; a retry goes on from its last checkpoint".to_owned(),
        Exit::Preempted => "It goes on from its last checkpoint when there is room; `resources.priority_class` says who gives way".to_owned(),
        Exit::Evicted | Exit::Unknown => "It goes on from its last checkpoint elsewhere".to_owned(),
        Exit::Code(EXIT_PREEMPTED) => "It saved a checkpoint, and goes on from it".to_owned(),
        Exit::Signal(SIGKILL) => "Nothing says why: the node's kernel log may, if it was short of memory".to_owned(),
        Exit::Signal(_) => "Its last lines of output may say why".to_owned(),
        Exit::Code(0) => "It left no result, which a worker never does: is `image` the pool's worker?".to_owned(),
        Exit::Code(_) => "Its last lines of output say why".to_owned(),
    }
}

/// The UID of its Job.
fn owner(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.kind == "Job").map(|owner| owner.uid.as_str())
}

/// As people look for it.
fn place(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
        Some(node) => format!("pod {name} on {node}"),
        None => format!("pod {name}"),
    }
}

/// Its containers will never run again.
pub(super) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// It has a node and no container yet.
pub(super) fn is_being_made(pod: &Pod) -> bool {
    let is_placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    is_placed && !is_over(pod) && running_since(pod).is_none()
}

pub(super) fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    Complete,
    Failed,
    Deadline,
}

/// Whether its Job has ended, or is about to with nothing left to decide.
pub(super) fn finished(job: &Job) -> Option<Finished> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().filter(|is| is.status == "True").find_map(|condition| {
        let is_late = condition.reason.as_deref() == Some("DeadlineExceeded");
        match condition.type_.as_str() {
            "Failed" | "FailureTarget" if is_late => Some(Finished::Deadline),
            "Failed" => Some(Finished::Failed),
            "Complete" => Some(Finished::Complete),
            _ => None,
        }
    })
}

fn out_of_time(job: &Job) -> Option<String> {
    let limit = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds)?;
    Some(format!(
        "an attempt may take {limit} s. Raise `resources.deadline`, or give it more devices; a retry goes on \
         from its last checkpoint"
    ))
}

/// Who made the pod leave, as Kubernetes writes it down: reason and words.
fn disruption(pod: &Pod) -> Option<(&str, &str)> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let found = conditions.into_iter().flatten().find(|is| is.type_ == "DisruptionTarget")?;
    Some((found.reason.as_deref()?, found.message.as_deref().unwrap_or_default()))
}

fn worker(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == WORKER)
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let worker = worker(pod)?;
    let states = [worker.state.as_ref(), worker.last_state.as_ref()];
    states.into_iter().flatten().find_map(|state| state.terminated.as_ref())
}

/// A container that has ended in a pod that is not over yet still holds its node's resources.
fn running_since(pod: &Pod) -> Option<Time> {
    let state = worker(pod)?.state.as_ref()?;
    let running = state.running.as_ref().map(|running| running.started_at.as_ref());
    let over = || state.terminated.as_ref().map(|over| over.started_at.as_ref());
    running.or_else(over).map(time)
}

fn time(date: Option<&Date>) -> Time {
    date.map_or(Time(0), |date| Time(date.0.as_millisecond()))
}
