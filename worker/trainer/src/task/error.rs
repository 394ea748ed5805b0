//! What can be wrong with a task, said so that a person can mend it.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// One line of the task file or of its data file.
    #[error("{}:{line}: {problem}", path.display())]
    Line { path: PathBuf, line: u64, problem: String },
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("item {item}: {problem}")]
    Item { item: usize, problem: String },
}

impl TaskError {
    /// Another try with the same files ends the same way.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Line { .. } | Self::File { .. } | Self::Item { .. } => true,
            Self::Read { .. } => false,
        }
    }
}
