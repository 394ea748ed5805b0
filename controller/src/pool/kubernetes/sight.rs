//! What a pool sees of its cluster, and what it remembers of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use assay_scheduler::{AttemptSeen, Obstacle, Time};
use chrono::Utc;
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as Note, Node, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta};
use kube::runtime::watcher::{Event, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::judge::{self, Facts, judge};
use super::mirror::{self, Mirror};
use super::{job, node};
use crate::pool::{AttemptKey, Claim, Claims, Seen};

/// Between two looks at whether the cluster answers, while it does.
const PROBE: Duration = Duration::from_secs(3);
/// While it does not.
const PROBE_IN_TROUBLE: Duration = Duration::from_secs(1);
/// A cluster that takes longer to answer is not reached.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Questions to one cluster at a time.
const QUESTIONS_AT_ONCE: usize = 8;
/// What has not begun for so long may have a warning that says why.
const WARN_AFTER_MS: i64 = 3_000;
/// A warning is asked for again after this.
const WARNING_AGE: Duration = Duration::from_secs(5);
/// Kinds of warnings that say what keeps a Job from its pod, or a pod from its container. Others
/// (`FailedScheduling`) are said better elsewhere.
const WARNINGS: [&str; 5] = [
    "FailedCreate",
    "FailedMount",
    "FailedAttachVolume",
    "FailedMapVolume",
    "FailedCreatePodSandBox",
];

pub(super) struct Sight {
    /// Label selector of everything that is this pool's.
    ours: String,
    jobs: Mirror<Job>,
    pods: Mirror<Pod>,
    secrets: Mirror<PartialObjectMeta<Secret>>,
    /// Empty and never whole where nobody allowed it.
    nodes: Mirror<Node>,
    workloads: Mirror<DynamicObject>,
    notes: Api<Note>,
    memory: Arc<Mutex<Memory>>,
}

/// What the cluster does not keep.
#[derive(Debug, Default)]
struct Memory {
    trouble: Option<String>,
    /// Pods that are gone, as they were last seen.
    departed: BTreeMap<AttemptKey, Pod>,
    /// Attempts that were seen whole: Secret, Job and whose the Secret is.
    made: BTreeSet<AttemptKey>,
    /// The cluster's words on what it refuses to take.
    refused: BTreeMap<AttemptKey, String>,
    /// What keeps an attempt from beginning, and since when it does.
    stuck: BTreeMap<AttemptKey, (Obstacle, Time)>,
    /// What was last noted of an object, by UID, if it is a warning; and when it was asked for.
    warnings: BTreeMap<String, (Instant, Option<String>)>,
}

/// One attempt, as copies or answers have it.
#[derive(Clone, Debug, Default)]
struct Found {
    job: Option<Arc<Job>>,
    pod: Option<Arc<Pod>>,
    has_secret: bool,
}

/// The kinds that the cluster is asked for by name.
pub(super) type Apis<'a> = (&'a Api<Job>, &'a Api<Pod>, &'a Api<Secret>);

