//! What people see: the answers of the API, one file per noun.

mod access;
mod deletion;
mod plan;
mod pool;
mod project;
mod remark;
mod run;
mod schedule;
mod series;
mod sweep;
mod webhook;

pub use access::{
    ActorView, AuditPage, AuditRow, LoginRequest, ProjectRole, Role, RotateRequest, SessionView,
    TokenRequest, TokenSecret, TokenState, TokenView, Via,
};
pub use deletion::DeletionView;
pub use plan::{
    ApplyAnswer, ApplyRequest, FileError, ForkRequest, PlanView, PointChange, SourceUse,
};
pub use pool::{LoopView, PoolHealth, PoolKind, PoolView};
pub use project::{ProjectRequest, ProjectView, QuotaRequest, QuotaView};
pub use remark::{ExcludeRequest, ExclusionView, NoteRequest, NoteView, PriorityRequest};
pub use run::{
    AttemptView, CheckpointView, EvaluationView, EventView, ExtendAnswer, ExtendRequest,
    ExtendsView, LogPage, LogRow, NeedView, Outcome, RunKind, RunRow, RunState, RunView,
};
pub use schedule::{FiringOutcome, FiringView, ScheduleDetails, ScheduleView, TimesView};
pub use series::{EqualRow, EqualTokens, SeriesAnswer, SeriesPoints, SeriesQuery, StepValue};
pub use sweep::{
    AxisView, CanaryState, CanaryView, Counts, GpuHours, Problem, StreamEvent, SweepState,
    SweepSummary, SweepView,
};
pub use webhook::{
    DeliveryPage, DeliveryState, DeliveryView, OutcomeCounts, WebhookData, WebhookEvent,
    WebhookMessage, WebhookRequest, WebhookSecret, WebhookView,
};
