//! A corpus to try things on: deterministic, of any size, from a seed.
//!
//! `general.jsonl` is plain English about a small made-up world; `commerce.jsonl` is product
//! listings in five languages. What comes next is a function of (seed, place) alone, so a longer
//! corpus begins with the shorter one, byte for byte. The two task files ask about products that no
//! listing describes.

mod commerce;
mod dice;
mod general;
mod grammar;
mod tasks;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use commerce::Commerce;
use general::General;

/// Bytes gathered before a write.
const BUFFER: usize = 1 << 20;

/// Documents between two calls of `progress`.
const PROGRESS_EVERY: u64 = 1024;

#[derive(Clone, Debug)]
pub struct Options {
    /// Made if it is not there. Files of the same names are replaced.
    pub folder: PathBuf,
    pub size: Size,
    pub seed: u64,
}

/// How much of each of the two corpora.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Whole documents, until a file has at least so many bytes.
    Bytes(u64),
    Documents(u64),
}

/// One file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    pub path: PathBuf,
    /// Documents, or items of a task.
    pub documents: u64,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("stopped on request")]
    Stopped,
}

/// Called now and then with the file that is being written.
pub type Progress<'a> = dyn FnMut(&Written) -> ControlFlow<()> + 'a;

/// Writes `general.jsonl`, `commerce.jsonl` and the folder `tasks`. Each file is written beside and
/// renamed: what is there under its name is whole.
pub fn synth(options: &Options, progress: &mut Progress<'_>) -> Result<Vec<Written>, SynthError> {
    let tasks = options.folder.join("tasks");
    fs::create_dir_all(&tasks)
        .map_err(|source| SynthError::Write { path: tasks.clone(), source })?;
    Ok(vec![
        write_general(options, progress)?,
        write_commerce(options, progress)?,
        write_task(
            &tasks,
            "aspects",
            "Which category, color or material has the product?",
            |commerce, i| tasks::aspect(commerce, options.seed, i),
            options.seed,
        )?,
        write_task(
            &tasks,
            "price",
            "In which price range is the product?",
            |commerce, i| tasks::price(commerce, options.seed, i),
            options.seed,
        )?,
    ])
}

#[derive(Serialize)]
struct GeneralLine<'a> {
    text: &'a str,
    topic: &'a str,
}

#[derive(Serialize)]
struct CommerceLine<'a> {
    text: &'a str,
    product_id: String,
    language: &'a str,
    category: &'a str,
}

fn write_general(options: &Options, progress: &mut Progress<'_>) -> Result<Written, SynthError> {
    let general = General::new(options.seed);
    let mut file = Jsonl::create(&options.folder, "general.jsonl")?;
    for i in 0.. {
        if file.is_full(options.size) {
            break;
        }
        let document = general.document(i);
        file.push(&GeneralLine { text: &document.text, topic: document.topic })?;
        file.report(progress)?;
    }
    file.finish()
}

fn write_commerce(options: &Options, progress: &mut Progress<'_>) -> Result<Written, SynthError> {
    let commerce = Commerce::new(options.seed);
    let mut file = Jsonl::create(&options.folder, "commerce.jsonl")?;
    for product in 0.. {
        if file.is_full(options.size) {
            break;
        }
        for document in commerce.documents(product) {
            if file.is_full(options.size) {
                break;
            }
            file.push(&CommerceLine {
                text: &document.text,
                product_id: format!("p{:07}", document.product_id),
                language: document.language,
                category: document.category,
            })?;
            file.report(progress)?;
        }
    }
    file.finish()
}

fn write_task(
    folder: &Path,
    name: &str,
    about: &str,
    item: impl Fn(&Commerce, u64) -> tasks::Item,
    seed: u64,
) -> Result<Written, SynthError> {
    let commerce = Commerce::new(seed);
    let mut file = Jsonl::create(folder, &format!("{name}.jsonl"))?;
    for i in 0..tasks::ITEMS {
        file.push(&item(&commerce, i))?;
    }
    let written = file.finish()?;
    let path = folder.join(format!("{name}.yaml"));
    let text = tasks::task_file(name, about);
    fs::write(&path, text).map_err(|source| SynthError::Write { path, source })?;
    Ok(written)
}

/// A file of JSON lines, under its name once it is whole.
struct Jsonl {
    beside: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
    written: Written,
}

impl Jsonl {
    fn create(folder: &Path, name: &str) -> Result<Self, SynthError> {
        let path = folder.join(name);
        let beside = folder.join(format!("{name}.partial"));
        let file = File::create(&beside)
            .map_err(|source| SynthError::Write { path: beside.clone(), source })?;
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(Self {
            beside,
            file,
            line: Vec::new(),
            written: Written { path, documents: 0, bytes: 0 },
        })
    }

    fn is_full(&self, size: Size) -> bool {
        match size {
            Size::Bytes(bytes) => bytes <= self.written.bytes,
            Size::Documents(documents) => documents <= self.written.documents,
        }
    }

    fn push(&mut self, line: &impl Serialize) -> Result<(), SynthError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).expect("strings are plain JSON");
        self.line.push(b'\n');
        self.written.documents += 1;
        self.written.bytes += self.line.len() as u64;
        let result = self.file.write_all(&self.line);
        result.map_err(|source| SynthError::Write { path: self.beside.clone(), source })
    }

    fn report(&self, progress: &mut Progress<'_>) -> Result<(), SynthError> {
        if !self.written.documents.is_multiple_of(PROGRESS_EVERY) {
            return Ok(());
        }
        match progress(&self.written) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                // What is left of it is no corpus; that it cannot be removed changes nothing.
                drop(fs::remove_file(&self.beside));
                Err(SynthError::Stopped)
            }
        }
    }

    fn finish(self) -> Result<Written, SynthError> {
        let Self { beside, file, written, .. } = self;
        let result = file
            .into_inner()
            .map_err(io::Error::from)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&beside, &written.path));
        result.map_err(|source| SynthError::Write { path: written.path.clone(), source })?;
        Ok(written)
    }
}
