//! What is asked of NVIDIA's management library, against one that answers by NVIDIA's own header.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_worker::card::Card;

/// `nvml.h`, where `make nvrtc` puts it.
fn headers() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in target/");
    let versions = fs::read_dir(target.join("nvrtc/lib")).into_iter().flatten().flatten();
    let folders = versions.map(|python| python.path().join("site-packages/nvidia/cu13/include"));
    let found = folders.into_iter().find(|folder| folder.join("nvml.h").exists());
    found.expect("`make nvrtc` installs nvml.h")
}

/// The library, compiled.
fn library(name: &str, options: &[&str]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libnvidia-ml-{name}.so"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nvml/driver.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&path).args(options);
    let done = compiler.arg("-I").arg(headers()).arg(source).output().expect("there is a compiler");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path.to_string_lossy().into_owned()
}

#[test]
fn what_the_driver_says_of_a_card_is_told_in_whole_units() {
    let card = Card::through(&library("hot", &[])).expect("a card");
    let expected = [
        ("system/gpu_utilization", 0.97),
        ("system/gpu_memory_bytes", 70.0 * 2_f64.powi(30)),
        ("system/gpu_power_watts", 651.5),
        ("system/gpu_celsius", 91.0),
        ("system/gpu_throttled", 1.0),
        ("system/gpu_ecc_errors", 2.0),
    ];
    assert_eq!(card.sample(), expected);
    assert_eq!([card.take_xid(), card.take_xid()], [Some(79), None]);
}

#[test]
fn a_driver_that_says_nothing_is_no_error() {
    let card = Card::through(&library("silent", &["-DSILENT"])).expect("a card");
    assert_eq!(card.sample(), []);
    assert_eq!(card.take_xid(), None);
}
