//! Every kernel compiles for the cards that we mean, without one.

use assay_cuda::{SOURCES, Source, attention, compile};

/// Ampere, Hopper, and a newer one.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90a", "sm_120"];

#[test]
fn every_kernel_compiles() {
    for architecture in ARCHITECTURES {
        for source in SOURCES {
            assert_defines(source, &[], architecture);
        }
    }
}

#[test]
fn attention_compiles_for_every_width_of_heads() {
    for width in [2, 10, 32, 34, 64, 80, 96, 128] {
        for architecture in ARCHITECTURES {
            for (source, options) in attention(width, architecture).expect("not too wide") {
                assert_defines(source, &options, architecture);
            }
        }
    }
    assert!(attention(130, "sm_80").is_none());
}

#[test]
fn what_does_not_compile_is_said() {
    let options = ["-Dwiden=}".to_owned()];
    let compiled = compile(SOURCES[2], &options, "sm_90").map(|binary| binary.len());
    let error = compiled.expect_err("refused").to_string();
    assert!(error.contains("norm.cu("), "{error}");
}

/// The machine code names all functions, and is for an NVIDIA card.
fn assert_defines(source: Source, options: &[String], architecture: &str) {
    let binary = compile(source, options, architecture)
        .unwrap_or_else(|error| panic!("{}, {architecture}, {options:?}: {error}", source.file));
    assert_eq!(&binary[..4], b"\x7fELF");
    assert_eq!(u16::from_le_bytes([binary[18], binary[19]]), 190, "EM_CUDA");
    for name in source.functions {
        let section = format!(".text.{name}\0");
        assert!(
            binary.windows(section.len()).any(|bytes| bytes == section.as_bytes()),
            "{} lacks {name}",
            source.file
        );
    }
}
