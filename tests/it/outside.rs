//! Judged by programs that others wrote, from `target/outside`: `make outside` installs them.

mod requests;
mod schema;

use std::path::PathBuf;
use std::process::Command;

/// A program of `target/outside`.
pub(crate) fn outside(name: &str) -> Command {
    let path = root().join("target/outside/bin").join(name);
    assert!(path.exists(), "{} is missing: `make outside` installs it", path.display());
    Command::new(path)
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
