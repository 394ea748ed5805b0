//! Documents of a file, one after another, in constant memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assay_api::spec::Source;
use serde_json::{Map, Value};

use super::error::DataError;
use super::nearest::nearest;

/// Bytes of one line: a line is the most that is held in memory. A long book has 10 MB.
const LINE_MAX: u64 = 1 << 28;

/// Bytes read at once.
const BUFFER: usize = 1 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) text: String,
    /// The value of `group_by`; near-copies have the same.
    pub(super) group: Option<String>,
    pub(super) slices: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(super) struct Reader<'a> {
    source: &'a Source,
    format: Format,
    lines: Lines,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Jsonl,
    Text,
}

impl<'a> Reader<'a> {
    pub(super) fn open(source: &'a Source) -> Result<Self, DataError> {
        let path = Path::new(&source.path);
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Format::Jsonl,
            Some("txt") => Format::Text,
            Some(_) | None => {
                let problem = "its name has to end in .jsonl (one JSON object per line) or .txt \
                               (documents separated by blank lines)";
                return Err(DataError::source(path, problem));
            }
        };
        if matches!(format, Format::Text)
            && let Some(named) = source.group_by.iter().chain(&source.slices).next()
        {
            let problem = format!(
                "plain text has no field `{named}`; take it out of group_by and slices, or write the \
                 documents as .jsonl"
            );
            return Err(DataError::source(path, problem));
        }
        Ok(Self { source, format, lines: Lines::open(path)? })
    }

    /// The next document; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Document>, DataError> {
        match self.format {
            Format::Jsonl => self.next_object(),
            Format::Text => self.next_paragraph(),
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.lines.bytes_read
    }

    pub(super) fn bytes_total(&self) -> u64 {
        self.lines.bytes_total
    }

    fn next_object(&mut self) -> Result<Option<Document>, DataError> {
        while let Some(line) = self.lines.next()? {
            if line.trim().is_empty() {
                continue;
            }
            let document = parse(line, self.source);
            return document.map(Some).map_err(|problem| self.lines.error(problem));
        }
        Ok(None)
    }

    fn next_paragraph(&mut self) -> Result<Option<Document>, DataError> {
        let mut text = String::new();
        while let Some(line) = self.lines.next()? {
            if !line.trim().is_empty() {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(line);
                if LINE_MAX < text.len() as u64 {
                    let problem = format!(
                        "a document has more than {LINE_MAX} bytes; separate documents by blank lines"
                    );
                    return Err(self.lines.error(problem));
                }
            } else if !text.is_empty() {
                break;
            }
        }
        Ok((!text.is_empty()).then(|| Document { text, ..Document::default() }))
    }
}

fn parse(line: &str, source: &Source) -> Result<Document, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        let whole = error.to_string();
        let what = whole.split(" at line").next().unwrap_or(&whole);
        format!("not valid JSON: {what} at column {column}; mend or remove the line")
    })?;
    let Value::Object(mut object) = value else {
        return Err(format!("{} where an object was expected: {{\"text\": …}}", kind(&value)));
    };
    let group = source.group_by.as_ref();
    let group = group.map(|field| scalar(&object, field, "group_by")).transpose()?;
    let slice =
        |field: &String| Ok::<_, String>((field.clone(), scalar(&object, field, "slices")?));
    let slices = source.slices.iter().map(slice).collect::<Result<_, _>>()?;
    match object.remove(&source.field) {
        Some(Value::String(text)) => Ok(Document { text, group, slices }),
        Some(other) => {
            let field = &source.field;
            Err(format!("field `{field}` is {}, a string was expected", kind(&other)))
        }
        None => Err(missing(&object, &source.field, "field")),
    }
}

/// A field that is one word, as text.
fn scalar(object: &Map<String, Value>, field: &str, option: &str) -> Result<String, String> {
    match object.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => Ok(value.to_string()),
        Some(value @ (Value::Array(_) | Value::Object(_))) => Err(format!(
            "field `{field}` is {}; {option} needs a string, a number, true, false or null",
            kind(value)
        )),
        None => Err(missing(object, field, option)),
    }
}

fn missing(object: &Map<String, Value>, field: &str, option: &str) -> String {
    let known: Vec<&str> = object.keys().map(String::as_str).collect();
    let meant = match nearest(field, known.iter().copied()).first() {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let known = known.join(", ");
    format!("no field `{field}` (data.sources.<name>.{option}); the line has: {known}{meant}")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The lines of a file, numbered from 1, without their ends.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    line: u64,
    bytes_read: u64,
    bytes_total: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            if is_missing { not_found(path) } else { DataError::read(path)(error) }
        })?;
        let metadata = file.metadata().map_err(DataError::read(path))?;
        if metadata.is_dir() {
            return Err(DataError::source(path, "is a folder, a file was expected"));
        }
        if metadata.len() == 0 {
            return Err(DataError::source(path, "the file is empty"));
        }
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(BUFFER, file),
            buffer: Vec::new(),
            line: 0,
            bytes_read: 0,
            bytes_total: metadata.len(),
        })
    }

    fn next(&mut self) -> Result<Option<&str>, DataError> {
        self.buffer.clear();
        let mut limited = (&mut self.file).take(LINE_MAX);
        let read = limited.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(DataError::read(&self.path))? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes_read += read;
        if read == LINE_MAX && !self.buffer.ends_with(b"\n") {
            return Err(self.error(format!("the line has more than {LINE_MAX} bytes; split it")));
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => {
                let text = if self.line == 1 { text.trim_start_matches('\u{feff}') } else { text };
                Ok(Some(text.trim_end_matches(['\n', '\r'])))
            }
            Err(error) => {
                let column = error.valid_up_to() + 1;
                let problem = format!("not UTF-8 at byte {column} of the line; convert the file");
                Err(self.error(problem))
            }
        }
    }

    fn error(&self, problem: String) -> DataError {
        DataError::Line { path: self.path.clone(), line: self.line, problem }
    }
}

fn not_found(path: &Path) -> DataError {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(folder) else {
        let problem = format!("no such file, and no folder {}", folder.display());
        return DataError::source(path, problem);
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let wanted = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let near = nearest(&wanted, names.iter().map(String::as_str));
    let offer: Vec<&str> =
        if near.is_empty() { names.iter().map(String::as_str).take(5).collect() } else { near };
    let folder = folder.display();
    let problem = match offer.as_slice() {
        [] => format!("no such file; {folder} is empty"),
        offer => format!("no such file; in {folder} there is: {}", offer.join(", ")),
    };
    DataError::source(path, problem)
}
