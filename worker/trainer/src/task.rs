//! Multiple-choice tasks, as lm-evaluation-harness writes them, with local data.
//!
//! A [`Task`] is read from its YAML and its data file at once: every template is rendered and every
//! gold answer resolved before a model is loaded, so a bad line is an error at the start and not
//! after an hour. An item's choices become sequences ([`Task::sequences`]); their summed
//! log-likelihoods become an [`Outcome`] ([`Item::judge`]); outcomes become scores ([`summarize`]).

mod error;
mod file;
mod keys;
mod request;
mod score;
mod template;

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::data::Sequence;
use assay_api::spec::Tokenizer;

pub use error::TaskError;
pub use score::{Outcome, Score, summarize};

/// A task with all its items rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What the file calls itself.
    pub name: String,
    pub target_delimiter: String,
    pub items: Vec<Item>,
    /// See [`fingerprint`].
    pub sha256: String,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub context: String,
    /// Without the delimiter that stands before each.
    pub choices: Vec<String>,
    /// Which of the choices is right.
    pub gold: usize,
}

impl Task {
    /// Reads a task file and its data.
    pub fn open(path: &Path) -> Result<Task, TaskError> {
        file::open(path)
    }

    /// One sequence per choice, of at most `context` tokens; only the choice's tokens are targets.
    /// The log-likelihood of a choice is the sum over its sequence's targets.
    pub fn sequences(
        &self,
        item: usize,
        tokenizer: Tokenizer,
        context: u32,
    ) -> Result<Vec<Sequence>, TaskError> {
        let asked = &self.items[item];
        let continuations = asked.choices.iter();
        continuations
            .map(|choice| {
                let continuation = format!("{}{choice}", self.target_delimiter);
                request::sequence(tokenizer, &asked.context, &continuation, context)
                    .map_err(|problem| TaskError::Item { item: item + 1, problem })
            })
            .collect()
    }
}

/// What a task's content is: SHA-256, in lower-case hex, of the 64 bytes that the SHA-256 of the
/// task file and the SHA-256 of its data file are, one after the other.
#[must_use]
pub fn fingerprint(task_file: &[u8], data_file: &[u8]) -> String {
    let mut whole = Sha256::new();
    whole.update(Sha256::digest(task_file));
    whole.update(Sha256::digest(data_file));
    crate::data::hex(&whole.finalize())
}
