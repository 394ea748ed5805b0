//! From an attempt to its Job and Secret. Pure.

use anyhow::Context;
use assay_api::quantity::Processors;
use assay_api::worker::env;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodTemplateSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::settings::{CPU, Mounted, Settings};
use crate::pool::{AttemptKey, Order};

const INSTALLATION: &str = "assay.dev/installation";
const POOL: &str = "assay.dev/pool";
pub(super) const RUN: &str = "assay.dev/run-id";
pub(super) const ATTEMPT: &str = "assay.dev/attempt";
pub(super) const SLOTS: &str = "assay.dev/slots";
/// For `kubectl get jobs -L assay.dev/sweep,assay.dev/run`.
const SWEEP: &str = "assay.dev/sweep";
const NUMBER: &str = "assay.dev/run";

pub(super) const QUEUE: &str = "kueue.x-k8s.io/queue-name";
const QUEUE_PRIORITY: &str = "kueue.x-k8s.io/priority-class";

/// The worker's container.
pub(super) const WORKER: &str = "worker";
const SECRET_KEY: &str = "secret";
const SCRATCH: &str = "/scratch";
/// As in the worker's image.
const USER: i64 = 65_532;

/// Whose a Job is: installations may share a namespace, and so may the pools of one.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) installation: Uuid,
    pub(super) pool: String,
}

impl Owner {
    /// Selects everything that the pool may touch.
    pub(super) fn selector(&self) -> String {
        format!("{INSTALLATION}={},{POOL}={}", self.installation, self.pool)
    }

    pub(super) fn owns(&self, meta: &ObjectMeta) -> bool {
        let label = |key| meta.labels.as_ref().and_then(|labels| labels.get(key));
        label(INSTALLATION) == Some(&self.installation.to_string())
            && label(POOL) == Some(&self.pool)
    }
}

/// Job, Secret and (with a suffix) pod of an attempt.
pub(super) fn name(key: AttemptKey) -> String {
    format!("assay-{}-{}", key.run.0.simple(), key.attempt)
}

/// The attempt that an object's labels name.
pub(super) fn key(meta: &ObjectMeta) -> Option<AttemptKey> {
    let labels = meta.labels.as_ref()?;
    let run = labels.get(RUN)?.parse().ok()?;
    Some(AttemptKey { run, attempt: labels.get(ATTEMPT)?.parse().ok()? })
}

pub(super) fn slots(meta: &ObjectMeta) -> Option<u32> {
    meta.labels.as_ref()?.get(SLOTS)?.parse().ok()
}

fn labels(order: &Order, owner: &Owner) -> Value {
    json!({
        INSTALLATION: owner.installation.to_string(),
        POOL: owner.pool,
        RUN: order.key.run.to_string(),
        ATTEMPT: order.key.attempt.to_string(),
        SLOTS: order.slots.to_string(),
        SWEEP: sweep_label(&order.sweep),
        NUMBER: order.number.to_string(),
        "app.kubernetes.io/name": "assay-worker",
        "app.kubernetes.io/managed-by": "assay",
    })
}

/// A sweep's name as Kubernetes takes it for a label: it begins and ends with a letter or a digit, and has no
/// `@`.
fn sweep_label(sweep: &str) -> String {
    sweep.trim_matches(|c: char| !c.is_ascii_alphanumeric()).replace('@', ".")
}

/// The attempt's bearer token, apart from the Job: whoever may read Jobs may not speak for a worker.
pub(super) fn secret(order: &Order, owner: &Owner) -> Secret {
    let secret = json!({
        "metadata": {"name": name(order.key), "labels": labels(order, owner)},
        "type": "assay.dev/attempt",
        "immutable": true,
        "stringData": {SECRET_KEY: order.secret},
    });
    serde_json::from_value(secret).expect("it is a Secret")
}

/// One pod, once: what happens to it happens to the attempt.
///
/// # Errors
/// The pool's template does not fit.
pub(super) fn job(order: &Order, settings: &Settings, owner: &Owner) -> anyhow::Result<Job> {
    let resources = &order.resources;
    let mut labels = labels(order, owner);
    let template = template(order, settings, &labels)?;
    let mut spec = json!({
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        // a replacement never begins beside a pod that is still terminating
        "podReplacementPolicy": "Failed",
        "template": template,
    });
    if let Some(deadline) = resources.deadline {
        spec["activeDeadlineSeconds"] = deadline.0.into();
    }
    if let Some(queue) = &resources.queue {
        // Kueue lets it go; its webhook would suspend it too, if it is there
        spec["suspend"] = true.into();
        labels[QUEUE] = queue.clone().into();
        if let Some(class) = &resources.priority_class {
            labels[QUEUE_PRIORITY] = class.clone().into();
        }
    }
    let job = json!({"metadata": {"name": name(order.key), "labels": labels}, "spec": spec});
    strict(&job).context("the Job of an attempt")
}

