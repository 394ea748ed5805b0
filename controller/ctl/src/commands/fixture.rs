//! Runs for tests, as the controller would send them.

use assay_api::view::RunRow;
use serde_json::{Value, json};

/// A queued train run, with these fields of its view set otherwise.
pub(crate) fn run(number: u32, other: Value) -> RunRow {
    let mut view = json!({
        "run_id": "00000000-0000-0000-0000-000000000000", "number": number, "kind": "train",
        "label": format!("point {number}"), "state": "queued", "outcome": null, "reason": null,
        "waiting": null, "attempt": 0, "step": 0, "steps": 0, "tokens": 0, "phase": null,
        "axes": {}, "is_baseline": false, "latest": {}, "priority": 0, "excluded": null, "notes": [],
        "tags": [], "queued_at": "2026-01-01T00:00:00Z",
        "started_at": null, "ended_at": null,
    });
    let (Value::Object(fields), Value::Object(other)) = (&mut view, other) else {
        panic!("both are objects")
    };
    fields.extend(other);
    serde_json::from_value(view).expect("the view of a run")
}
