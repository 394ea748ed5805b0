//! What a platform engineer says of a pool: one entry of the pools file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use assay_api::quantity::{Bytes, Processors, Seconds};
use assay_api::spec::Engine;
use assay_api::sweep::Resources;
use assay_scheduler::{Obstacle, Patience};
use k8s_openapi::api::core::v1::Volume;
use serde::Deserialize;
use serde_json::Value;

use super::job;
use crate::pool::Refusal;

/// The name of a slot's resource where the slots are processors.
pub(super) const CPU: &str = "cpu";

/// A pool of Jobs in one namespace of one cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absent: the cluster that the controller itself runs in, or the default kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    /// How many slots there are to give away at a time.
    pub slots: u32,
    /// What a slot is: an extended resource, or `cpu`.
    #[serde(default = "gpu")]
    pub device: String,
    /// Where workers reach the controller.
    pub controller: String,
    pub image: String,
    #[serde(default)]
    pub image_pull_policy: Option<String>,
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    #[serde(default)]
    pub service_account: Option<String>,
    /// Memory of one attempt, where its sweep does not say; and the most that it may say.
    pub memory: Bytes,
    #[serde(default)]
    pub memory_max: Option<Bytes>,
    /// Processors of one attempt beside its devices, likewise.
    #[serde(default)]
    pub cpu: Option<Processors>,
    #[serde(default)]
    pub cpu_max: Option<Processors>,
    /// Datasets and checkpoints: shared by all workers of the pool.
    pub storage: Mounted,
    /// What else workers see, by name.
    #[serde(default)]
    pub volumes: BTreeMap<String, Mounted>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Labels of nodes that a sweep may choose by.
    #[serde(default)]
    pub node_selector_keys: Vec<String>,
    #[serde(default)]
    pub tolerations: Vec<Value>,
    #[serde(default)]
    pub priority_class: Option<String>,
    /// Priority classes that a sweep may ask for.
    #[serde(default)]
    pub priority_classes: Vec<String>,
    /// Kueue's `LocalQueue`s that a sweep may ask for.
    #[serde(default)]
    pub queues: Vec<String>,
    /// How long a worker has to save a checkpoint after SIGTERM.
    #[serde(default = "two_minutes")]
    pub grace: Seconds,
    /// How long finished Jobs stay to be looked at.
    #[serde(default = "one_hour")]
    pub keep_finished: Seconds,
    #[serde(default)]
    pub patience: PatienceSettings,
    /// Merged into the pod template: objects by key, lists of named things by name.
    #[serde(default)]
    pub template: Value,
}

/// A volume and where it is mounted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mounted {
    pub mount: PathBuf,
    #[serde(default)]
    pub read_only: bool,
    /// As in a pod: `{persistentVolumeClaim: {claimName: data}}`.
    pub volume: Value,
}

/// How long what cannot begin is waited for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatienceSettings {
    pub image: Option<Seconds>,
    pub config: Option<Seconds>,
    pub unschedulable: Option<Seconds>,
    pub refused: Option<Seconds>,
}

/// What the names of NVIDIA's device plugin begin with.
const NVIDIA: &str = "nvidia.com/";

fn gpu() -> String {
    format!("{NVIDIA}gpu")
}

fn two_minutes() -> Seconds {
    Seconds(120)
}

fn one_hour() -> Seconds {
    Seconds(3_600)
}

impl Settings {
    /// What trains on the pool's devices: NVIDIA's are GPUs, or parts of some.
    pub fn engine(&self) -> Engine {
        if self.device.starts_with(NVIDIA) { Engine::CudaBf16 } else { Engine::CpuF32 }
    }

