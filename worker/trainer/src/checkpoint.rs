//! Checkpoints: folders that are complete or do not exist.
//!
//! A folder is written beside its place (`.partial`), each file synced, then renamed, and last comes
//! `manifest.json` with every file's size and SHA-256, by a rename as well. So whoever finds a
//! manifest finds everything it lists, whatever was killed when; a folder without one is rubbish
//! that [`prune`] clears. Deleting goes the other way round: the manifest first.
//!
//! What is read again is held to the manifest first, and the manifest to a checksum of its own: disks and
//! copies lose bits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use assay_api::{KillPoint, kill_point};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::by_name::ByName;
use crate::data::hex;
use crate::divergence::Skips;
use crate::hugging_face::{CONFIG, WEIGHTS};
use crate::safetensors::{self, Opened};

pub const MANIFEST: &str = "manifest.json";
/// The optimizer's moments.
pub const OPTIMIZER: &str = "optimizer.safetensors";
/// What the watcher laid in: opaque here.
pub const CARRIED: &str = "carried";
/// A manifest whose checkpoint turned out to be damaged.
const SET_ASIDE: &str = "manifest.damaged.json";
const PARTIAL: &str = "partial";
const FORMAT: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Not what was written.
    #[error("the checkpoint in {} is damaged: {problem}", folder.display())]
    Damaged { folder: PathBuf, problem: String },
    /// Written by a program whose checkpoints differ.
    #[error("the checkpoint in {} has format {found}, this program reads {FORMAT}", folder.display())]
    Format { folder: PathBuf, found: u32 },
}

/// What the files hold, and what the loop needs beside them to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// [`crate::SEMANTICS`] of the trainer that wrote it.
    pub semantics: u32,
    /// SHA-256 of what is trained: another spec cannot go on from here.
    pub spec: String,
    /// The fingerprint of each source's data: other data cannot either.
    pub data: BTreeMap<String, String>,
    pub progress: Progress,
    pub files: BTreeMap<String, FileEntry>,
}

/// The file: the manifest, and the SHA-256 of its JSON.
#[derive(Serialize, Deserialize)]
struct Sealed {
    checksum: String,
    #[serde(flatten)]
    manifest: Manifest,
}

impl Manifest {
    fn checksum(&self) -> String {
        let text = serde_json::to_vec(self).expect("a manifest has string keys and whole numbers");
        hex(&Sha256::digest(text))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub bytes: u64,
    pub sha256: String,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken, the skipped ones included.
    pub step: u64,
    pub tokens: u64,
    pub skips: Skips,
    /// What is due at this step has been measured.
    pub is_measured: bool,
}

/// What goes into a checkpoint.
#[expect(missing_debug_implementations, reason = "weights may be anywhere")]
pub struct Contents<'a> {
    pub spec: &'a str,
    pub data: &'a BTreeMap<String, String>,
    pub progress: &'a Progress,
    pub weights: &'a dyn ByName,
    pub optimizer: &'a dyn ByName,
    pub config: &'a Map<String, Value>,
    pub carried: &'a [u8],
}

/// A complete checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub attempt: u32,
    pub step: u64,
    pub folder: PathBuf,
}

/// The folder of a checkpoint in its run's folder.
#[must_use]
pub fn folder(run_folder: &Path, attempt: u32, step: u64) -> PathBuf {
    run_folder.join(format!("attempt-{attempt:03}/step-{step:08}"))
}

/// Writes a checkpoint; returns its size in bytes. Where that fails, nothing is left of it: a full disk
/// would be full for the next attempt as well.
pub fn write(folder: &Path, contents: &Contents<'_>) -> Result<u64, CheckpointError> {
    let written = try_to_write(folder, contents);
    if written.is_err() {
        for unfinished in [folder.with_extension(PARTIAL).as_path(), folder] {
            // what cannot be removed now is what the next attempt clears
            drop(remove(unfinished));
        }
    }
    written
}

