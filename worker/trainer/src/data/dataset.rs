//! A prepared source, mapped into memory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use assay_api::spec::Tokenizer;
use sha2::{Digest, Sha256};

use super::draft;
use super::error::DataError;
use super::fingerprint::{Manifest, hex};
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

    /// Opens the version with this fingerprint, whether or not a newer one lies beside it.
    pub fn open_pinned(folder: &Path, fingerprint: &str) -> Result<Self, DataError> {
        let version = draft::version(folder, fingerprint);
        let dataset =
            if version.exists() { Self::open_version(&version)? } else { Self::open(folder)? };
        dataset.verify(fingerprint)?;
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

    /// Refuses other data than was expected. The sizes of the files were checked when they were
    /// opened; [`Dataset::verify_content`] reads every byte.
    pub fn verify(&self, expected: &str) -> Result<(), DataError> {
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
        for (name, expected) in &self.manifest.files {
            let path = self.folder.join(name);
            let mut hash = Hashing(Sha256::new());
            let copied = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hash));
            copied.map_err(DataError::read(&path))?;
            if hex(&hash.0.finalize()) != *expected {
                let problem = format!("the content of {name} has changed");
                return Err(DataError::dataset(&self.folder, problem));
            }
        }
        Ok(())
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

struct Hashing(Sha256);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
