//! Metric series as charts want them: columns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::RunId;

/// `POST /api/v1/series/query`: many runs, many series, one answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    /// At most 1,000.
    pub runs: Vec<RunId>,
    /// At most 100.
    pub names: Vec<String>,
    /// First and last step, both included; none: from the beginning, to the end.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// At most so many points per series; longer ones are downsampled. 1..=1000.
    pub buckets: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SeriesAnswer {
    pub series: Vec<SeriesPoints>,
}

/// What the runs of a sweep had come to after the same number of tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EqualTokens {
    /// The count that was asked for, or the largest that every run has reached which has begun, did not end
    /// without success, and is not excluded; none before the first has begun.
    pub tokens: Option<u64>,
    /// Runs that have reached it and are not excluded, in the order of their numbers.
    pub runs: Vec<EqualRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EqualRow {
    pub run_id: RunId,
    /// Held-out and task metrics: the last value at or before that count.
    pub values: BTreeMap<String, StepValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepValue {
    pub step: u64,
    pub value: f64,
}

/// The columns are equally long; steps ascend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeriesPoints {
    pub run_id: RunId,
    pub name: String,
    /// Steps per bucket; 1: raw points.
    pub width: u64,
    pub steps: Vec<u64>,
    /// The last value of each bucket; NaN and infinities as strings.
    #[serde(with = "crate::worker::numbers")]
    #[schema(value_type = Vec<crate::worker::numbers::Number>)]
    pub values: Vec<f64>,
    /// Milliseconds since the epoch.
    pub times: Vec<i64>,
}
