//! The keys of a task file, and where they stand.

use std::path::{Path, PathBuf};

use serde_yaml::Value as Yaml;

use super::TaskError;
use super::file::{Choices, Target};
use crate::data::nearest;

/// Keys that this program reads.
const READ: [&str; 14] = [
    "task",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "data",
    "test_split",
    "validation_split",
    "output_type",
    "description",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "target_delimiter",
    "num_fewshot",
];

/// Keys that change nothing here: names, few-shot settings without shots, and metrics, of which `acc`
/// and `acc_norm` are always computed.
const WITHOUT_EFFECT: [&str; 12] = [
    "task_alias",
    "tag",
    "group",
    "metadata",
    "metric_list",
    "training_split",
    "fewshot_split",
    "fewshot_delimiter",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "generation_kwargs",
    "repeats",
];

/// Keys that would change the numbers.
const NOT_SUPPORTED: [&str; 6] =
    ["include", "process_docs", "filter_list", "fewshot_config", "gen_prefix", "process_results"];

/// The task file's keys, and where they stand.
pub(super) struct Keys<'a> {
    path: &'a Path,
    text: &'a str,
    yaml: Yaml,
}

impl<'a> Keys<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str, yaml: Yaml) -> Result<Self, TaskError> {
        let keys = Self { path, text, yaml };
        keys.check()?;
        Ok(keys)
    }

    fn check(&self) -> Result<(), TaskError> {
        let Some(mapping) = self.yaml.as_mapping() else {
            return Err(self.error("", "the file has to be a mapping: `task: name` and so on"));
        };
        for key in mapping.keys() {
            let key = key.as_str().unwrap_or_default();
            if NOT_SUPPORTED.contains(&key) {
                return Err(self.error(key, format!("`{key}` is not supported; write it out")));
            }
            if !READ.contains(&key) && !WITHOUT_EFFECT.contains(&key) {
                let near = nearest(key, READ.into_iter().chain(WITHOUT_EFFECT));
                let meant = near.first().map(|near| format!("; did you mean `{near}`?"));
                let meant = meant.unwrap_or_default();
                return Err(self.error(key, format!("unknown key `{key}`{meant}")));
            }
        }
        match self.string("output_type")?.as_deref() {
            Some("multiple_choice") => {}
            other => {
                let found = other.unwrap_or("missing");
                let problem =
                    format!("`output_type` is {found}; only `multiple_choice` is supported");
                return Err(self.error("output_type", problem));
            }
        }
        if self.get("num_fewshot").is_some_and(|shots| shots.as_u64() != Some(0)) {
            return Err(self.error("num_fewshot", "only `num_fewshot: 0` is supported"));
        }
        if self.get("dataset_name").is_some() {
            return Err(self.error("dataset_name", "local data has no `dataset_name`; remove it"));
        }
        Ok(())
    }

    /// The data file: `data: file.jsonl`, or as the `datasets` library is told. Relative to the task
    /// file.
    pub(super) fn data(&self) -> Result<PathBuf, TaskError> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        if let Some(file) = self.string("data")? {
            return Ok(folder.join(file));
        }
        if self.string("dataset_path")?.as_deref() != Some("json") {
            let problem = "only local data is supported: write `data: file.jsonl`, or \
                           `dataset_path: json` with `dataset_kwargs: {data_files: file.jsonl}`";
            return Err(self.error("dataset_path", problem));
        }
        let files = self.get("dataset_kwargs").and_then(|kwargs| kwargs.get("data_files"));
        let test = self.string("test_split")?;
        let split = match test {
            Some(split) => Some(split),
            None => self.string("validation_split")?,
        };
        let of_split = |files: &Yaml| split.as_ref().and_then(|split| files.get(split).cloned());
        let file = match files {
            Some(Yaml::Mapping(_)) => files.and_then(of_split),
            other => other.cloned(),
        };
        match file {
            Some(Yaml::String(file)) => Ok(folder.join(file)),
            Some(Yaml::Sequence(list)) if list.len() == 1 && list[0].is_string() => {
                Ok(folder.join(list[0].as_str().expect("just seen to be a string")))
            }
            _ => {
                let problem = "`data_files` has to name one file, or one file for `test_split`";
                Err(self.error("dataset_kwargs", problem))
            }
        }
    }

    pub(super) fn choices(&self) -> Result<Choices, TaskError> {
        match self.get("doc_to_choice") {
            Some(Yaml::Sequence(list)) => {
                let templates = list.iter().map(|entry| match entry {
                    Yaml::String(text) => Some(text.clone()),
                    Yaml::Number(number) => Some(number.to_string()),
                    Yaml::Null
                    | Yaml::Bool(_)
                    | Yaml::Sequence(_)
                    | Yaml::Mapping(_)
                    | Yaml::Tagged(_) => None,
                });
                let templates: Option<Vec<String>> = templates.collect();
                let problem = "`doc_to_choice` has to be a list of strings";
                templates.map(Choices::Fixed).ok_or_else(|| self.error("doc_to_choice", problem))
            }
            _ => self.required("doc_to_choice").map(Choices::Computed),
        }
    }

    pub(super) fn target(&self) -> Result<Target, TaskError> {
        match self.get("doc_to_target").and_then(Yaml::as_u64) {
            Some(index) => Ok(Target::Index(index)),
            None => self.required("doc_to_target").map(Target::Computed),
        }
    }

    pub(super) fn required(&self, key: &str) -> Result<String, TaskError> {
        self.string(key)?.ok_or_else(|| self.error(key, format!("`{key}` is missing")))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<String>, TaskError> {
        match self.get(key) {
            None => Ok(None),
            Some(Yaml::String(text)) => Ok(Some(text.clone())),
            Some(Yaml::Tagged(tagged)) => {
                let problem =
                    format!("`{key}: {}` is Python; write a template instead", tagged.tag);
                Err(self.error(key, problem))
            }
            Some(_) => Err(self.error(key, format!("`{key}` has to be a string"))),
        }
    }

    fn get(&self, key: &str) -> Option<&Yaml> {
        self.yaml.get(key).filter(|value| !value.is_null())
    }

    /// An error at the line of a key, or at the first.
    fn error(&self, key: &str, problem: impl Into<String>) -> TaskError {
        let begins = |line: &str| {
            let rest = line.trim_start_matches(['"', '\'']).strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
        };
        let line = self.text.lines().position(begins).map_or(1, |line| line as u64 + 1);
        TaskError::Line { path: self.path.to_owned(), line, problem: problem.into() }
    }
}
