//! What people see: the answers of the API, one file per noun.

mod plan;
mod pool;
mod run;
mod series;
mod sweep;

pub use plan::{ApplyAnswer, ApplyRequest, FileError, PlanView, PointChange, SourceUse};
pub use pool::{LoopView, PoolHealth, PoolKind, PoolView};
pub use run::{
    AttemptView, CheckpointView, EvaluationView, EventView, LogPage, LogRow, NeedView, Outcome,
    RunKind, RunRow, RunState, RunView,
};
pub use series::{SeriesAnswer, SeriesPoints, SeriesQuery};
pub use sweep::{
    AxisView, Counts, GpuHours, Problem, StreamEvent, SweepState, SweepSummary, SweepView,
};
