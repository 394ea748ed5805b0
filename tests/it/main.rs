//! Everything that only the parts together can show: one binary, a database for each test.

mod apply;
mod architecture;
mod attempts;
mod live;
mod schedule;
mod states;
mod whole;