fn try_to_write(folder: &Path, contents: &Contents<'_>) -> Result<u64, CheckpointError> {
    let parent = folder.parent().expect("a checkpoint lies in its attempt's folder");
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    let partial = folder.with_extension(PARTIAL);
    for leftover in [partial.as_path(), folder] {
        remove(leftover)?;
    }
    fs::create_dir(&partial).map_err(io_error("create", &partial))?;

    let mut files = BTreeMap::new();
    let mut put = |name: &str, fill: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let path = partial.join(name);
        let entry = write_file(&path, fill).map_err(io_error("write", &path))?;
        files.insert(name.to_owned(), entry);
        Ok(())
    };
    put(WEIGHTS, &|to| safetensors::write(to, contents.weights))?;
    put(OPTIMIZER, &|to| safetensors::write(to, contents.optimizer))?;
    put(CONFIG, &|to| Ok(serde_json::to_writer_pretty(to, contents.config)?))?;
    put(CARRIED, &|to| to.write_all(contents.carried))?;

    sync_folder(&partial)?;
    kill_point(KillPoint::FilesWrittenNamed);
    fs::rename(&partial, folder).map_err(io_error("rename", &partial))?;
    sync_folder(parent)?;
    kill_point(KillPoint::FilesNamedManifest);

    let bytes = files.values().map(|file| file.bytes).sum();
    let manifest = Manifest {
        format: FORMAT,
        semantics: crate::SEMANTICS,
        spec: contents.spec.to_owned(),
        data: contents.data.clone(),
        progress: contents.progress.clone(),
        files,
    };
    let sealed = Sealed { checksum: manifest.checksum(), manifest };
    let beside = folder.join(MANIFEST).with_extension(PARTIAL);
    write_file(&beside, &|to| Ok(serde_json::to_writer_pretty(to, &sealed)?))
        .map_err(io_error("write", &beside))?;
    kill_point(KillPoint::ManifestWrittenNamed);
    fs::rename(&beside, folder.join(MANIFEST)).map_err(io_error("rename", &beside))?;
    sync_folder(folder)?;
    Ok(bytes)
}

/// The manifest of a complete checkpoint, after every file's size and SHA-256 were compared with it.
///
/// # Errors
/// A file is not what was written, or cannot be read.
pub fn verify(folder: &Path) -> Result<Manifest, CheckpointError> {
    let manifest = manifest(folder)?;
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        let found = File::open(&path).and_then(read_entry);
        hold(folder, name, &found.map_err(lost(folder, name))?, expected)?;
    }
    Ok(manifest)
}

/// The manifest, held to its checksum.
fn manifest(folder: &Path) -> Result<Manifest, CheckpointError> {
    let damaged = |problem| CheckpointError::Damaged { folder: folder.to_owned(), problem };
    let bytes = fs::read(folder.join(MANIFEST)).map_err(lost(folder, MANIFEST))?;
    // before anything else is believed: another format may have other fields
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| damaged(format!("{MANIFEST}: {error}"));
    let Format { format: found } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if found != FORMAT {
        return Err(CheckpointError::Format { folder: folder.to_owned(), found });
    }
    let Sealed { checksum, manifest } = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if manifest.checksum() != checksum {
        return Err(damaged(format!("{MANIFEST} is not what its checksum says")));
    }
    for name in [WEIGHTS, OPTIMIZER, CONFIG, CARRIED] {
        if !manifest.files.contains_key(name) {
            return Err(damaged(format!("{MANIFEST} does not list {name}")));
        }
    }
    Ok(manifest)
}

fn hold(
    folder: &Path,
    name: &str,
    found: &FileEntry,
    expected: &FileEntry,
) -> Result<(), CheckpointError> {
    if found == expected {
        return Ok(());
    }
    let problem = format!("{name} is not what the manifest says");
    Err(CheckpointError::Damaged { folder: folder.to_owned(), problem })
}

/// A file that is missing was there once.
fn lost(folder: &Path, name: &str) -> impl FnOnce(io::Error) -> CheckpointError {
    let (folder, name) = (folder.to_owned(), name.to_owned());
    move |error| {
        if error.kind() == io::ErrorKind::NotFound {
            CheckpointError::Damaged { folder, problem: format!("{name} is missing") }
        } else {
            io_error("read", &folder.join(name))(error)
        }
    }
}

