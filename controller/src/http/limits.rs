//! How much one request may ask for. What a worker's message may hold is in
//! [`assay_api::worker::limits`], what a sweep file may hold in [`assay_api::sweep::limits`].

use assay_api::view::{
    ApplyRequest, ExcludeRequest, ExtendRequest, ForkRequest, LoginRequest, NoteRequest,
    PriorityRequest, ProjectRequest, QuotaRequest, RotateRequest, SeriesQuery, TokenRequest,
    WebhookRequest,
};
use assay_api::worker::limits::REQUEST_BYTES_MAX;
use assay_api::worker::{FinishRequest, ReportRequest, StartRequest};

/// A body has a size that is over its type's need for certain.
pub(super) trait Limited {
    const BYTES_MAX: usize;
}

/// A sweep file of a megabyte, six times as long where all of it must be escaped.
impl Limited for ApplyRequest {
    const BYTES_MAX: usize = 8 << 20;
}

/// A sweep file as well.
impl Limited for ForkRequest {
    const BYTES_MAX: usize = ApplyRequest::BYTES_MAX;
}

/// A text of 1,000 characters and a name, escaped.
impl Limited for ExcludeRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// A text of 2,000 characters and a name, escaped.
impl Limited for NoteRequest {
    const BYTES_MAX: usize = 32 << 10;
}

/// One number.
impl Limited for PriorityRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// A name.
impl Limited for ProjectRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// One number.
impl Limited for QuotaRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// A name, a role and a number.
impl Limited for TokenRequest {
    const BYTES_MAX: usize = 4 << 10;
}

/// One number.
impl Limited for RotateRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// One secret.
impl Limited for LoginRequest {
    const BYTES_MAX: usize = 4 << 10;
}

/// A URL of 2,000 characters and a name, escaped, and some words.
impl Limited for WebhookRequest {
    const BYTES_MAX: usize = 16 << 10;
}

/// Two short words.
impl Limited for ExtendRequest {
    const BYTES_MAX: usize = 4 << 10;
}

/// 1,000 ids of 40 bytes and 100 names of 200 bytes.
impl Limited for SeriesQuery {
    const BYTES_MAX: usize = 1 << 20;
}

/// 10,000 checkpoints of 50 bytes.
impl Limited for StartRequest {
    const BYTES_MAX: usize = 1 << 20;
}

impl Limited for ReportRequest {
    const BYTES_MAX: usize = REQUEST_BYTES_MAX;
}

/// A reason of 8 KiB, escaped.
impl Limited for FinishRequest {
    const BYTES_MAX: usize = 128 << 10;
}

/// A chart of more runs than this is no chart.
pub(super) const QUERY_RUNS_MAX: usize = 1_000;
pub(super) const QUERY_NAMES_MAX: usize = 100;
/// Runs times names: 1,000 buckets of each are some 200 MB of JSON already.
pub(super) const QUERY_SERIES_MAX: usize = 5_000;
/// Two points for every pixel column of a wide screen would be 5,000; a chart gets one for two.
pub(super) const QUERY_BUCKETS_MAX: u32 = 1_000;
/// Lines of a log in one answer: of 4 KiB each, 20 MB.
pub(super) const LOG_LINES_MAX: u32 = 5_000;
/// Rows of the audit log in one answer.
pub(super) const AUDIT_ROWS_MAX: u32 = 1_000;
/// Deliveries of a webhook in one answer.
pub(super) const DELIVERIES_MAX: u32 = 1_000;
/// Webhooks of one project. What ends is written down once for each.
pub(crate) const WEBHOOKS_MAX: i64 = 20;
/// Streams open at a time, each with two reads a second: what 20 connections can serve of reads that
/// take 50 ms, with half of them left for everything else.
pub(crate) const STREAMS_MAX: usize = 100;
/// Schedules of one project. Each that is due is looked at by itself.
pub(crate) const SCHEDULES_MAX: i64 = 100;
/// Each has its page, and its quotas are read at every activation.
pub(crate) const PROJECTS_MAX: i64 = 1_000;
/// More slots than any pool has.
pub(crate) const QUOTA_SLOTS_MAX: u32 = 1_000_000;
/// Sweeps of one project: the list is one page.
pub(crate) const SWEEPS_MAX: i64 = 10_000;
