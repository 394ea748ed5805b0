//! Checkpoints: what is read is what was written, or an error that names the folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use assay_trainer::checkpoint::{self, CheckpointError, Contents, Manifest, Progress};
use assay_trainer::engine::{HostTensor, Tensors};
use proptest::prelude::*;
use proptest::sample::select;
use tempfile::TempDir;

use super::{cases, damage};

const FILES: [&str; 5] =
    ["manifest.json", "model.safetensors", "optimizer.safetensors", "config.json", "carried"];
const CARRIED: &[u8] = b"[{\"attempt\": 1}]";

/// One for all cases: each works on a copy.
static WHOLE: LazyLock<TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    let tensors = |value| -> Tensors {
        [("norm".to_owned(), HostTensor { shape: vec![3], values: vec![value; 3] })].into()
    };
    let contents = Contents {
        spec: "a hash",
        data: &[("plain".to_owned(), "a fingerprint".to_owned())].into(),
        progress: &Progress { step: 7, tokens: 700, ..Progress::default() },
        weights: &tensors(0.5),
        optimizer: &tensors(-2.0),
        config: &serde_json::from_str("{\"model_type\": \"llama\"}").unwrap(),
        carried: CARRIED,
    };
    checkpoint::write(&checkpoint::folder(root.path(), 1, 7), &contents).unwrap();
    root
});

fn copy() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = checkpoint::folder(root.path(), 1, 7);
    fs::create_dir_all(&folder).unwrap();
    for name in FILES {
        let from = checkpoint::folder(WHOLE.path(), 1, 7).join(name);
        fs::copy(from, folder.join(name)).unwrap();
    }
    (root, folder)
}

fn written() -> Manifest {
    checkpoint::verify(&checkpoint::folder(WHOLE.path(), 1, 7)).unwrap()
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_damaged_checkpoint_is_what_was_written_or_none(
        name in select(&FILES[..]),
        damage in damage(),
    ) {
        let (_root, folder) = copy();
        let whole = fs::read(folder.join(name)).unwrap();
        let damaged = damage.of(&whole);
        fs::write(folder.join(name), &damaged).unwrap();
        match checkpoint::verify(&folder) {
            Ok(manifest) => {
                prop_assert_eq!(manifest, written());
                prop_assert!(name == "manifest.json" || damaged == whole);
            }
            Err(error) => {
                prop_assert_ne!(&damaged, &whole);
                prop_assert!(error.to_string().contains(&folder.display().to_string()), "{}", error);
            }
        }
        if let Ok(carried) = checkpoint::carried(&folder) {
            prop_assert_eq!(carried, CARRIED);
        }
    }
}

#[test]
fn a_file_that_is_gone_is_damage_and_one_of_another_program_is_not() {
    for name in FILES {
        let (_root, folder) = copy();
        fs::remove_file(folder.join(name)).unwrap();
        let error = checkpoint::verify(&folder).unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{name} is missing")), "{error}");
    }
    let (_root, folder) = copy();
    fs::write(folder.join("manifest.json"), "{\"format\": 900, \"new\": true}").unwrap();
    let error = checkpoint::verify(&folder).unwrap_err();
    assert!(matches!(error, CheckpointError::Format { found: 900, .. }), "{error}");
}

#[test]
fn what_was_set_aside_is_found_no_more_and_cleared() {
    let (root, folder) = copy();
    checkpoint::set_aside(&folder).unwrap();
    assert_eq!(checkpoint::list(root.path()).unwrap(), []);
    assert!(folder.join("model.safetensors").exists(), "as long as nobody goes on");
    checkpoint::clear_unfinished(root.path()).unwrap();
    assert!(!folder.exists());
}

#[test]
fn fingerprints_are_kept() {
    let expected: BTreeMap<String, String> =
        [("plain".to_owned(), "a fingerprint".to_owned())].into();
    assert_eq!(written().data, expected);
}
