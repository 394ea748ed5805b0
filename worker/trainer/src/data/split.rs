//! One side of the held-out line on disk: tokens one after another, and where each document begins.
//!
//! `<name>.tokens` holds little-endian numbers of 2 or 4 bytes; `<name>.index` one little-endian u64
//! per document, the place of its first token, and one more: the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use assay_api::spec::Tokenizer;
use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::error::DataError;
use super::fingerprint::{SplitSize, hex};
use super::map::map;
use super::tokenize::{END_OF_DOCUMENT, encode, width};

/// Bytes gathered before a write.
const BUFFER: usize = 1 << 20;

/// A file that knows the hash of what was written to it.
#[derive(Debug)]
pub(super) struct HashedFile {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
}

impl HashedFile {
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, DataError> {
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(DataError::write(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER, file), hash: Sha256::new() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(DataError::write(&self.path))
    }

    /// Syncs the file and enters its hash under its name.
    pub(super) fn finish(self, files: &mut BTreeMap<String, String>) -> Result<(), DataError> {
        let Self { path, file, hash } = self;
        let synced = file.into_inner().map_err(io::Error::from).and_then(|file| file.sync_all());
        synced.map_err(DataError::write(&path))?;
        let name = path.file_name().expect("created under a name").to_string_lossy().into_owned();
        files.insert(name, hex(&hash.finalize()));
        Ok(())
    }
}

/// Writes one side, document by document.
#[derive(Debug)]
pub(super) struct SplitWriter {
    tokenizer: Tokenizer,
    tokens: HashedFile,
    index: HashedFile,
    buffer: Vec<u8>,
    size: SplitSize,
}

impl SplitWriter {
    pub(super) fn create(
        folder: &Path,
        name: &str,
        tokenizer: Tokenizer,
    ) -> Result<Self, DataError> {
        let tokens = HashedFile::create(folder, &format!("{name}.tokens"))?;
        let mut index = HashedFile::create(folder, &format!("{name}.index"))?;
        index.write(&0_u64.to_le_bytes())?;
        let size = SplitSize::default();
        Ok(Self { tokenizer, tokens, index, buffer: Vec::new(), size })
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), DataError> {
        let mut tokens = encode(self.tokenizer, text);
        tokens.push(END_OF_DOCUMENT);
        let width = width(self.tokenizer);
        self.buffer.clear();
        for token in &tokens {
            self.buffer.extend_from_slice(&token.to_le_bytes()[..width]);
        }
        self.tokens.write(&self.buffer)?;
        self.size.documents += 1;
        self.size.tokens += tokens.len() as u64;
        self.size.bytes += text.len() as u64;
        self.index.write(&self.size.tokens.to_le_bytes())
    }

    pub(super) fn finish(
        self,
        files: &mut BTreeMap<String, String>,
    ) -> Result<SplitSize, DataError> {
        self.tokens.finish(files)?;
        self.index.finish(files)?;
        Ok(self.size)
    }

    pub(super) fn size(&self) -> SplitSize {
        self.size
    }
}

/// One side, mapped.
#[derive(Debug)]
pub(super) struct Split {
    tokens: Mmap,
    index: Mmap,
    width: usize,
    pub(super) size: SplitSize,
}

impl Split {
    pub(super) fn open(
        folder: &Path,
        name: &str,
        tokenizer: Tokenizer,
        size: SplitSize,
    ) -> Result<Self, DataError> {
        let width = width(tokenizer);
        // a damaged manifest may claim sizes whose product goes round to that of an empty file
        let bytes = size.tokens.saturating_mul(width as u64);
        let tokens = map(folder, &format!("{name}.tokens"), bytes)?;
        let bytes = size.documents.saturating_add(1).saturating_mul(8);
        let index = map(folder, &format!("{name}.index"), bytes)?;
        Ok(Self { tokens, index, width, size })
    }

    /// The tokens of a range of places.
    pub(super) fn tokens(&self, places: Range<u64>) -> impl Iterator<Item = u32> + '_ {
        let bytes = place(places.start) * self.width..place(places.end) * self.width;
        self.tokens[bytes].chunks_exact(self.width).map(|chunk| {
            let mut token = [0; 4];
            token[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(token)
        })
    }

    /// The places of a document's tokens, its end included.
    pub(super) fn document(&self, document: u64) -> Range<u64> {
        self.begin(document)..self.begin(document + 1)
    }

    /// The document that a place belongs to.
    pub(super) fn document_at(&self, at: u64) -> u64 {
        assert!(at < self.size.tokens, "place {at} of {}", self.size.tokens);
        // The last document that begins at or before `at`: `low` always does, `high` never.
        let (mut low, mut high) = (0, self.size.documents);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.begin(middle) <= at {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn begin(&self, document: u64) -> u64 {
        let entry = place(document) * 8;
        let bytes = &self.index[entry..entry + 8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a mapped file's places are addresses")
}
