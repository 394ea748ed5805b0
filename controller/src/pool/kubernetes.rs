//! The Kubernetes pool: one Job an attempt, in one namespace of one cluster.
//!
//! A Job has one pod and never a second one; whatever happens to the pod happens to the attempt, and
//! a new attempt is a new Job. Names come from run and attempt, so that creating twice is harmless.
//! Everything carries the installation's id and the pool's name, and nothing without them is touched.
//!
//! Watches keep a copy of what the cluster has ([`mirror`]); what it says of an attempt is
//! judged in one place ([`judge`]). A finished Job that is accounted for is left to the cluster, which
//! deletes it after a while; people can look until then.

mod job;
mod judge;
mod mirror;
mod node;
mod settings;
mod sight;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use assay_api::spec::Engine;
use assay_api::sweep::Resources;
use assay_api::view::PoolKind;
use assay_scheduler::Patience;
use futures_util::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{
    DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{AttemptKey, Claims, LAST_WORDS, Left, Order, Pool, Refusal, Seen, Stop};

pub use settings::{Mounted, PatienceSettings, Settings};
use sight::Sight;

/// A server that does not take a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Of output that is kept for people.
const LAST_WORDS_BYTES: i64 = 16 << 10;
/// Seconds that a pod gets that is not wanted any more.
const AT_ONCE_S: u32 = 1;
const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;

pub struct KubernetesPool {
    owner: job::Owner,
    settings: Settings,
    jobs: Api<Job>,
    pods: Api<Pod>,
    secrets: Api<Secret>,
    sight: Sight,
}

impl std::fmt::Debug for KubernetesPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KubernetesPool({})", self.owner.pool)
    }
}

impl KubernetesPool {
    /// Begins to watch. A cluster that does not answer is no error: the pool is unknown until it does.
    ///
    /// # Errors
    /// The settings make no sense, or there are no credentials.
    pub async fn new(
        name: String,
        settings: Settings,
        installation: Uuid,
        wake: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        let client = Client::try_from(config(&settings).await?).context("cannot make a client")?;
        let namespace = settings.namespace.as_str();
        let (jobs, pods) = (
            Api::namespaced(client.clone(), namespace),
            Api::namespaced(client.clone(), namespace),
        );
        let secrets = Api::namespaced(client.clone(), namespace);
        let owner = job::Owner { installation, pool: name };
        let sight = Sight::new(&client, namespace, &owner, wake);
        Ok(Self { owner, settings, jobs, pods, secrets, sight })
    }

    /// Secret, Job, then whose the Secret is: each is harmless to repeat.
    async fn create(&self, order: &Order) -> anyhow::Result<()> {
        let secret = job::secret(order, &self.owner);
        let job = job::job(order, &self.settings, &self.owner)?;
        let name = job::name(order.key);
        unless_there(self.secrets.create(&PostParams::default(), &secret).await)?;
        unless_there(self.jobs.create(&PostParams::default(), &job).await)?;
        let job = self.jobs.get(&name).await?;
        let is_ours = self.owner.owns(&job.metadata);
        anyhow::ensure!(is_ours, "there is a Job {name} that is not this pool's");
        let is_leaving = job.metadata.deletion_timestamp.is_some();
        anyhow::ensure!(!is_leaving, "the Job {name} is being deleted");
        let owner = job.owner_ref(&()).context("a Job from the server has a UID")?;
        let owned = json!({"metadata": {"ownerReferences": [owner]}});
        self.secrets.patch(&name, &PatchParams::default(), &Patch::Merge(owned)).await?;
        Ok(())
    }

    async fn end(&self, key: AttemptKey, stop: Stop) -> anyhow::Result<()> {
        let pods = self.pods_of(key).await?;
        let alive = pods.iter().filter(|pod| !judge::is_over(pod));
        let mut has_pod = false;
        for pod in alive {
            has_pod = true;
            let leaves_in = pod.metadata.deletion_grace_period_seconds;
            let params = match (stop, leaves_in) {
                (Stop::Gracefully, Some(_)) => continue,
                (Stop::AtOnce, Some(seconds)) if seconds <= i64::from(AT_ONCE_S) => continue,
                (Stop::Gracefully, None) => DeleteParams::default(),
                (Stop::AtOnce, _) => DeleteParams::default().grace_period(AT_ONCE_S),
            };
            let uid = pod.metadata.uid.clone();
            let params = params.preconditions(Preconditions { uid, resource_version: None });
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            unless_gone(self.pods.delete(name, &params).await)?;
        }
        // without a pod there is nothing to save, and its Job could make one at any moment
        if has_pod { Ok(()) } else { self.remove(key).await }
    }

    /// A finished Job is left to the cluster's clock; anything else goes at once.
    async fn remove(&self, key: AttemptKey) -> anyhow::Result<()> {
        let name = job::name(key);
        let pods = self.pods_of(key).await?;
        if let Some(job) = self.jobs.get_opt(&name).await? {
            let is_kept =
                job.spec.as_ref().is_some_and(|spec| spec.ttl_seconds_after_finished.is_some());
            let is_ending = !pods.is_empty() && pods.iter().all(judge::is_over);
            if judge::finished(&job).is_none() && is_ending && !judge::is_suspended(&job) {
                // it takes note of its pod's end in a moment, and is kept then
                return Ok(());
            }
            if judge::finished(&job).is_none() {
                let params = DeleteParams::background();
                let uid = job.metadata.uid;
                let params = params.preconditions(Preconditions { uid, resource_version: None });
                unless_gone(self.jobs.delete(&name, &params).await)?;
            } else if !is_kept {
                let kept =
                    json!({"spec": {"ttlSecondsAfterFinished": self.settings.keep_finished.0}});
                self.jobs.patch(&name, &PatchParams::default(), &Patch::Merge(kept)).await?;
            }
        } else {
            for pod in pods {
                if pod.metadata.deletion_timestamp.is_none() {
                    let name = pod.metadata.name.as_deref().unwrap_or_default();
                    unless_gone(self.pods.delete(name, &DeleteParams::default()).await)?;
                }
            }
        }
        unless_gone(self.secrets.delete(&name, &DeleteParams::default()).await)?;
        self.sight.forget(key);
        Ok(())
    }

