//! What is scored: a fixed part of the documents that are never trained on.
//!
//! Which documents, and how much of each, depends on the dataset and on the number of tokens alone:
//! not on a seed, a model, or the context, so that runs that differ in these can be compared. Each
//! document is scored from its first byte, behind an end of document, in windows: every token is a
//! target exactly once, and the last window reaches back so that its tokens see a full context. These
//! are the windows of lm-evaluation-harness's `loglikelihood_rolling`. The end of a document is not a
//! target, so that nats belong to bytes: bits per byte are `nats / ln 2 / bytes`, exactly.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::error::DataError;
use super::tokenize::{END_OF_DOCUMENT, text_bytes};
use super::{IGNORED, Sequence};

/// File with one line per held-out document, in their order.
pub(super) const DOCUMENTS: &str = "heldout.jsonl";

/// No document gives more than this part of the tokens: a book must not be the whole measurement.
const LARGEST_PART: u64 = 8;

/// What is known about a held-out document beside its tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldoutDocument {
    pub(super) bytes: u64,
    /// Part of the hash of its text: documents are scored in this order, which is none.
    pub(super) order: u64,
    pub(super) slices: BTreeMap<String, String>,
}

/// One window of one held-out document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldoutSequence {
    /// At most `context` tokens; targets that another window scores are ignored.
    pub sequence: Sequence,
    /// Bytes of text that the targets stand for.
    pub bytes: u64,
    /// The document's value of each slice.
    pub slices: BTreeMap<String, String>,
    /// Which held-out document: windows of one document add up to one item.
    pub document: u64,
}

impl Dataset {
    /// The windows that are scored: of at least `tokens` tokens, or of all that is held out.
    pub fn heldout(&self, context: u32, tokens: u64) -> Result<Vec<HeldoutSequence>, DataError> {
        assert!(0 < context, "a context of 0 tokens holds nothing");
        let known = self.heldout_documents()?;
        let mut order: Vec<u64> = (0..self.heldout.size.documents).collect();
        order.sort_by_key(|document| (known[index(*document)].order, *document));

        let largest = tokens.div_ceil(LARGEST_PART);
        let mut left = tokens;
        let mut sequences = Vec::new();
        for document in order {
            if left == 0 {
                break;
            }
            let places = self.heldout.document(document);
            let length = (places.end - 1 - places.start).min(largest).min(left);
            left -= length;
            let end = places.start + length;
            let text: Vec<u32> = self.heldout.tokens(places.start..end).collect();
            for sequence in windows(&text, index(u64::from(context))) {
                let slices = known[index(document)].slices.clone();
                sequences.push(HeldoutSequence {
                    bytes: self.bytes(&sequence.targets),
                    sequence,
                    slices,
                    document,
                });
            }
        }
        Ok(sequences)
    }

    fn bytes(&self, targets: &[u32]) -> u64 {
        let scored = targets.iter().filter(|target| **target != IGNORED);
        scored.map(|token| text_bytes(self.tokenizer(), *token)).sum()
    }

    fn heldout_documents(&self) -> Result<Vec<HeldoutDocument>, DataError> {
        let path = self.folder.join(DOCUMENTS);
        let file = File::open(&path).map_err(DataError::read(&path))?;
        let mut documents = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(DataError::read(&path))?;
            let damaged = |error| DataError::dataset(&self.folder, format!("{DOCUMENTS}: {error}"));
            documents.push(serde_json::from_str(&line).map_err(damaged)?);
        }
        if documents.len() as u64 != self.heldout.size.documents {
            let problem = format!("{DOCUMENTS} has {} lines", documents.len());
            return Err(DataError::dataset(&self.folder, problem));
        }
        Ok(documents)
    }
}

/// Cuts a text into windows of at most `context` targets.
fn windows(text: &[u32], context: usize) -> impl Iterator<Item = Sequence> {
    let begins = (0..text.len()).step_by(context);
    begins.map(move |scored_from| {
        let end = (scored_from + context).min(text.len());
        let begin = end.saturating_sub(context);
        let first = begin.checked_sub(1).map_or(END_OF_DOCUMENT, |before| text[before]);
        let inputs = std::iter::once(first).chain(text[begin..end - 1].iter().copied()).collect();
        let mut targets = text[begin..end].to_vec();
        targets[..scored_from - begin].fill(IGNORED);
        let documents = vec![0; targets.len()];
        Sequence { inputs, targets, documents, source: 0 }
    })
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("held-out documents fit into memory")
}
