//! Text to tokens and back.

use assay_api::spec::Tokenizer;

/// Stands after each document of the `bytes` tokenizer.
pub const END_OF_DOCUMENT: u32 = 256;

/// Different tokens, the end of a document included.
#[must_use]
pub fn vocabulary_size(tokenizer: Tokenizer) -> u32 {
    match tokenizer {
        Tokenizer::Bytes => 257,
    }
}

/// The tokens of a text, without an end of document.
#[must_use]
pub fn encode(tokenizer: Tokenizer, text: &str) -> Vec<u32> {
    match tokenizer {
        Tokenizer::Bytes => text.bytes().map(u32::from).collect(),
    }
}

/// The text of tokens. Ends of documents become line breaks, and what is not UTF-8 the replacement
/// character.
#[must_use]
pub fn decode(tokenizer: Tokenizer, tokens: &[u32]) -> String {
    match tokenizer {
        Tokenizer::Bytes => {
            let byte = |token: &u32| u8::try_from(*token).unwrap_or(b'\n');
            let bytes: Vec<u8> = tokens.iter().map(byte).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

/// Bytes of text that a token stands for.
pub(super) fn text_bytes(tokenizer: Tokenizer, token: u32) -> u64 {
    match tokenizer {
        Tokenizer::Bytes => u64::from(token != END_OF_DOCUMENT),
    }
}

/// Bytes that a token takes in a file.
pub(super) fn width(tokenizer: Tokenizer) -> usize {
    if vocabulary_size(tokenizer) <= 1 << 16 { 2 } else { 4 }
}

/// A tokenizer's name, as fingerprints hold it.
pub(super) fn name(tokenizer: Tokenizer) -> &'static str {
    match tokenizer {
        Tokenizer::Bytes => "bytes",
    }
}
