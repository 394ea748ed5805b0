//! A dataset's folder: written beside, then there as a whole.
//!
//! ```text
//! <folder>/manifest.json          a copy of the newest version's: it names the version
//! <folder>/<16 digits>/…          one version, named for its fingerprint; never written again
//! <folder>/writing-<pid>-<n>/…    a draft; whoever writes it holds its lock
//! ```
//!
//! Sweeps share a folder when they prepare the same path. If the file has changed between them, both
//! versions stay, and each sweep opens the one that it is pinned to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use assay_api::{KillPoint, kill_point};

use sha2::{Digest, Sha256};

use super::error::DataError;
use super::fingerprint::{Manifest, hex};

const MANIFEST: &str = "manifest.json";
const LOCK: &str = "lock";
const DRAFT: &str = "writing-";

/// Tells drafts of one process apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Where a version's files lie.
pub(super) fn version(folder: &Path, fingerprint: &str) -> PathBuf {
    folder.join(fingerprint.get(..16).unwrap_or(fingerprint))
}

/// The manifest in a folder; none if there is none.
pub(super) fn manifest(folder: &Path) -> Result<Option<Manifest>, DataError> {
    let path = folder.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::read(&path)(error)),
    };
    let damaged = |error| DataError::dataset(folder, format!("{MANIFEST}: {error}"));
    let manifest: Manifest = serde_json::from_str(&text).map_err(damaged)?;
    match manifest.problem() {
        Some(problem) => Err(DataError::dataset(folder, problem)),
        None => Ok(Some(manifest)),
    }
}

/// Hashes every file of a version again and compares with its manifest.
pub(super) fn verify(version: &Path, manifest: &Manifest) -> Result<(), DataError> {
    for (name, expected) in &manifest.files {
        let path = version.join(name);
        let mut hash = Hashing(Sha256::new());
        let copied = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hash));
        copied.map_err(DataError::read(&path))?;
        if hex(&hash.0.finalize()) != *expected {
            return Err(DataError::dataset(version, format!("the content of {name} has changed")));
        }
    }
    Ok(())
}

struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a version lies there as it was written.
fn is_whole(version: &Path, manifest: &Manifest) -> bool {
    self::manifest(version).is_ok_and(|found| found.as_ref() == Some(manifest))
        && verify(version, manifest).is_ok()
}

/// A version that is being written. Dropped before it is published, it leaves nothing.
#[derive(Debug)]
pub(super) struct Draft {
    folder: PathBuf,
    name: String,
    /// Held while the draft is written: an abandoned draft is one whose lock is free.
    _lock: File,
}

impl Draft {
    pub(super) fn create(folder: &Path) -> Result<Self, DataError> {
        fs::create_dir_all(folder).map_err(DataError::write(folder))?;
        clear_abandoned(folder);
        let name = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{DRAFT}{}-{count}", std::process::id());
            match fs::create_dir(folder.join(&name)) {
                Ok(()) => break name,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(DataError::write(folder)(error)),
            }
        };
        let path = folder.join(&name).join(LOCK);
        let lock = File::create_new(&path).map_err(DataError::write(&path))?;
        lock.lock().map_err(DataError::write(&path))?;
        Ok(Self { folder: folder.to_owned(), name, _lock: lock })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Makes the draft the folder's newest version. Content that is there already is left alone, unless it
    /// is damaged.
    pub(super) fn publish(self, manifest: &Manifest) -> Result<(), DataError> {
        let version = version(&self.folder, &manifest.fingerprint);
        if self::manifest(&self.folder).is_ok_and(|found| found.as_ref() == Some(manifest))
            && is_whole(&version, manifest)
        {
            return Ok(());
        }
        let draft = self.path();
        let text = serde_json::to_string_pretty(manifest).expect("a manifest is plain JSON") + "\n";
        write_synced(&draft.join(MANIFEST), &text)?;
        sync_folder(&draft)?;

        kill_point(KillPoint::DraftWrittenNamed);
        match fs::rename(&draft, &version) {
            Err(error) if is_taken(&error) && is_whole(&version, manifest) => {}
            Err(error) if is_taken(&error) => {
                self.set_aside(&version)?;
                fs::rename(&draft, &version).map_err(DataError::write(&version))?;
                unlock(&version)?;
            }
            Err(error) => return Err(DataError::write(&version)(error)),
            Ok(()) => unlock(&version)?,
        }
        sync_folder(&self.folder)?;
        kill_point(KillPoint::VersionNamedNewest);

        let beside = self.folder.join(format!("{MANIFEST}.{}", self.name));
        write_synced(&beside, &text)?;
        let path = self.folder.join(MANIFEST);
        fs::rename(&beside, &path).map_err(DataError::write(&path))?;
        sync_folder(&self.folder)
    }

    /// A damaged version becomes rubbish; whoever has mapped its files keeps them.
    fn set_aside(&self, version: &Path) -> Result<(), DataError> {
        let damaged = self.folder.join(format!("damaged-{}", self.name));
        fs::rename(version, &damaged).map_err(DataError::write(version))?;
        fs::remove_dir_all(&damaged).map_err(DataError::write(&damaged))
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// Only once it has its name: a draft without a lock would be nobody's to clear.
fn unlock(version: &Path) -> Result<(), DataError> {
    fs::remove_file(version.join(LOCK)).map_err(DataError::write(version))
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone if it was published; if it cannot be removed, the next draft tries again.
        drop(fs::remove_dir_all(self.path()));
    }
}

/// Removes drafts of processes that died. What cannot be looked at is left alone.
fn clear_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(DRAFT)
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
        {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn write_synced(path: &Path, text: &str) -> Result<(), DataError> {
    let mut file = File::create(path).map_err(DataError::write(path))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(DataError::write(path))
}

/// A rename is on disk once its folder is.
fn sync_folder(folder: &Path) -> Result<(), DataError> {
    File::open(folder).and_then(|open| open.sync_all()).map_err(DataError::write(folder))
}
