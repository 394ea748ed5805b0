//! Everything that only the parts together can show: one binary, a database for each test.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

mod access;
mod apply;
mod architecture;
mod attempts;
mod bad_requests;
mod canary;
mod deletion;
mod equal;
mod evaluate;
mod extension;
mod fork;
mod gpu;
mod kill;
mod leader;
mod limits;
mod live;
mod metrics;
mod outage;
mod output;
mod outside;
mod pause;
mod projects;
mod remarks;
mod repin;
mod retention;
mod reuse;
mod schedule;
mod schedules;
mod states;
mod transaction;
mod webhooks;
mod whole;