/// What the optimizer needs to go on.
///
/// # Errors
/// The file cannot be read, or is no safetensors file.
pub fn optimizer(folder: &Path) -> Result<Opened, CheckpointError> {
    safetensors::open(&folder.join(OPTIMIZER)).map_err(|error| CheckpointError::Damaged {
        folder: folder.to_owned(),
        problem: error.to_string(),
    })
}

/// What the watcher laid in, held to the manifest.
///
/// # Errors
/// It is not what was written, or cannot be read.
pub fn carried(folder: &Path) -> Result<Vec<u8>, CheckpointError> {
    let manifest = manifest(folder)?;
    let bytes = fs::read(folder.join(CARRIED)).map_err(lost(folder, CARRIED))?;
    let found = FileEntry { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(&bytes)) };
    hold(folder, CARRIED, &found, &manifest.files[CARRIED])?;
    Ok(bytes)
}

/// Makes a checkpoint be found no more; [`clear_unfinished`] clears what is left. Only the run's current
/// attempt may call this.
///
/// # Errors
/// Its manifest cannot be renamed.
pub fn set_aside(folder: &Path) -> Result<(), CheckpointError> {
    fs::rename(folder.join(MANIFEST), folder.join(SET_ASIDE))
        .map_err(io_error("set aside", folder))?;
    sync_folder(folder)
}

/// Every complete checkpoint of a run, by attempt and step. No folder, no checkpoints.
pub fn list(run_folder: &Path) -> Result<Vec<Found>, CheckpointError> {
    let mut found = Vec::new();
    for (attempt, attempt_folder) in numbered(run_folder, "attempt-")? {
        for (step, folder) in numbered(&attempt_folder, "step-")? {
            if folder.join(MANIFEST).exists() {
                let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
                found.push(Found { attempt, step, folder });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Keeps the latest `latest` checkpoints and the newest at step `pinned`; clears the rest, and
/// what attempts that died left half written. Only the run's current attempt may call this.
pub fn prune(run_folder: &Path, latest: usize, pinned: Option<u64>) -> Result<(), CheckpointError> {
    let complete = list(run_folder)?;
    let kept_from = complete.len().saturating_sub(latest);
    let newest_pinned = complete.iter().rposition(|found| Some(found.step) == pinned);
    let is_kept = |at: usize| kept_from <= at || Some(at) == newest_pinned;
    for (at, found) in complete.iter().enumerate() {
        if !is_kept(at) {
            remove(&found.folder)?;
        }
    }
    clear_unfinished(run_folder)
}

/// Clears what attempts that died left half written. Only the run's current attempt may call this.
pub fn clear_unfinished(run_folder: &Path) -> Result<(), CheckpointError> {
    for (_, attempt_folder) in numbered(run_folder, "attempt-")? {
        for path in entries(&attempt_folder)? {
            if !path.join(MANIFEST).exists() {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

/// Folders called `prefix` and a number.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let number = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((number, path))
    };
    Ok(entries(folder)?.into_iter().filter_map(number).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let listing = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(io_error("list", folder))?,
    };
    let path = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.path());
    listing.map(path).collect::<io::Result<_>>().map_err(io_error("list", folder))
}

/// The manifest goes first, so that a folder half deleted is no checkpoint.
fn remove(folder: &Path) -> Result<(), CheckpointError> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(io_error("delete", folder)),
    };
    let manifest = fs::remove_file(folder.join(MANIFEST));
    if manifest.is_ok() {
        kill_point(KillPoint::ManifestRemovedFiles);
    }
    gone(manifest)?;
    gone(fs::remove_dir_all(folder))
}

/// Passes on what is written, and remembers its length and hash.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn entry(self) -> FileEntry {
        FileEntry { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

fn write_file(
    path: &Path,
    fill: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<FileEntry> {
    let mut to = Hashing::new(BufWriter::new(File::create(path)?));
    fill(&mut to)?;
    to.inner.flush()?;
    to.inner.get_ref().sync_all()?;
    Ok(to.entry())
}

fn read_entry(mut file: File) -> io::Result<FileEntry> {
    let mut hashing = Hashing::new(io::sink());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hashing.entry()),
            read => hashing.write_all(&buffer[..read])?,
        }
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), CheckpointError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    move |source| CheckpointError::Io { doing, path, source }
}