    /// Whether they make sense by themselves, without a cluster.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(0 < self.slots, "slots: 0 slots give room to nothing");
        let is_url =
            ["http://", "https://"].iter().any(|scheme| self.controller.starts_with(scheme));
        anyhow::ensure!(is_url, "controller: `{}` is no URL", self.controller);
        let mounts = self.volumes.iter().map(|(name, volume)| (name.as_str(), volume));
        for (name, mounted) in mounts.chain([("storage", &self.storage)]) {
            mounted.check().with_context(|| format!("volume {name}"))?;
        }
        for name in self.env.keys() {
            let is_ours = name.starts_with("ASSAY_");
            anyhow::ensure!(!is_ours, "env: {name} is set by the pool itself");
        }
        job::check_template(self).context("template")
    }

    /// How long each obstacle is waited for.
    #[must_use]
    pub fn patience(&self) -> Patience {
        let usual = Patience::default();
        let ms = |said: Option<Seconds>, obstacle| {
            said.map_or_else(
                || usual.ms(obstacle),
                |Seconds(seconds)| seconds.saturating_mul(1_000),
            )
        };
        let PatienceSettings { image, config, unschedulable, refused } = self.patience;
        Patience {
            image_ms: ms(image, Obstacle::Image),
            config_ms: ms(config, Obstacle::Config),
            unschedulable_ms: ms(unschedulable, Obstacle::Unschedulable),
            refused_ms: ms(refused, Obstacle::Refused),
        }
    }

    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace.0)
    }

    /// What of a sweep's wishes is not given here.
    pub(super) fn refusals(&self, asked: &Resources) -> Vec<Refusal> {
        let Resources {
            pool: _,
            queue,
            priority: _,
            priority_class,
            memory,
            cpu,
            node_selector,
            deadline: _,
        } = asked;
        let mut refusals = Vec::new();
        let mut refuse = |path, value: String, why| refusals.push(Refusal { path, value, why });
        if let Some(queue) = queue.as_ref().filter(|queue| !self.queues.contains(queue)) {
            let why = format!("the pool has {}", listed("queue", &self.queues));
            refuse("resources.queue", queue.clone(), why);
        }
        let class = priority_class.as_ref();
        if let Some(class) = class.filter(|class| !self.priority_classes.contains(class)) {
            let why = format!("the pool has {}", listed("priority class", &self.priority_classes));
            refuse("resources.priority_class", class.clone(), why);
        }
        let memory_max = self.memory_max.unwrap_or(self.memory);
        if let Some(memory) = memory.filter(|memory| memory_max < *memory) {
            let why = format!("the pool gives an attempt at most {memory_max} of memory");
            refuse("resources.memory", memory.to_string(), why);
        }
        let cpu_max = self.cpu_max.or(self.cpu);
        if let Some(cpu) = cpu.filter(|cpu| cpu_max.is_none_or(|max| max < *cpu)) {
            let why = match cpu_max {
                Some(max) => format!("the pool gives an attempt at most {max} processors"),
                None if self.device == CPU => {
                    "the pool's slots are processors: `train.devices` says how many".to_owned()
                }
                None => "the pool sets no processors apart".to_owned(),
            };
            refuse("resources.cpu", cpu.to_string(), why);
        }
        for key in node_selector.keys().filter(|key| !self.node_selector_keys.contains(key)) {
            let why = match self.node_selector_keys.as_slice() {
                [] => "the pool lets sweeps choose by no label".to_owned(),
                keys => format!("the pool lets sweeps choose by `{}`", keys.join("`, `")),
            };
            refuse("resources.node_selector", key.clone(), why);
        }
        refusals
    }

    /// Why workers cannot read a file, if they cannot.
    pub(super) fn cannot_read(&self, path: &str) -> Option<String> {
        let mut mounts = self.volumes.values().chain([&self.storage]).map(|mounted| &mounted.mount);
        if mounts.any(|mount| Path::new(path).starts_with(mount)) {
            return None;
        }
        let all = self.volumes.values().chain([&self.storage]);
        let mounts: Vec<_> = all.map(|mounted| mounted.mount.display().to_string()).collect();
        Some(format!(
            "the pool's workers do not see it; they see {}: put it there",
            mounts.join(", ")
        ))
    }
}

fn listed(what: &str, names: &[String]) -> String {
    match names {
        [] => format!("no {what} to ask for"),
        [one] => format!("only the {what} `{one}`"),
        many => format!("these to ask for as {what}: `{}`", many.join("`, `")),
    }
}

impl Mounted {
    fn check(&self) -> anyhow::Result<()> {
        let mount = self.mount.display();
        anyhow::ensure!(self.mount.is_absolute(), "mount: `{mount}` is not absolute");
        self.as_volume("checked").map(drop)
    }

    /// # Errors
    /// It is no volume source.
    pub(super) fn as_volume(&self, name: &str) -> anyhow::Result<Value> {
        let mut volume = self.volume.clone();
        let object = volume.as_object_mut().context("volume: expected an object, as in a pod")?;
        anyhow::ensure!(object.len() == 1, "volume: expected exactly one source, as in a pod");
        object.insert("name".to_owned(), name.into());
        job::strict::<Volume>(&volume).context("volume")?;
        Ok(volume)
    }
}
