//! Everything that only the parts together can show: one binary, a database for each test.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

mod apply;
mod architecture;
mod attempts;
mod leader;
mod live;
mod metrics;
mod schedule;
mod states;
mod whole;