fn template(order: &Order, settings: &Settings, labels: &Value) -> anyhow::Result<Value> {
    let resources = &order.resources;
    let mut volumes = vec![
        json!({"name": "scratch", "emptyDir": {}}),
        json!({"name": "tmp", "emptyDir": {}}),
        settings.storage.as_volume("storage")?,
    ];
    let mut mounts = vec![
        json!({"name": "scratch", "mountPath": SCRATCH}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        mount("storage", &settings.storage),
    ];
    for (name, mounted) in &settings.volumes {
        let name = format!("volume-{name}");
        volumes.push(mounted.as_volume(&name)?);
        mounts.push(mount(&name, mounted));
    }
    let selector = settings.node_selector.iter().chain(&resources.node_selector);
    let node_selector: Map<String, Value> =
        selector.map(|(key, value)| (key.clone(), value.clone().into())).collect();
    // with a queue, Kueue's priority decides who is admitted, and the cluster's is the pool's own
    let class = resources.priority_class.as_ref().filter(|_| resources.queue.is_none());
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": settings.grace.0,
        "nodeSelector": node_selector,
        "tolerations": settings.tolerations,
        "imagePullSecrets":
            settings.image_pull_secrets.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [{
            "name": WORKER,
            "image": settings.image,
            "args": ["run"],
            "env": environment(order, settings),
            "resources": amounts(order, settings),
            "volumeMounts": mounts,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        }],
    });
    if let Some(policy) = &settings.image_pull_policy {
        pod["containers"][0]["imagePullPolicy"] = policy.clone().into();
    }
    if let Some(account) = &settings.service_account {
        pod["serviceAccountName"] = account.clone().into();
    }
    if let Some(class) = class.or(settings.priority_class.as_ref()) {
        pod["priorityClassName"] = class.clone().into();
    }
    let mut template = json!({"metadata": {"labels": labels}, "spec": pod});
    merge(&mut template, &settings.template);
    Ok(template)
}

fn mount(name: &str, mounted: &Mounted) -> Value {
    json!({"name": name, "mountPath": mounted.mount, "readOnly": mounted.read_only})
}

fn environment(order: &Order, settings: &Settings) -> Value {
    let field = |path| json!({"fieldRef": {"fieldPath": path}});
    let mut list = vec![
        json!({"name": env::CONTROLLER, "value": settings.controller}),
        json!({"name": env::RUN, "value": order.key.run.to_string()}),
        json!({"name": env::ATTEMPT, "value": order.key.attempt.to_string()}),
        json!({"name": env::SECRET, "valueFrom": {"secretKeyRef": {"name": name(order.key), "key": SECRET_KEY}}}),
        json!({"name": env::STORAGE, "value": settings.storage.mount}),
        json!({"name": env::SCRATCH, "value": SCRATCH}),
        json!({"name": "ASSAY_POD", "valueFrom": field("metadata.name")}),
        json!({"name": "ASSAY_NODE", "valueFrom": field("spec.nodeName")}),
        json!({"name": env::HOST, "value": "pod $(ASSAY_POD) on $(ASSAY_NODE)"}),
    ];
    list.extend(settings.env.iter().map(|(name, value)| json!({"name": name, "value": value})));
    list.into()
}

/// Devices and memory as limits, so that a node is never promised twice; processors as a request only:
/// what is idle may be used.
fn amounts(order: &Order, settings: &Settings) -> Value {
    let memory = order.resources.memory.unwrap_or(settings.memory).to_string();
    let devices = Processors { thousandths: 1_000 * u64::from(order.slots) };
    let cpu = order.resources.cpu.or(settings.cpu);
    let cpu = if settings.device == CPU { Some(devices) } else { cpu };
    let mut requests = json!({"memory": memory});
    let mut limits = json!({"memory": memory});
    if let Some(cpu) = cpu {
        requests[CPU] = cpu.to_string().into();
    }
    if settings.device != CPU {
        limits[&settings.device] = order.slots.to_string().into();
        requests[&settings.device] = order.slots.to_string().into();
    }
    json!({"requests": requests, "limits": limits})
}

