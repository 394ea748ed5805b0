//! Prepared data: pinned, it is what was prepared, or an error that names the folder.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assay_api::spec::{Heldout, PrepareSpec, Source, Tokenizer};
use assay_trainer::data::{Dataset, Prepared, prepare};
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use super::{cases, damage};

const FILES: [&str; 4] = ["train.tokens", "train.index", "heldout.tokens", "manifest.json"];

fn spec(root: &Path) -> PrepareSpec {
    let path = root.join("notes.jsonl");
    let lines = (0..60).map(|n| format!("{{\"text\": \"note {n}\"}}\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    PrepareSpec {
        source: "notes".to_owned(),
        tokenizer: Tokenizer::Bytes,
        files: Source {
            path: path.display().to_string(),
            field: "text".to_owned(),
            group_by: None,
            slices: Vec::new(),
        },
        heldout: Heldout { share: 0.1, tokens: 100 },
    }
}

fn prepared(root: &Path) -> Prepared {
    prepare(&spec(root), &root.join("dataset"), &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Where the files of the only version lie.
fn version(root: &Path, fingerprint: &str) -> PathBuf {
    root.join("dataset").join(&fingerprint[..16])
}

static WHOLE: LazyLock<(TempDir, String)> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    let fingerprint = prepared(root.path()).fingerprint;
    (root, fingerprint)
});

fn copy() -> (TempDir, &'static str) {
    let (whole, fingerprint) = &*WHOLE;
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (version(whole.path(), fingerprint), version(root.path(), fingerprint));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
    (root, fingerprint)
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn damaged_data_is_what_was_prepared_or_none(name in select(&FILES[..]), damage in damage()) {
        let (root, fingerprint) = copy();
        let path = version(root.path(), fingerprint).join(name);
        let whole = fs::read(&path).unwrap();
        let damaged = damage.of(&whole);
        fs::write(&path, &damaged).unwrap();
        match Dataset::open_pinned(&root.path().join("dataset"), fingerprint) {
            Ok(data) => {
                let mut expected = Dataset::open(&WHOLE.0.path().join("dataset")).unwrap().manifest().clone();
                // told to people, and nothing depends on it
                expected.empty_documents = data.manifest().empty_documents;
                prop_assert_eq!(data.manifest(), &expected);
                prop_assert!(name == "manifest.json" || damaged == whole);
            }
            Err(error) => {
                prop_assert_ne!(&damaged, &whole);
                let folder = root.path().display().to_string();
                prop_assert!(error.to_string().contains(&folder), "{}", error);
            }
        }
    }
}

#[test]
fn preparing_again_mends_what_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let first = prepared(root.path());
    let path = version(root.path(), &first.fingerprint).join("train.tokens");
    let mut tokens = fs::read(&path).unwrap();
    tokens[3] ^= 4;
    fs::write(&path, tokens).unwrap();
    let folder = root.path().join("dataset");
    let error = Dataset::open_pinned(&folder, &first.fingerprint).unwrap_err();
    assert!(error.is_final() && error.to_string().contains("train.tokens has changed"), "{error}");

    assert_eq!(prepared(root.path()).fingerprint, first.fingerprint);
    Dataset::open_pinned(&folder, &first.fingerprint).unwrap();
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
