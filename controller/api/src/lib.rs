//! The contract between the controller, its workers, the command line and the browser.
//!
//! `sweep` reads the file that a user writes, `expand` turns it into runs, `spec` is one run with
//! every default written out, `extension` makes one longer, `result_key` says what a result depends on, `worker` is what workers say, `view` is what people see.
//!
//! **Invariant:** knows no SQL, no Kubernetes and no candle. No I/O but `client`, which is a feature, and
//! `kill_point` in processes that a test kills.
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
pub mod expand;
pub mod extension;
pub mod ids;
pub mod kill_point;
pub mod preset;
pub mod process;
pub mod quantity;
pub mod result_key;
pub mod spec;
pub mod sweep;
pub mod view;
pub mod worker;

pub use ids::{InstanceId, ProjectId, RunId, SweepId};
pub use kill_point::{KillPoint, kill_point};
