//! Whether a node could take a pod, and whether it is lost. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Taints that the cluster itself puts on nodes and takes away again.
const PASSING: &str = "node.kubernetes.io/";

/// Its kubelet is silent, or says that it is not ready.
pub(super) fn is_lost(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    ready.is_some_and(|ready| ready.status != "True")
}

/// Why a node could not take a pod even if it were empty and well; none: it could. What is not
/// understood here (affinities, volumes, topology) counts as fitting: being busy is never an error.
pub(super) fn obstacle(node: &Node, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let labels = node.metadata.labels.as_ref();
    for (key, value) in spec.node_selector.iter().flatten() {
        let found = labels.and_then(|labels| labels.get(key));
        if found != Some(value) {
            return Some(format!("lacks the label {key}={value}"));
        }
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let bars = |taint: &&Taint| {
        taint.effect != "PreferNoSchedule"
            && !taint.key.starts_with(PASSING)
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    if let Some(taint) = taints.into_iter().find(bars) {
        return Some(format!("has the taint {}, which the pool does not tolerate", taint.key));
    }
    let has = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    for (resource, asked) in requests(pod) {
        let has = has.and_then(|has| has.get(&resource)).and_then(amount).unwrap_or(0.0);
        if has < asked {
            return Some(format!("has {} {resource} in all", shown(has)));
        }
    }
    None
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration { key, operator, value, effect, .. } = toleration;
    let same_effect =
        effect.as_ref().is_none_or(|effect| effect.is_empty() || *effect == taint.effect);
    let key = key.as_deref().unwrap_or_default();
    let matches = match operator.as_deref() {
        Some("Exists") => key.is_empty() || key == taint.key,
        _ => {
            key == taint.key
                && value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
    };
    same_effect && matches
}

/// What a pod's containers ask for together.
fn requests(pod: &Pod) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let asked = containers.filter_map(|container| container.resources.as_ref()?.requests.as_ref());
    for (resource, quantity) in asked.flatten() {
        *all.entry(resource.clone()).or_insert(0.0) += amount(quantity).unwrap_or(0.0);
    }
    all
}

/// A quantity as Kubernetes writes it: `64Gi`, `500m`, `8`, `1e3`.
pub(super) fn amount(quantity: &Quantity) -> Option<f64> {
    const UNITS: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = quantity.0.as_str();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (digits, scale) =
        UNITS.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    digits.parse::<f64>().ok().map(|number| number * scale)
}

fn shown(amount: f64) -> String {
    let gibibytes = amount / 1_073_741_824.0;
    if 1.0 <= gibibytes { format!("{gibibytes:.0}Gi") } else { format!("{amount}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(extra: &Value) -> Node {
        let mut node = json!({
            "metadata": {"name": "n", "labels": {"gpu": "h100"}},
            "status": {
                "allocatable": {"cpu": "1930m", "memory": "65536Mi", "nvidia.com/gpu": "8"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        for (key, value) in extra.as_object().unwrap() {
            node[key] = value.clone();
        }
        serde_json::from_value(node).unwrap()
    }

    fn pod(requests: &Value, spec: &Value) -> Pod {
        let container = json!({"name": "worker", "resources": {"requests": requests}});
        let mut pod = json!({"spec": {"containers": [container]}});
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_node_takes_what_it_has_in_all_however_busy_it_is() {
        let (node, plain) = (node(&json!({})), json!({}));
        for (asked, expected) in [
            (json!({"nvidia.com/gpu": "8", "memory": "64Gi", "cpu": "1.9"}), None),
            (json!({"nvidia.com/gpu": "9"}), Some("has 8 nvidia.com/gpu in all")),
            (json!({"amd.com/gpu": "1"}), Some("has 0 amd.com/gpu in all")),
            (json!({"memory": "65Gi"}), Some("has 64Gi memory in all")),
            (json!({"cpu": "2"}), Some("has 1.93 cpu in all")),
        ] {
            assert_eq!(obstacle(&node, &pod(&asked, &plain)).as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn labels_and_taints_bar_for_good_and_what_passes_does_not() {
        let tainted =
            |key: &str| node(&json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}));
        let none = json!({});
        let selects = |value: &str| pod(&none, &json!({"nodeSelector": {"gpu": value}}));
        assert_eq!(obstacle(&node(&none), &selects("h100")), None);
        assert!(obstacle(&node(&none), &selects("b200")).is_some());
        assert!(obstacle(&tainted("team-b"), &pod(&none, &none)).is_some());
        assert_eq!(
            obstacle(&tainted("node.kubernetes.io/unschedulable"), &pod(&none, &none)),
            None
        );
        for toleration in
            [json!({"operator": "Exists"}), json!({"key": "team-b", "operator": "Exists"})]
        {
            let tolerant = pod(&none, &json!({"tolerations": [toleration]}));
            assert_eq!(obstacle(&tainted("team-b"), &tolerant), None);
        }
        let other = pod(&none, &json!({"tolerations": [{"key": "team-b", "value": "x"}]}));
        assert!(obstacle(&tainted("team-b"), &other).is_some());
    }

    #[test]
    fn a_silent_kubelet_is_a_lost_node() {
        let ready = |status: &str| {
            node(&json!({"status": {"conditions": [{"type": "Ready", "status": status}]}}))
        };
        assert!(!is_lost(&ready("True")));
        assert!(is_lost(&ready("Unknown")));
        assert!(is_lost(&ready("False")));
    }
}