impl Sight {
    /// Begins to watch.
    pub(super) fn new(
        client: &Client,
        namespace: &str,
        owner: &job::Owner,
        wake: Arc<Notify>,
    ) -> Self {
        let ours = owner.selector();
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (jobs_api, pods_api) = (
            Api::<Job>::namespaced(client.clone(), namespace),
            Api::<Pod>::namespaced(client.clone(), namespace),
        );
        let secrets_api = Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), namespace);
        let (woken, departures) = (wake.clone(), memory.clone());
        let config = mirror::config().labels(&ours);
        let jobs = Mirror::of(watcher(jobs_api.clone(), config.clone()), move |_| {
            woken.notify_one();
        });
        let pods = Mirror::of(watcher(pods_api, config.clone()), move |event| {
            if let Event::Delete(pod) = event
                && let Some(key) = job::key(&pod.metadata)
            {
                lock(&departures).departed.insert(key, pod.clone());
            }
            wake.notify_one();
        });
        let secrets = Mirror::of(watcher(secrets_api, config), |_| ());
        let nodes =
            Mirror::of_optional((), watcher(Api::<Node>::all(client.clone()), mirror::config()));
        let workload = ApiResource {
            group: "kueue.x-k8s.io".to_owned(),
            version: "v1beta2".to_owned(),
            api_version: "kueue.x-k8s.io/v1beta2".to_owned(),
            kind: "Workload".to_owned(),
            plural: "workloads".to_owned(),
        };
        let workloads = Api::namespaced_with(client.clone(), namespace, &workload);
        let workloads = Mirror::of_optional(workload, watcher(workloads, mirror::config()));
        let notes = Api::namespaced(client.clone(), namespace);
        tokio::spawn(probe(jobs_api, ours.clone(), memory.clone()));
        Self { ours, jobs, pods, secrets, nodes, workloads, notes, memory }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    pub(super) fn labels_of(&self, key: AttemptKey) -> String {
        let AttemptKey { run, attempt } = key;
        format!("{},{}={run},{}={attempt}", self.ours, job::RUN, job::ATTEMPT)
    }

    /// Why the cluster cannot be seen, if it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.memory().trouble.clone() {
            return Some(trouble);
        }
        let parts = [
            ("jobs", self.jobs.is_whole()),
            ("pods", self.pods.is_whole()),
            ("secrets", self.secrets.is_whole()),
        ];
        let (what, _) = parts.iter().find(|(_, is_whole)| !is_whole)?;
        let failure = match *what {
            "jobs" => self.jobs.failure(),
            "pods" => self.pods.failure(),
            _ => self.secrets.failure(),
        };
        Some(format!(
            "cannot list its {what}: {}",
            failure.as_deref().unwrap_or("not answered yet")
        ))
    }

    pub(super) fn made(&self, key: AttemptKey) {
        let mut memory = self.memory();
        memory.made.insert(key);
        memory.refused.remove(&key);
    }

    /// Whether an attempt was made whole, and its Job and Secret are still there.
    pub(super) fn is_made(&self, key: AttemptKey) -> bool {
        let is_its = |meta: &ObjectMeta| job::key(meta) == Some(key);
        self.memory().made.contains(&key)
            && self.jobs.all().iter().any(|job| is_its(&job.metadata))
            && self.secrets.all().iter().any(|secret| is_its(&secret.metadata))
    }

    pub(super) fn refused(&self, key: AttemptKey, words: String) {
        self.memory().refused.insert(key, words);
    }

    pub(super) fn forget(&self, key: AttemptKey) {
        let mut memory = self.memory();
        memory.made.remove(&key);
        memory.refused.remove(&key);
        memory.stuck.remove(&key);
        memory.departed.remove(&key);
    }

    /// Every attempt that the cluster has; absent ones of the claimed have been asked for.
    pub(super) async fn look(
        &self,
        claimed: &Claims,
        apis: Apis<'_>,
    ) -> anyhow::Result<BTreeMap<AttemptKey, Seen>> {
        if let Some(trouble) = self.trouble() {
            anyhow::bail!(trouble);
        }
        let mut found = self.copied(claimed);
        let missing = claimed.iter().filter(|(key, claim)| !is_conclusive(found.get(key), **claim));
        let missing: Vec<AttemptKey> = missing.map(|(key, _)| *key).collect();
        let asked: Vec<(AttemptKey, Found)> = stream::iter(missing)
            .map(|key| self.ask(key, apis))
            .buffer_unordered(QUESTIONS_AT_ONCE)
            .try_collect()
            .await?;
        found.extend(asked);
        let warnings = self.warnings(&found).await;
        self.tidy(&found, claimed);
        Ok(self.judged(&found, &warnings))
    }

    /// From the copies. A finished Job that was left to the cluster's clock is nobody's any more,
    /// unless somebody lays claim to it.
    fn copied(&self, claimed: &Claims) -> BTreeMap<AttemptKey, Found> {
        let mut found: BTreeMap<AttemptKey, Found> = BTreeMap::new();
        let mut left = BTreeSet::new();
        for job in self.jobs.all() {
            let Some(key) = job::key(&job.metadata) else { continue };
            let is_left =
                job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some());
            if is_left && judge::finished(&job).is_some() && !claimed.contains_key(&key) {
                left.insert(key);
            }
            found.entry(key).or_default().job = Some(job);
        }
        for pod in self.pods.all() {
            let Some(key) = job::key(&pod.metadata) else { continue };
            let entry = found.entry(key).or_default();
            entry.pod = Some(later(entry.pod.take(), pod));
        }
        for secret in self.secrets.all() {
            let Some(key) = job::key(&secret.metadata) else { continue };
            found.entry(key).or_default().has_secret = true;
        }
        found.retain(|key, _| !left.contains(key));
        found
    }

    /// The cluster's own word on one attempt.
    async fn ask(&self, key: AttemptKey, apis: Apis<'_>) -> anyhow::Result<(AttemptKey, Found)> {
        let (jobs, pods, secrets) = apis;
        let name = job::name(key);
        let job = jobs.get_opt(&name).await.context("cannot ask for a Job")?;
        let of_key = ListParams::default().labels(&self.labels_of(key));
        let pods = pods.list(&of_key).await.context("cannot ask for pods")?;
        let secret = secrets.get_metadata_opt(&name).await.context("cannot ask for a Secret")?;
        let pod = pods.items.into_iter().map(Arc::new);
        let pod = pod.fold(None, |one, other| Some(later(one, other)));
        Ok((key, Found { job: job.map(Arc::new), pod, has_secret: secret.is_some() }))
    }

    /// By UID: what is in the way of what has not begun for a while. They help people; without them
    /// nothing is judged wrongly.
    async fn warnings(&self, found: &BTreeMap<AttemptKey, Found>) -> BTreeMap<String, String> {
        let now = Utc::now().timestamp_millis();
        let uids: BTreeSet<String> =
            found.values().filter_map(|found| hindered(found, now)).collect();
        let stale = |uid: &&String| {
            let memory = self.memory();
            memory.warnings.get(*uid).is_none_or(|(at, _)| WARNING_AGE <= at.elapsed())
        };
        let stale: Vec<String> = uids.iter().filter(stale).cloned().collect();
        let asked: Vec<(String, Option<String>)> = stream::iter(stale)
            .map(|uid| self.warning(uid))
            .buffer_unordered(QUESTIONS_AT_ONCE)
            .collect()
            .await;
        let mut memory = self.memory();
        let at = Instant::now();
        memory.warnings.extend(asked.into_iter().map(|(uid, words)| (uid, (at, words))));
        memory.warnings.retain(|uid, _| uids.contains(uid));
        let said = memory
            .warnings
            .iter()
            .filter_map(|(uid, (_, words))| Some((uid.clone(), words.clone()?)));
        said.collect()
    }

    async fn warning(&self, uid: String) -> (String, Option<String>) {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        let notes = match self.notes.list(&params).await {
            Ok(notes) => notes.items,
            Err(error) => {
                tracing::debug!("cannot ask for events: {}", super::words(&error.into()));
                return (uid, None);
            }
        };
        let is_warning =
            |note: &Note| WARNINGS.contains(&note.reason.as_deref().unwrap_or_default());
        // what went on since has overcome it
        let last =
            notes.into_iter().max_by_key(|note| (note.last_timestamp.clone(), !is_warning(note)));
        (uid, last.filter(is_warning).and_then(|note| note.message))
    }

    /// What is remembered of attempts that nobody has or wants is forgotten.
    fn tidy(&self, found: &BTreeMap<AttemptKey, Found>, claimed: &Claims) {
        let is_known = |key: &AttemptKey| claimed.contains_key(key) || found.contains_key(key);
        let mut memory = self.memory();
        memory.departed.retain(|key, _| is_known(key));
        memory.made.retain(is_known);
        memory.refused.retain(|key, _| claimed.contains_key(key));
        memory.stuck.retain(|key, _| is_known(key));
    }

    fn judged(
        &self,
        found: &BTreeMap<AttemptKey, Found>,
        warnings: &BTreeMap<String, String>,
    ) -> BTreeMap<AttemptKey, Seen> {
        let nodes = self.nodes.is_whole().then(|| self.nodes.all());
        let workloads = self.workloads.all();
        let now = Time(Utc::now().timestamp_millis());
        let mut memory = self.memory();
        let refused: Vec<AttemptKey> = memory.refused.keys().copied().collect();
        let nothing = Found::default();
        let also = refused.iter().filter(|key| !found.contains_key(key)).map(|key| (key, &nothing));
        let mut seen = BTreeMap::new();
        for (key, found) in found.iter().chain(also) {
            let Found { job, pod, has_secret } = found;
            let never_fits = match (pod, &nodes) {
                (Some(pod), Some(nodes)) => never_fits(pod, nodes),
                _ => None,
            };
            let uid =
                pod.as_ref().map(|pod| &pod.metadata).or(job.as_ref().map(|job| &job.metadata));
            let uid = uid.and_then(|meta| meta.uid.as_ref());
            let queue = job.as_ref().and_then(|job| queue_says(job, &workloads));
            let facts = Facts {
                job: job.as_deref(),
                pod: pod.as_deref(),
                departed: memory.departed.get(key),
                has_secret: *has_secret,
                is_node_lost: pod
                    .as_ref()
                    .zip(nodes.as_ref())
                    .map(|(pod, nodes)| is_node_lost(pod, nodes)),
                never_fits: never_fits.as_deref(),
                queue: queue.as_deref(),
                warning: uid.and_then(|uid| warnings.get(uid)).map(String::as_str),
                refused: memory.refused.get(key).map(String::as_str),
                now,
            };
            if let Some(mut sight) = judge(&facts) {
                memory.remember(*key, &mut sight.what, now);
                seen.insert(*key, sight);
            }
        }
        seen
    }
}

