//! Where a sweep's attempts run, and what each gets there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors::Errors;
use super::fields::{Fields, Keys, entries, join};
use super::value;
use super::yaml::Node;
use crate::quantity::{Bytes, Processors, Seconds};

/// What a sweep asks of its pool. All but the pool is the pool's own where it is not written, and a
/// pool may refuse it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Where attempts run.
    pub pool: String,
    /// The Kueue `LocalQueue` that admits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// With a queue a Kueue `WorkloadPriorityClass`, else the cluster's `PriorityClass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// Memory of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Processors of one attempt, beside its devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Processors>,
    /// Labels that its node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Seconds>,
    /// Runs of a sweep of higher priority are placed first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i16,
}

const RESOURCES: Keys = Keys {
    known: &[
        "pool",
        "queue",
        "priority",
        "priority_class",
        "memory",
        "cpu",
        "node_selector",
        "deadline",
    ],
    later: &["gpu", "gpus", "image"],
};

impl Default for Resources {
    fn default() -> Self {
        Self {
            pool: "local".to_owned(),
            queue: None,
            priority_class: None,
            memory: None,
            cpu: None,
            node_selector: BTreeMap::new(),
            deadline: None,
            priority: 0,
        }
    }
}

pub(super) fn read(file: &Fields<'_>, errors: &mut Errors) -> Resources {
    let fields = file
        .entry("resources")
        .and_then(|entry| Fields::open(&entry.value, "resources", RESOURCES, errors));
    let Some(fields) = fields else { return Resources::default() };
    let pool = fields.value("pool", super::plain_name, errors).map(|pool| pool.value);
    let node_selector = fields.entry("node_selector").map(|entry| &entry.value);
    Resources {
        pool: pool.unwrap_or_else(|| Resources::default().pool),
        queue: fields.value("queue", object_name, errors).map(|queue| queue.value),
        priority_class: fields.value("priority_class", object_name, errors).map(|name| name.value),
        memory: fields
            .value("memory", |node| Bytes::parse(&value::text(node)?), errors)
            .map(|memory| memory.value),
        cpu: fields
            .value("cpu", |node| Processors::parse(&value::text(node)?), errors)
            .map(|cpu| cpu.value),
        node_selector: node_selector.map_or_else(BTreeMap::new, |node| labels(node, errors)),
        deadline: fields
            .value("deadline", |node| Seconds::parse(&value::text(node)?), errors)
            .map(|deadline| deadline.value),
        priority: fields.value("priority", priority, errors).map_or(0, |priority| priority.value),
    }
}

/// What a sweep or a run may have.
pub const PRIORITIES: std::ops::RangeInclusive<i16> = -100..=100;

fn priority(node: &Node) -> value::Read<i16> {
    const EXPECTED: &str = "a whole number from -100 to 100; higher goes first";
    let text = value::text(node)?;
    match text.parse() {
        Ok(priority) if PRIORITIES.contains(&priority) => Ok(priority),
        _ => Err(format!("expected {EXPECTED}, found `{text}`")),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about so")]
fn is_zero(priority: &i16) -> bool {
    *priority == 0
}

/// A name as Kubernetes takes it for objects (RFC 1123).
fn object_name(node: &Node) -> value::Read<String> {
    const NAME_MAX: usize = 63;
    let name = value::text(node)?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let is_name = name.len() <= NAME_MAX
        && name.chars().all(is_allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    if is_name {
        return Ok(name);
    }
    Err(format!(
        "`{name}` is no name of an object in a cluster: at most {NAME_MAX} lower-case letters, digits, `-` and `.`"
    ))
}

fn labels(node: &Node, errors: &mut Errors) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for entry in entries(node, "resources.node_selector", errors).unwrap_or_default() {
        match value::text(&entry.value) {
            Ok(value) => drop(labels.insert(entry.key.clone(), value)),
            Err(message) => {
                let path = join("resources.node_selector", &entry.key);
                errors.add(entry.value.place, &path, message);
            }
        }
    }
    labels
}
