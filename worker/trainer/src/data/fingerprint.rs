//! What a dataset is, independent of where it lies and when it was made.

use std::collections::BTreeMap;

use assay_api::spec::Tokenizer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tokenize;

/// Changes when the same documents would give other files.
const FORMAT: u32 = 2;

/// `manifest.json`: written last; a folder without it does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    pub fingerprint: String,
    pub tokenizer: Tokenizer,
    pub train: SplitSize,
    pub heldout: SplitSize,
    /// Documents without a single byte, left out.
    pub empty_documents: u64,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, String>,
}

/// How much one side of the held-out line holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSize {
    pub documents: u64,
    /// Ends of documents included.
    pub tokens: u64,
    /// Bytes of text.
    pub bytes: u64,
}

impl Manifest {
    pub(super) fn new(
        tokenizer: Tokenizer,
        train: SplitSize,
        heldout: SplitSize,
        files: BTreeMap<String, String>,
    ) -> Self {
        let fingerprint = fingerprint(tokenizer, [train, heldout], &files);
        let format = FORMAT;
        Self { format, fingerprint, tokenizer, train, heldout, empty_documents: 0, files }
    }

    /// What is wrong with it, in words.
    pub(super) fn problem(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("its format is {}, this program reads {FORMAT}", self.format));
        }
        (fingerprint(self.tokenizer, [self.train, self.heldout], &self.files) != self.fingerprint)
            .then(|| "its fingerprint is not that of its files".to_owned())
    }
}

/// SHA-256 of the format, the tokenizer, the sizes of both sides and the SHA-256 of each file, in the order of
/// their names.
fn fingerprint(
    tokenizer: Tokenizer,
    sizes: [SplitSize; 2],
    files: &BTreeMap<String, String>,
) -> String {
    let mut whole = Sha256::new();
    whole.update(format!("assay dataset {FORMAT}\ntokenizer {}\n", tokenize::name(tokenizer)));
    for SplitSize { documents, tokens, bytes } in sizes {
        whole.update(format!("{documents} documents, {tokens} tokens, {bytes} bytes\n"));
    }
    for (name, digest) in files {
        whole.update(format!("{name} {digest}\n"));
    }
    hex(&whole.finalize())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
