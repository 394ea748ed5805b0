//! A prepared source, mapped into memory.

use std::path::{Path, PathBuf};

use assay_api::spec::Tokenizer;

use super::draft;
use super::error::DataError;
use super::fingerprint::Manifest;
use super::split::Split;

#[derive(Debug)]
pub struct Dataset {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) train: Split,
    pub(super) heldout: Split,
}

impl Dataset {
    /// Opens the newest version in a folder.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let Some(newest) = draft::manifest(folder)? else {
            return Err(DataError::dataset(folder, "it has no manifest.json"));
        };
        Self::open_version(&draft::version(folder, &newest.fingerprint))
    }

    /// Opens the version with this fingerprint, whether or not a newer one lies beside it, after every byte of
    /// it was held to that fingerprint.
    pub fn open_pinned(folder: &Path, fingerprint: &str) -> Result<Self, DataError> {
        let version = draft::version(folder, fingerprint);
        let dataset =
            if version.exists() { Self::open_version(&version)? } else { Self::open(folder)? };
        dataset.verify(fingerprint)?;
        dataset.verify_content()?;
        Ok(dataset)
    }

    fn open_version(folder: &Path) -> Result<Self, DataError> {
        let Some(manifest) = draft::manifest(folder)? else {
            return Err(DataError::dataset(folder, "it has no manifest.json"));
        };
        let split = |name, size| Split::open(folder, name, manifest.tokenizer, size);
        let train = split("train", manifest.train)?;
        let heldout = split("heldout", manifest.heldout)?;
        Ok(Self { folder: folder.to_owned(), manifest, train, heldout })
    }

    /// What it holds, in 64 hexadecimal digits: independent of paths and time.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    #[must_use]
    pub fn tokenizer(&self) -> Tokenizer {
        self.manifest.tokenizer
    }

    /// Refuses other data than was expected.
    fn verify(&self, expected: &str) -> Result<(), DataError> {
        if self.fingerprint() == expected {
            return Ok(());
        }
        Err(DataError::Fingerprint {
            folder: self.folder.clone(),
            found: self.fingerprint().to_owned(),
            expected: expected.to_owned(),
        })
    }

    /// Hashes every file again and compares with the manifest.
    pub fn verify_content(&self) -> Result<(), DataError> {
        draft::verify(&self.folder, &self.manifest)
    }

    /// Tokens that can be trained on, ends of documents included.
    #[must_use]
    pub fn tokens_train(&self) -> u64 {
        self.train.size.tokens
    }

    #[must_use]
    pub fn documents_train(&self) -> u64 {
        self.train.size.documents
    }

    #[must_use]
    pub fn documents_heldout(&self) -> u64 {
        self.heldout.size.documents
    }
}