/// Objects by key, lists of things that have names by name, all else is replaced; `null` removes.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) if patch.iter().all(is_named) => {
            for value in patch {
                match into.iter_mut().find(|known| known["name"] == value["name"]) {
                    Some(known) => merge(known, value),
                    None => into.push(value.clone()),
                }
            }
        }
        (_, Value::Null) => (),
        (into, patch) => *into = patch.clone(),
    }
}

/// Mounts are known by where they are, and a volume may be mounted twice.
fn is_named(value: &Value) -> bool {
    value["name"].is_string() && value["mountPath"].is_null()
}

/// The pool's template merged into a pod of ours is still one, and still does what the pool counts on.
///
/// # Errors
/// A key that pods do not have, or one that is not the template's to set.
pub(super) fn check_template(settings: &Settings) -> anyhow::Result<()> {
    let order = Order {
        key: AttemptKey { run: assay_api::RunId(Uuid::nil()), attempt: 1 },
        secret: String::new(),
        sweep: "checked".to_owned(),
        number: 1,
        slots: 1,
        resources: assay_api::sweep::Resources::default(),
    };
    let plain = Settings { template: Value::Null, ..settings.clone() };
    let owner = Owner { installation: Uuid::nil(), pool: "checked".to_owned() };
    let labels = labels(&order, &owner);
    let (ours, merged) = (template(&order, &plain, &labels)?, template(&order, settings, &labels)?);
    strict::<PodTemplateSpec>(&merged)?;
    let worker = |template: &Value| {
        let containers = template["spec"]["containers"].as_array();
        containers.and_then(|all| all.iter().find(|one| one["name"] == WORKER)).cloned()
    };
    let (was, is) = (worker(&ours).unwrap_or_default(), worker(&merged).unwrap_or_default());
    anyhow::ensure!(
        merged["spec"]["restartPolicy"] == "Never",
        "spec.restartPolicy: an attempt's pod is never restarted: a new attempt is made"
    );
    for key in ["command", "args"] {
        anyhow::ensure!(
            is[key] == was[key],
            "spec.containers.{WORKER}.{key}: it is the pool's own"
        );
    }
    let variables = |container: &Value| container["env"].as_array().cloned().unwrap_or_default();
    for variable in variables(&was) {
        let name = &variable["name"];
        anyhow::ensure!(
            variables(&is).contains(&variable),
            "spec.containers.{WORKER}.env: {name} is the pool's own"
        );
    }
    for (key, value) in labels.as_object().into_iter().flatten() {
        let is_kept = merged["metadata"]["labels"][key] == *value;
        anyhow::ensure!(is_kept, "metadata.labels: {key} is the pool's own");
    }
    Ok(())
}

/// Reads a value whose every key is known.
///
/// # Errors
/// It is none of these, or holds a key that they do not have: which one, is said.
pub(super) fn strict<T: DeserializeOwned + Serialize>(value: &Value) -> anyhow::Result<T> {
    let read: T = serde_json::from_value(value.clone())?;
    let back = serde_json::to_value(&read)?;
    match lost(value, &back, "") {
        Some(path) => anyhow::bail!("there is no `{path}`"),
        None => Ok(read),
    }
}

/// The path of something that did not come back.
fn lost(value: &Value, back: &Value, path: &str) -> Option<String> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (value, back) {
        (Value::Object(value), _) => value.iter().find_map(|(key, value)| match back.get(key) {
            Some(back) => lost(value, back, &below(key)),
            None if value.is_null() => None,
            None => Some(below(key)),
        }),
        (Value::Array(value), Value::Array(back)) => {
            let mut pairs = value.iter().zip(back).enumerate();
            pairs.find_map(|(i, (value, back))| lost(value, back, &below(&i.to_string())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::sweep_label;

    #[test]
    fn a_label_has_the_letters_that_kubernetes_takes() {
        for (sweep, expected) in [
            ("lr-and-mix", "lr-and-mix"),
            ("_mine-", "mine"),
            ("nightly@2026-11-22", "nightly.2026-11-22"),
            ("nightly@2026-11-22T1400", "nightly.2026-11-22T1400"),
            ("--", ""),
        ] {
            assert_eq!(sweep_label(sweep), expected);
        }
    }
}
