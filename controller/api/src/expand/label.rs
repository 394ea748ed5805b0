//! What people call a run: its axis values.

use serde_json::Value;

use super::design::Choice;
use crate::spec::TrainSpec;
use crate::sweep::Sweep;
use crate::sweep::axis::{Axis, MIXTURE, json_number};

/// The base's own value of each axis, and how it is shown.
#[derive(Clone, Debug)]
pub(super) struct BaseValue {
    pub(super) json: Value,
    text: String,
}

/// As written where it is written, otherwise the default.
pub(super) fn base_values(sweep: &Sweep, spec: &TrainSpec) -> Vec<BaseValue> {
    let base_value = |axis: &Axis| {
        let written = sweep.base.at(&axis.path).map(|node| axis.value_of(node));
        match written {
            Some(value) => BaseValue { json: value.json, text: value.text },
            None => {
                let json = default_value(spec, &axis.path);
                BaseValue { text: shown(&json), json }
            }
        }
    };
    sweep.axes.iter().map(base_value).collect()
}

/// `lr 1e-3 · mix.commerce 0.5 · seed 2`
pub(super) fn label(choice: &Choice, axes: &[Axis], base: &[BaseValue]) -> String {
    if axes.is_empty() {
        return "base".to_owned();
    }
    let part = |(index, axis): (usize, &Axis)| {
        let value = choice.value(axes, index).map_or(&base[index].text, |value| &value.text);
        format!("{} {value}", axis.label)
    };
    axes.iter().enumerate().map(part).collect::<Vec<_>>().join(" · ")
}

/// What a path that the base leaves out has there by default.
fn default_value(spec: &TrainSpec, path: &str) -> Value {
    if let Some(source) = path.strip_prefix(MIXTURE) {
        return json_number(spec.data.mixture.get(source).copied().unwrap_or(0.0));
    }
    match path {
        "train.lr.warmup" => return Value::from(format!("{} steps", spec.train.lr.warmup_steps)),
        "train.lr.decay" => return Value::from(format!("{} steps", spec.train.lr.decay_steps)),
        _ => {}
    }
    let spec = serde_json::to_value(spec).expect("a spec is plain data");
    let value = path.split('.').try_fold(&spec, |value, key| value.get(key));
    match value {
        Some(value) if value.is_f64() => json_number(value.as_f64().unwrap_or_default()),
        Some(value) => value.clone(),
        None => Value::Null,
    }
}

fn shown(json: &Value) -> String {
    match json {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if value != 0.0 && value.abs() < 0.01 => format!("{value:e}"),
            _ => number.to_string(),
        },
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => json.to_string(),
    }
}