impl Memory {
    /// What is stuck is so since it was first seen with the same obstacle: the cluster dates none.
    fn remember(&mut self, key: AttemptKey, what: &mut AttemptSeen, now: Time) {
        let AttemptSeen::Stuck { since, obstacle, .. } = what else {
            self.stuck.remove(&key);
            return;
        };
        let known = self.stuck.entry(key).or_insert((*obstacle, now));
        if known.0 != *obstacle {
            *known = (*obstacle, now);
        }
        *since = known.1;
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again and again whether the cluster answers: a watch on a dead connection only stays silent.
async fn probe(jobs: Api<Job>, ours: String, memory: Arc<Mutex<Memory>>) {
    let params = ListParams::default().labels(&ours).limit(1);
    loop {
        let answer = tokio::time::timeout(PROBE_TIMEOUT, jobs.list_metadata(&params)).await;
        let trouble = match answer {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(super::words(&error.into())),
            Err(_) => Some(format!("no answer for {} s", PROBE_TIMEOUT.as_secs())),
        };
        let is_well = trouble.is_none();
        lock(&memory).trouble = trouble;
        tokio::time::sleep(if is_well { PROBE } else { PROBE_IN_TROUBLE }).await;
    }
}

/// Copies lag. A finished Job without its pod says too little, and one that is held back although its
/// worker has begun may have been let go long ago.
fn is_conclusive(found: Option<&Found>, claim: Claim) -> bool {
    match found.map(|found| (&found.job, &found.pod)) {
        Some((Some(job), None)) => {
            judge::finished(job).is_none() && !(claim == Claim::Begun && judge::is_suspended(job))
        }
        Some((Some(_), Some(_)) | (None, Some(_))) => true,
        Some((None, None)) | None => false,
    }
}

fn later(one: Option<Arc<Pod>>, other: Arc<Pod>) -> Arc<Pod> {
    let made = |pod: &Arc<Pod>| pod.metadata.creation_timestamp.clone();
    match one {
        Some(one) if made(&other) < made(&one) => one,
        _ => other,
    }
}

/// The UID of what has not begun and had the time to.
fn hindered(found: &Found, now: i64) -> Option<String> {
    let meta = match (&found.job, &found.pod) {
        (Some(job), None) if !judge::is_suspended(job) && judge::finished(job).is_none() => {
            &job.metadata
        }
        (_, Some(pod)) if judge::is_being_made(pod) => &pod.metadata,
        _ => return None,
    };
    let made = meta.creation_timestamp.as_ref()?.0.as_millisecond();
    if now < made + WARN_AFTER_MS { None } else { meta.uid.clone() }
}

fn never_fits(pod: &Pod, nodes: &[Arc<Node>]) -> Option<String> {
    const SAID: usize = 3;
    let is_placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    if is_placed || judge::is_over(pod) {
        return None;
    }
    let mut why = Vec::new();
    for node in nodes {
        let obstacle = node::obstacle(node, pod)?;
        why.push(format!("{} {obstacle}", node.metadata.name.as_deref().unwrap_or("a node")));
    }
    let more = why.len().saturating_sub(SAID);
    why.truncate(SAID);
    if 0 < more {
        why.push(format!("so it is with {more} more"));
    }
    if why.is_empty() { Some("there is no node".to_owned()) } else { Some(why.join("; ")) }
}

fn is_node_lost(pod: &Pod, nodes: &[Arc<Node>]) -> bool {
    let Some(name) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) else {
        return false;
    };
    let node = nodes.iter().find(|node| node.metadata.name.as_ref() == Some(name));
    node.is_none_or(|node| node::is_lost(node))
}

/// Kueue writes what it thinks of a Job into a Workload of its own.
fn queue_says(job: &Job, workloads: &[Arc<DynamicObject>]) -> Option<String> {
    let uid = job.metadata.uid.as_ref()?;
    let queue = job.metadata.labels.as_ref()?.get(job::QUEUE)?;
    let is_of_job = |workload: &&Arc<DynamicObject>| {
        let owners = workload.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| owner.uid == *uid)
    };
    let Some(workload) = workloads.iter().find(is_of_job) else {
        return Some(format!("queue {queue} has not taken note of it: is Kueue well?"));
    };
    let conditions = workload.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let reserved =
        conditions.iter().find(|is| is["type"] == "QuotaReserved" && is["status"] != "True");
    let words = reserved.and_then(|condition| condition["message"].as_str());
    Some(match words {
        Some(words) => format!("queue {queue}: {words}"),
        None => format!("queue {queue} is about to let it go"),
    })
}
