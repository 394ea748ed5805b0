//! What can be wrong with data, said so that a person can mend it.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// One line of a source.
    #[error("{}:{line}: {problem}", path.display())]
    Line { path: PathBuf, line: u64, problem: String },
    /// A source as a whole.
    #[error("{}: {problem}", path.display())]
    Source { path: PathBuf, problem: String },
    /// A prepared folder that is none, or is damaged.
    #[error(
        "{} is not a whole dataset: {problem}; `ctl sweep apply FILE --repin` prepares it again",
        folder.display()
    )]
    Dataset { folder: PathBuf, problem: String },
    /// A prepared folder that holds something else than was asked for.
    #[error(
        "{} holds other data than the sweep is pinned to: fingerprint {found}, expected {expected}; \
         restore the source file, or apply again with --repin",
        folder.display()
    )]
    Fingerprint { folder: PathBuf, found: String, expected: String },
    /// A mixture that its sources cannot give.
    #[error("data.mixture: {0}")]
    Mixture(String),
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("stopped on request")]
    Stopped,
}

impl DataError {
    /// Another try with the same input ends the same way.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Line { .. }
            | Self::Source { .. }
            | Self::Dataset { .. }
            | Self::Fingerprint { .. }
            | Self::Mixture(_) => true,
            Self::Read { .. } | Self::Write { .. } | Self::Stopped => false,
        }
    }

    pub(super) fn source(path: &Path, problem: impl Into<String>) -> Self {
        Self::Source { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn dataset(folder: &Path, problem: impl Into<String>) -> Self {
        Self::Dataset { folder: folder.to_owned(), problem: problem.into() }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
