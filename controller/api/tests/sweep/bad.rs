//! Bad files and what is said about them: `tests/bad/*.yaml` and the message beside it in `*.out`.
//! `ASSAY_REWRITE=1 cargo test -p assay-api` writes the messages anew, to be read in the diff.

use std::fs;
use std::path::{Path, PathBuf};

use super::errors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad")
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the corpus is committed");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|end| end == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn every_bad_file_gets_its_message() {
    #[expect(clippy::disallowed_methods, reason = "the one variable that rewrites the messages")]
    let is_rewriting = std::env::var("ASSAY_REWRITE").is_ok();
    let mut wrong = Vec::new();
    for path in files("yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let message = errors(&text).replace("file:", &format!("{name}:"));
        let out = path.with_extension("out");
        if is_rewriting {
            fs::write(&out, &message).unwrap();
        }
        let expected = fs::read_to_string(&out).unwrap_or_default();
        if message != expected {
            wrong.push(format!("--- {name}, expected:\n{expected}--- found:\n{message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_belongs_to_a_file() {
    let yaml = files("yaml");
    assert!(yaml.len() >= 40, "the corpus has {} files", yaml.len());
    for out in files("out") {
        assert!(yaml.contains(&out.with_extension("yaml")), "{} is left over", out.display());
    }
}