    async fn pods_of(&self, key: AttemptKey) -> anyhow::Result<Vec<Pod>> {
        let labels = self.sight.labels_of(key);
        Ok(self.pods.list(&ListParams::default().labels(&labels)).await?.items)
    }

    async fn output(&self, key: AttemptKey) -> anyhow::Result<Vec<String>> {
        let pods = self.pods_of(key).await?;
        let pod = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let Some(name) = pod.and_then(|pod| pod.metadata.name.as_deref()) else {
            return Ok(Vec::new());
        };
        let params = LogParams {
            container: Some(job::WORKER.to_owned()),
            tail_lines: Some(LAST_WORDS as i64),
            limit_bytes: Some(LAST_WORDS_BYTES),
            ..LogParams::default()
        };
        let text = self.pods.logs(name, &params).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// Whose cluster it is: the named file, or where the controller itself runs.
async fn config(settings: &Settings) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..Default::default() };
    let config = match &settings.kubeconfig {
        Some(path) => {
            let what = || format!("kubeconfig: cannot read {}", path.display());
            let file = Kubeconfig::read_from(path).with_context(what)?;
            Config::from_custom_kubeconfig(file, &options).await.with_context(what)
        }
        None if settings.context.is_some() => Config::from_kubeconfig(&options)
            .await
            .context("context: cannot read the default kubeconfig"),
        None => Config::infer()
            .await
            .context("kubeconfig: not in a cluster, and there is no default one"),
    };
    let mut config = config?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

fn unless_there<T>(created: kube::Result<T>) -> kube::Result<()> {
    match created {
        Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(()),
        other => other.map(drop),
    }
}

/// Gone, or another of the same name has taken its place: what was meant is not there.
fn unless_gone<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if [NOT_FOUND, CONFLICT].contains(&status.code) => Ok(()),
        other => other.map(drop),
    }
}

/// What an error says to people: the server's own words, or the chain without repetition.
fn words(error: &anyhow::Error) -> String {
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref::<kube::Error>() {
            return status.message.clone();
        }
    }
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if words.last().is_none_or(|said| !said.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

/// A refusal is the cluster's word on this very Job, and repeating it changes nothing by itself.
fn refusal(error: &anyhow::Error) -> Option<String> {
    const REFUSALS: [u16; 4] = [400, 403, 404, 422];
    let status = error.chain().find_map(|cause| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status),
        _ => None,
    })?;
    REFUSALS.contains(&status.code).then(|| status.message.clone())
}

impl Pool for KubernetesPool {
    fn name(&self) -> &str {
        &self.owner.pool
    }

    fn kind(&self) -> PoolKind {
        PoolKind::Kubernetes
    }

    fn capacity(&self) -> u32 {
        self.settings.slots
    }

    fn engine(&self) -> Engine {
        self.settings.engine()
    }

    fn patience(&self) -> Patience {
        self.settings.patience()
    }

    fn grace(&self) -> Duration {
        self.settings.grace()
    }

    fn outlives_controller(&self) -> bool {
        true
    }

    fn refusals(&self, resources: &Resources) -> Vec<Refusal> {
        self.settings.refusals(resources)
    }

    fn cannot_read(&self, path: &str) -> Option<String> {
        self.settings.cannot_read(path)
    }

    fn observe<'a>(
        &'a self,
        claimed: &'a Claims,
    ) -> BoxFuture<'a, anyhow::Result<BTreeMap<AttemptKey, Seen>>> {
        Box::pin(async move {
            let seen = self.sight.look(claimed, (&self.jobs, &self.pods, &self.secrets)).await;
            seen.map_err(|error| anyhow::anyhow!(words(&error)))
        })
    }

    fn ensure(&self, order: Order) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            if self.sight.is_made(order.key) {
                return Ok(());
            }
            let made = self.create(&order).await;
            match made.as_ref().map_err(refusal) {
                Ok(()) => self.sight.made(order.key),
                Err(Some(words)) => self.sight.refused(order.key, words),
                Err(None) => (),
            }
            made
        })
    }

    fn stop(&self, key: AttemptKey, stop: Stop) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.end(key, stop))
    }

    fn delete(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.remove(key))
    }

    fn last_words(&self, key: AttemptKey) -> BoxFuture<'_, anyhow::Result<Vec<String>>> {
        Box::pin(self.output(key))
    }

    /// A volume of its namespace, mounted in its pods alone.
    fn storage_elsewhere(&self) -> Option<String> {
        let Settings { namespace, storage, .. } = &self.settings;
        Some(format!(
            "in the storage of pool `{}`: the volume {} of the namespace {namespace}, which only its pods reach",
            self.owner.pool, storage.volume,
        ))
    }

    fn set_aside(&self, _left: Left, _name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { anyhow::bail!("the controller does not reach this pool's storage") })
    }

    fn clear_aside(&self, _name: Uuid) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { anyhow::bail!("the controller does not reach this pool's storage") })
    }

    fn trouble(&self) -> Option<String> {
        self.sight.trouble()
    }
}
