//! The task file and its data.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use assay_api::sweep::limits::{TASK_BYTES_MAX, TASK_DATA_BYTES_MAX};
use minijinja::value::Serde;
use minijinja::{Environment, Value};

use super::keys::Keys;
use super::template::{Given, environment, evaluate, text, value};
use super::{Item, Task, TaskError, fingerprint};

pub(super) fn open(path: &Path) -> Result<Task, TaskError> {
    let bytes = read(path, TASK_BYTES_MAX)?;
    let file = TaskFile::parse(path, &bytes)?;
    let data = read(&file.data, TASK_DATA_BYTES_MAX)?;
    let items = file.items(&data)?;
    let sha256 = fingerprint(&bytes, &data);
    Ok(Task { name: file.name, target_delimiter: file.target_delimiter, items, sha256 })
}

/// What a task file says, checked.
struct TaskFile {
    name: String,
    data: PathBuf,
    description: String,
    target_delimiter: String,
    doc_to_text: String,
    doc_to_choice: Choices,
    doc_to_target: Target,
}

pub(super) enum Choices {
    /// A template each.
    Fixed(Vec<String>),
    /// A column or an expression that gives a list.
    Computed(String),
}

pub(super) enum Target {
    Index(u64),
    Computed(String),
}

impl TaskFile {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TaskError> {
        let text = std::str::from_utf8(bytes).map_err(|error| TaskError::File {
            path: path.to_owned(),
            problem: format!("not UTF-8 at byte {}", error.valid_up_to() + 1),
        })?;
        let yaml = serde_yaml::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line() as u64);
            let problem = format!("not valid YAML: {error}");
            TaskError::Line { path: path.to_owned(), line, problem }
        })?;
        let keys = Keys::new(path, text, yaml)?;
        Ok(Self {
            name: keys.required("task")?,
            data: keys.data()?,
            description: keys.string("description")?.unwrap_or_default(),
            target_delimiter: keys.string("target_delimiter")?.unwrap_or_else(|| " ".to_owned()),
            doc_to_text: keys.required("doc_to_text")?,
            doc_to_choice: keys.choices()?,
            doc_to_target: keys.target()?,
        })
    }

    fn items(&self, data: &[u8]) -> Result<Vec<Item>, TaskError> {
        let environment = environment();
        let mut items = Vec::new();
        for (number, line) in (1..).zip(data.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let item = parse_line(line).and_then(|line| self.item(&environment, &line));
            items.push(item.map_err(|problem| TaskError::Line {
                path: self.data.clone(),
                line: number,
                problem,
            })?);
        }
        if items.is_empty() {
            let problem = "there is no item in it".to_owned();
            return Err(TaskError::File { path: self.data.clone(), problem });
        }
        Ok(items)
    }

    fn item(&self, environment: &Environment<'_>, line: &Value) -> Result<Item, String> {
        let named = |key: &'static str| move |problem| format!("{key}: {problem}");
        let question = match evaluate(environment, &self.doc_to_text, line) {
            Ok(Given::Column(value)) => text(&value),
            Ok(Given::Rendered(text)) => text,
            Err(problem) => return Err(named("doc_to_text")(problem)),
        };
        let choices = self.doc_to_choice.of(environment, line).map_err(named("doc_to_choice"))?;
        let gold = self.doc_to_target.of(environment, line, &choices);
        let gold = gold.map_err(named("doc_to_target"))?;
        Ok(Item { context: format!("{}{question}", self.description), choices, gold })
    }
}

impl Choices {
    fn of(&self, environment: &Environment<'_>, line: &Value) -> Result<Vec<String>, String> {
        let choices: Vec<String> = match self {
            Self::Fixed(templates) => templates
                .iter()
                .map(|template| match evaluate(environment, template, line)? {
                    // A choice that happens to be called like a column is still that choice.
                    Given::Column(_) => Ok(template.clone()),
                    Given::Rendered(text) => Ok(text),
                })
                .collect::<Result<_, String>>()?,
            Self::Computed(source) => {
                let list = value(environment, source, line)?;
                if list.as_str().is_some() {
                    return Err(format!("gives the text `{list}`, a list was expected"));
                }
                let entries = list.try_iter().map_err(|_| format!("gives {list}, not a list"))?;
                entries.map(|entry| text(&entry)).collect()
            }
        };
        if choices.len() < 2 {
            return Err(format!("gives {} choices, at least 2 were expected", choices.len()));
        }
        if choices.iter().any(String::is_empty) {
            return Err("one of the choices is empty".to_owned());
        }
        Ok(choices)
    }
}

impl Target {
    fn of(
        &self,
        environment: &Environment<'_>,
        line: &Value,
        choices: &[String],
    ) -> Result<usize, String> {
        let (index, word) = match self {
            Self::Index(index) => (Some(*index), index.to_string()),
            Self::Computed(source) => match evaluate(environment, source, line)? {
                Given::Column(value) if value.as_str().is_some() => (None, text(&value)),
                Given::Column(value) => (u64::try_from(value.clone()).ok(), value.to_string()),
                // A rendered number is an index, whatever the choices are called.
                Given::Rendered(word) => (word.parse().ok(), word),
            },
        };
        let place = match index {
            Some(index) => usize::try_from(index).ok().filter(|place| *place < choices.len()),
            None => choices.iter().position(|choice| *choice == word),
        };
        place.ok_or_else(|| {
            let last = choices.len() - 1;
            format!("gives `{word}`, which is no choice and no index 0..={last}: {choices:?}")
        })
    }
}

fn parse_line(line: &[u8]) -> Result<Value, String> {
    let json: serde_json::Value = serde_json::from_slice(line)
        .map_err(|error| format!("not valid JSON at column {}", error.column()))?;
    if !json.is_object() {
        return Err("one JSON object per line was expected".to_owned());
    }
    Ok(Value::from(Serde(json)))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TaskError> {
    let refused = |problem| TaskError::File { path: path.to_owned(), problem };
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            return refused("no such file".to_owned());
        }
        TaskError::Read { path: path.to_owned(), source }
    };
    // a pipe would wait for a writer, and a device has no end
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("no regular file".to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if limit < bytes.len() as u64 {
        let problem = format!("over the limit of {limit} bytes; divide it into several tasks");
        return Err(refused(problem));
    }
    Ok(bytes)
}
