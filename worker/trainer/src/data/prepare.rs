//! From a user's file to a dataset: read, hash, split, tokenize, write.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use assay_api::spec::PrepareSpec;
use sha2::{Digest, Sha256};

use super::draft::Draft;
use super::error::DataError;
use super::fingerprint::Manifest;
use super::heldout::{DOCUMENTS, HeldoutDocument};
use super::reader::{Document, Reader};
use super::split::{HashedFile, SplitWriter};

/// Documents between two calls of `progress`.
const PROGRESS_EVERY: u64 = 1024;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub documents: u64,
    pub tokens: u64,
    /// Bytes of the file.
    pub bytes: u64,
    pub bytes_total: u64,
}

/// What was prepared, both sides of the held-out line together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub fingerprint: String,
    pub tokens: u64,
    pub documents: u64,
    /// Bytes of text.
    pub bytes: u64,
    pub documents_heldout: u64,
    /// Documents without a single byte, left out.
    pub empty_documents: u64,
}

/// Tokenizes a source into a folder that [`super::Dataset::open`] opens. A folder that has this
/// content already is left as it is.
pub fn prepare(
    spec: &PrepareSpec,
    folder: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Prepared, DataError> {
    let path = Path::new(&spec.files.path);
    if !(0.0..=0.5).contains(&spec.heldout.share) {
        let problem = format!("a held-out share of {} is not in 0..=0.5", spec.heldout.share);
        return Err(DataError::source(path, problem));
    }
    // An empty or missing file leaves no trace.
    drop(Reader::open(&spec.files)?);

    let draft = Draft::create(folder)?;
    let first = write(spec, &draft, HeldoutLine::of_share(spec.heldout.share), progress)?;
    let (draft, scan) = match first.better_line(spec)? {
        None => (draft, first),
        Some(line) => {
            drop(draft);
            let draft = Draft::create(folder)?;
            let second = write(spec, &draft, line, progress)?;
            (draft, second)
        }
    };
    draft.publish(&scan.manifest)?;
    Ok(Prepared::from(scan.manifest))
}

impl From<Manifest> for Prepared {
    fn from(manifest: Manifest) -> Self {
        let Manifest { fingerprint, train, heldout, empty_documents, .. } = manifest;
        Self {
            fingerprint,
            tokens: train.tokens + heldout.tokens,
            documents: train.documents + heldout.documents,
            bytes: train.bytes + heldout.bytes,
            documents_heldout: heldout.documents,
            empty_documents,
        }
    }
}

/// A document is held out if its hash is below the line. The line depends on no seed, so that a
/// document never changes sides between runs.
#[derive(Clone, Copy, Debug)]
struct HeldoutLine(u128);

impl HeldoutLine {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=2^63")]
    fn of_share(share: f64) -> Self {
        Self((share * 64_f64.exp2()) as u128)
    }

    fn holds_out(self, hash: u64) -> bool {
        u128::from(hash) < self.0
    }
}

/// The first and the second half of a text's SHA-256, as far as 64 bits go.
fn hashes(text: &str) -> (u64, u64) {
    let digest = Sha256::digest(text);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    (number(&digest[..8]), number(&digest[16..24]))
}

/// One pass over a source.
struct Scan {
    manifest: Manifest,
    /// The smallest and the largest hash that decided on a side.
    smallest: u64,
    largest: u64,
}

impl Scan {
    /// In a source of few documents the line may leave one side without any: then it moves by just so
    /// much that one document, or one group, changes sides.
    fn better_line(&self, spec: &PrepareSpec) -> Result<Option<HeldoutLine>, DataError> {
        let Manifest { train, heldout, .. } = self.manifest;
        let path = Path::new(&spec.files.path);
        if train.documents + heldout.documents == 0 {
            return Err(DataError::source(path, "there is no document with text in it"));
        }
        let wants_heldout = 0.0 < spec.heldout.share;
        if 0 < train.documents && (0 < heldout.documents || !wants_heldout) {
            return Ok(None);
        }
        if self.smallest == self.largest {
            let what = match &spec.files.group_by {
                Some(field) => format!("all documents have the same `{field}` (group_by)"),
                None => "all documents are the same".to_owned(),
            };
            let problem = format!(
                "{what}, so that they cannot be split into a training and a held-out part; add \
                 documents, or set data.heldout.share to 0"
            );
            return Err(DataError::source(path, problem));
        }
        let line =
            if train.documents == 0 { self.largest.into() } else { 1 + u128::from(self.smallest) };
        Ok(Some(HeldoutLine(line)))
    }
}

/// Writes every file but the manifest.
fn write(
    spec: &PrepareSpec,
    draft: &Draft,
    line: HeldoutLine,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Scan, DataError> {
    let mut reader = Reader::open(&spec.files)?;
    let mut sides = Sides::create(&draft.path(), spec, line)?;
    let (mut read, mut empty_documents) = (0_u64, 0);
    while let Some(document) = reader.next()? {
        if document.text.is_empty() {
            empty_documents += 1;
        } else {
            sides.push(&document)?;
        }
        read += 1;
        if read.is_multiple_of(PROGRESS_EVERY) {
            report(&reader, read, &sides, progress)?;
        }
    }
    report(&reader, read, &sides, progress)?;
    sides.finish(empty_documents)
}

fn report(
    reader: &Reader<'_>,
    documents: u64,
    sides: &Sides,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), DataError> {
    let tokens = sides.train.size().tokens + sides.heldout.size().tokens;
    let (bytes, bytes_total) = (reader.bytes_read(), reader.bytes_total());
    match progress(Progress { documents, tokens, bytes, bytes_total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DataError::Stopped),
    }
}

/// Both sides of the held-out line, while they are written.
struct Sides {
    spec: PrepareSpec,
    line: HeldoutLine,
    train: SplitWriter,
    heldout: SplitWriter,
    heldout_documents: HashedFile,
    smallest: u64,
    largest: u64,
}

impl Sides {
    fn create(folder: &Path, spec: &PrepareSpec, line: HeldoutLine) -> Result<Self, DataError> {
        Ok(Self {
            spec: spec.clone(),
            line,
            train: SplitWriter::create(folder, "train", spec.tokenizer)?,
            heldout: SplitWriter::create(folder, "heldout", spec.tokenizer)?,
            heldout_documents: HashedFile::create(folder, DOCUMENTS)?,
            smallest: u64::MAX,
            largest: 0,
        })
    }

    fn push(&mut self, document: &Document) -> Result<(), DataError> {
        let (own, order) = hashes(&document.text);
        let side = document.group.as_ref().map_or(own, |group| hashes(group).0);
        self.smallest = self.smallest.min(side);
        self.largest = self.largest.max(side);
        if !self.line.holds_out(side) {
            return self.train.push(&document.text);
        }
        let bytes = document.text.len() as u64;
        let known = HeldoutDocument { bytes, order, slices: document.slices.clone() };
        let line =
            serde_json::to_string(&known).expect("numbers and strings are plain JSON") + "\n";
        self.heldout_documents.write(line.as_bytes())?;
        self.heldout.push(&document.text)
    }

    fn finish(self, empty_documents: u64) -> Result<Scan, DataError> {
        let Self { spec, train, heldout, heldout_documents, smallest, largest, .. } = self;
        let mut files = BTreeMap::new();
        let train = train.finish(&mut files)?;
        let heldout = heldout.finish(&mut files)?;
        heldout_documents.finish(&mut files)?;
        let manifest = Manifest::new(spec.tokenizer, train, heldout, files);
        Ok(Scan { manifest: Manifest { empty_documents, ..manifest }, smallest, largest })
    }
}
