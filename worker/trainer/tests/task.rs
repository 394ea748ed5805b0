//! Task files as lm-evaluation-harness writes them, and its arithmetic.

use std::fs;
use std::path::PathBuf;

use assay_api::spec::Tokenizer;
use assay_trainer::data::IGNORED;
use assay_trainer::task::{Item, Task, TaskError, fingerprint, summarize};
use tempfile::TempDir;

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
";

const DATA: &str = "\
{\"question\": \" Sky \", \"size\": 3, \"choices\": [\"blue\", \"red\"], \"answer\": 0}

{\"question\": \"Blood\", \"size\": true, \"choices\": [\"blue\", \"red\"], \"answer\": \"red\"}
";

fn task(yaml: &str, data: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("colors.yaml");
    fs::write(&path, yaml).expect("a task file");
    fs::write(folder.path().join("colors.jsonl"), data).expect("its data");
    (folder, path)
}

fn refusal(yaml: &str, data: &str) -> String {
    let (_folder, path) = task(yaml, data);
    let error = Task::open(&path).expect_err("a bad task");
    assert!(error.is_final(), "{error}");
    error.to_string()
}

#[test]
fn a_task_is_rendered_whole() {
    let (_folder, path) = task(YAML, DATA);
    let task = Task::open(&path).unwrap();
    assert_eq!((task.name.as_str(), task.target_delimiter.as_str()), ("colors", " "));
    let item = |context: &str, gold| Item {
        context: context.to_owned(),
        choices: vec!["blue".to_owned(), "red".to_owned()],
        gold,
    };
    // Python prints booleans with a large letter.
    assert_eq!(task.items, [item("Answer.\nSky 3?", 0), item("Answer.\nBlood True?", 1)]);
}

#[test]
fn the_short_forms_mean_the_same() {
    let (_folder, path) = task(YAML, DATA);
    let long = Task::open(&path).unwrap();
    let short = YAML
        .replace(
            "dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: colors.jsonl\n",
            "data: colors.jsonl\n",
        )
        .replace("\"{{choices}}\"", "[blue, \"{{'red'}}\"]")
        .replace("doc_to_target: answer", "doc_to_target: \"{{answer}}\"");
    let (_folder, path) = task(&short, DATA);
    assert_eq!(Task::open(&path).unwrap().items, long.items);
    let column = YAML.replace("\"{{choices}}\"", "choices");
    let (_folder, path) = task(&column, DATA);
    assert_eq!(Task::open(&path).unwrap().items, long.items);
}

#[test]
fn a_template_that_takes_for_ever_or_all_memory_is_refused() {
    let asks = |template: &str| YAML.replace("{{question.strip()}} {{size}}?", template);
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    let refused = refusal(&asks(loops), DATA);
    let why = "doc_to_text: over the limit of 1000000 steps for a line";
    assert!(refused.contains(".jsonl:1: ") && refused.ends_with(why), "{refused}");
    for large in
        ["{{ question * 9000000 }}", "{% for a in range(9999) %}{{ question * 99 }}{% endfor %}"]
    {
        let refused = refusal(&asks(large), DATA);
        let why = "doc_to_text: gives over the limit of 1048576 bytes for a line";
        assert!(refused.ends_with(why), "{refused}");
    }
    let choices = YAML.replace("{{choices}}", "{{ range(9999) | map('abs') | list * 99999 }}");
    assert!(refusal(&choices, DATA).contains("doc_to_choice: "));
}

#[test]
fn the_fingerprint_is_that_of_both_files() {
    let (_folder, path) = task(YAML, DATA);
    assert_eq!(Task::open(&path).unwrap().sha256, fingerprint(YAML.as_bytes(), DATA.as_bytes()));
    // sha256(sha256("a") followed by sha256("b")), computed with Python's hashlib.
    let expected = "e5a01fee14e0ed5c48714f22180f25ad8365b53f9779f79dc4a3d7e93963f94a";
    assert_eq!(fingerprint(b"a", b"b"), expected);
}

#[test]
fn only_the_choice_is_scored() {
    let (_folder, path) = task(YAML, DATA);
    let sequences = Task::open(&path).unwrap().sequences(1, Tokenizer::Bytes, 256).unwrap();
    let scored = |place: usize| -> String {
        let targets = sequences[place].targets.iter().filter(|target| **target != IGNORED);
        targets.map(|token| char::from(u8::try_from(*token).unwrap())).collect()
    };
    assert_eq!((scored(0).as_str(), scored(1).as_str()), (" blue", " red"));
    let error = Task::open(&path).unwrap().sequences(1, Tokenizer::Bytes, 4).unwrap_err();
    assert!(matches!(error, TaskError::Item { item: 2, .. }), "{error}");
}

#[test]
fn what_is_wrong_is_named_by_its_line() {
    for (yaml, data, expected) in [
        (
            YAML.replace("doc_to_target", "doc_to_taget"),
            DATA,
            "yaml:11: unknown key `doc_to_taget`; did you mean `doc_to_target`?",
        ),
        (
            YAML.replace("multiple_choice", "generate_until"),
            DATA,
            "yaml:7: `output_type` is generate_until",
        ),
        (
            YAML.replace("answer", "!function utils.gold"),
            DATA,
            "yaml:11: `doc_to_target: !function` is Python",
        ),
        (format!("{YAML}process_docs: x\n"), DATA, "yaml:12: `process_docs` is not supported"),
        (format!("{YAML}num_fewshot: 5\n"), DATA, "yaml:12: only `num_fewshot: 0`"),
        (YAML.replace("task: colors\n", ""), DATA, "yaml:1: `task` is missing"),
        (YAML.replace("task: colors", "task: [colors"), DATA, "not valid YAML"),
        (YAML.replace("{{size}}", "{{sise}}"), DATA, "jsonl:1: doc_to_text: "),
        (
            YAML.replace("{{size}}", "{{sise}}"),
            DATA,
            "the line has: answer, choices, question, size",
        ),
        (YAML.replace("{{choices}}", "{{chioces}}"), DATA, "jsonl:1: doc_to_choice: "),
        (YAML.replace("colors.jsonl", "colours.jsonl"), DATA, "colours.jsonl: no such file"),
        (
            YAML.to_owned(),
            &DATA.replace("\"red\"}", "\"green\"}"),
            "jsonl:3: doc_to_target: gives `green`",
        ),
        (
            YAML.to_owned(),
            &DATA.replace("\"answer\": 0", "\"answer\": 2"),
            "jsonl:1: doc_to_target: gives `2`",
        ),
        (
            YAML.to_owned(),
            &DATA.replace("\"blue\"", "\"\""),
            "jsonl:1: doc_to_choice: one of the choices is empty",
        ),
        (YAML.to_owned(), "{\"question\": \n", "jsonl:1: not valid JSON"),
        (YAML.to_owned(), "\n", "there is no item"),
    ] {
        let error = refusal(&yaml, data);
        assert!(error.contains(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn the_likeliest_wins_and_of_equals_the_first() {
    let item = |gold| Item {
        context: String::new(),
        choices: vec!["é".to_owned(), "long".to_owned(), "ab".to_owned()],
        gold,
    };
    // Per character: -2 / 1, -4 / 4 and -3 / 2. In bytes `é` would have two, and -1 too.
    let log_likelihoods = [-2.0, -4.0, -3.0];
    let outcome = |gold| {
        let outcome = item(gold).judge(&log_likelihoods);
        (outcome.acc, outcome.acc_norm)
    };
    assert_eq!(outcome(0), (true, false));
    assert_eq!(outcome(1), (false, true));
    assert_eq!(outcome(2), (false, false));
    assert!(item(0).judge(&[-3.0, -3.0, -3.0]).acc);
    assert!(!item(1).judge(&[-3.0, -3.0, -4.0]).acc);
}

#[test]
fn the_standard_error_is_that_of_the_sample() {
    let item = Item { context: String::new(), choices: vec!["a".into(), "b".into()], gold: 0 };
    let outcomes = [-1.0, -1.0, -3.0, -1.0].map(|first| item.judge(&[first, -2.0]));
    let scores = summarize(&outcomes);
    // Of 1, 1, 0, 1: mean 0.75, sample variance (3 * 0.0625 + 0.5625) / 3 = 0.25, so 0.5 / 2.
    assert_eq!((scores[0].metric, scores[0].value, scores[0].n), ("acc", 0.75, 4));
    assert!((scores[0].stderr.unwrap() - 0.25).abs() < 1e-15);
    assert_eq!(scores[1].metric, "acc_norm");
    assert_eq!(summarize(&outcomes[..1])[0].stderr, None);
    assert!(summarize(&[]).is_empty());
}
