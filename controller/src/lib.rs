//! The shell around the scheduler: the only crate that names axum and sqlx.
//!
//! In reading order: `config` (the only reader of the environment) and `app` (what is shared);
//! `schedule`, the loop: observe, plan, commit, perform; `intent` (what people want), `attempt` (what
//! workers say) and `apply` (what a sweep file asks for), which write and wake the loop; `metrics`,
//! where points are kept and read; `news`, which tells open streams what was committed; `remark` (what people say of runs), which the loop need not know;
//! `deletion` of sweeps with their files, `retention` (what is kept for how long), `extension` of runs; `calendar`, which applies
//! files at their times; `http` and `store`, which only translate;
//! `project` (teams beside each other); `webhook`, which tells other programs what happened; `pool`, where attempts run; `postgres`, the private server; `predecessor`: what a
//! controller that was killed holds a moment longer; `access`, who may ask for what.
//!
//! **Invariant:** `http` never calls a pool; `store` never decides; `pool` never writes SQL.
#![forbid(unsafe_code)]

pub mod access;
pub mod app;
pub mod apply;
pub mod attempt;
pub mod calendar;
pub mod config;
pub mod deletion;
pub mod extension;
pub mod http;
pub mod intent;
pub mod metrics;
pub mod news;
pub mod pool;
pub mod postgres;
mod predecessor;
pub mod project;
pub mod remark;
pub mod retention;
pub mod schedule;
pub mod secret;
pub mod serve;
pub mod store;
pub mod webhook;
