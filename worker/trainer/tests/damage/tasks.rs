//! Task files and their questions: they come from people, and nothing says what they were.

use std::fs::{self, File};

use assay_api::sweep::limits::{TASK_BYTES_MAX, TASK_DATA_BYTES_MAX};
use assay_trainer::task::{Task, TaskError};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tempfile::TempDir;

use super::{cases, damage};

const YAML: &str = "\
task: colors
dataset_path: json
dataset_kwargs:
  data_files:
    test: colors.jsonl
test_split: test
output_type: multiple_choice
description: \"Answer.\\n\"
doc_to_text: \"{{question.strip()}} {{size}}?\"
doc_to_choice: \"{{choices}}\"
doc_to_target: answer
metric_list: [{metric: acc, higher_is_better: true}]
";

const DATA: &str = "\
{\"question\": \" Sky \", \"size\": 3, \"choices\": [\"blue\", \"red\"], \"answer\": 0}
{\"question\": \"Blood\", \"size\": true, \"choices\": [\"blue\", \"red\"], \"answer\": \"red\"}
";

/// What has meaning in YAML, in templates, and in JSON.
const PIECES: [&str; 30] = [
    "\0",
    "\t",
    "\r",
    "\u{feff}",
    "ü",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "? ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "{{",
    "}}",
    "{% for x in range(9999999) %}",
    "{% endfor %}",
    "{{ self }}",
    "{% include 'x' %}",
    "{{ question.",
    "| tojson }}",
    "null",
    "-1",
    "1e999",
    "99999999999999999999",
    ": ",
];

fn lay(yaml: &[u8], data: &[u8]) -> (TempDir, Result<Task, TaskError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("colors.yaml");
    fs::write(&path, yaml).unwrap();
    fs::write(folder.path().join("colors.jsonl"), data).unwrap();
    let task = Task::open(&path);
    (folder, task)
}

/// A task of which every question has an answer, or an error that names the file.
fn is_sound((folder, task): &(TempDir, Result<Task, TaskError>)) -> Result<(), TestCaseError> {
    match task {
        Ok(task) => {
            prop_assert!(!task.items.is_empty());
            for item in &task.items {
                prop_assert!(item.gold < item.choices.len() && 2 <= item.choices.len());
            }
        }
        Err(error) => {
            let text = error.to_string();
            prop_assert!(text.contains(&folder.path().display().to_string()), "{text}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn a_damaged_task_is_one_or_an_error_that_names_the_file(is_data: bool, damage in damage()) {
        let (yaml, data) = (YAML.as_bytes(), DATA.as_bytes());
        is_sound(&match is_data {
            true => lay(yaml, &damage.of(data)),
            false => lay(&damage.of(yaml), data),
        })?;
    }

    #[test]
    fn a_task_with_pieces_in_it_is_one_or_an_error_that_names_the_file(
        is_data: bool,
        pieces in prop::collection::vec((any::<Index>(), select(&PIECES[..])), 1..4),
    ) {
        let mut text = if is_data { DATA } else { YAML }.to_owned();
        for (at, piece) in pieces {
            let at = at.index(text.len() + 1);
            text.insert_str(text.floor_char_boundary(at), piece);
        }
        is_sound(&match is_data {
            true => lay(YAML.as_bytes(), text.as_bytes()),
            false => lay(text.as_bytes(), DATA.as_bytes()),
        })?;
    }
}

/// The file is as long as the limit and one byte, and holds nothing: disks keep no zeros.
#[test]
fn what_is_over_its_limit_is_refused_with_the_limit() {
    for (name, limit) in [("colors.yaml", TASK_BYTES_MAX), ("colors.jsonl", TASK_DATA_BYTES_MAX)] {
        let (folder, _) = lay(YAML.as_bytes(), DATA.as_bytes());
        let file = File::options().write(true).open(folder.path().join(name)).unwrap();
        file.set_len(limit + 1).unwrap();
        let error = Task::open(&folder.path().join("colors.yaml")).unwrap_err();
        let text = error.to_string();
        assert!(error.is_final() && text.contains(name), "{text}");
        assert!(text.contains(&format!("over the limit of {limit} bytes")), "{text}");
    }
}

#[test]
fn what_has_no_end_is_no_task() {
    let (folder, _) = lay(YAML.replace("colors.jsonl", "/dev/zero").as_bytes(), b"");
    let error = Task::open(&folder.path().join("colors.yaml")).unwrap_err().to_string();
    assert!(error.contains("/dev/zero: no regular file"), "{error}");
}
