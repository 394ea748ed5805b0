//! The kernels' sources, and how they become functions of a card.

#![expect(unsafe_code, reason = "NVRTC takes pointers")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;

use cudarc::nvrtc::{result, sys};
use sha2::{Digest, Sha256};

use crate::attention::Attention;
use crate::device::{Device, Function};
use crate::{CudaError, library};

/// A file of kernels, and what it defines.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub file: &'static str,
    /// One after another.
    pub parts: &'static [&'static str],
    pub functions: &'static [&'static str],
}

/// The instructions that kernels are written with: what comes first of every source.
pub const PRIMITIVES: &str = include_str!("../kernels/primitives.cuh");
pub(crate) const COMMON: &str = include_str!("../kernels/common.cuh");

/// All but attention, which is compiled for a width of heads: [`attention`].
pub const SOURCES: [Source; 8] = [
    Source {
        file: "transfer.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/transfer.cu")],
        functions: &["narrow_all", "widen_all", "split_all", "join_all"],
    },
    Source {
        file: "embedding.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/embedding.cu")],
        functions: &[
            "embed_8",
            "embed_1",
            "embed_backward_8",
            "embed_backward_1",
            "embed_backward_bf16_8",
            "embed_backward_bf16_1",
        ],
    },
    Source {
        file: "norm.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/norm.cu")],
        functions: &[
            "norm_8",
            "norm_1",
            "norm_backward_8",
            "norm_backward_1",
            "gain_gradient",
            "gain_gradient_bf16",
        ],
    },
    Source {
        file: "rope.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/rope.cu")],
        functions: &["rope_8", "rope_1"],
    },
    Source {
        file: "swiglu.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/swiglu.cu")],
        functions: &["swiglu_8", "swiglu_1", "swiglu_backward_8", "swiglu_backward_1"],
    },
    Source {
        file: "product.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/product.cu")],
        functions: &["product_f32", "product_bf16"],
    },
    Source {
        file: "loss.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/loss.cu")],
        functions: &["cross_entropy", "log_likelihoods", "add_losses"],
    },
    Source {
        file: "optimizer.cu",
        parts: &[PRIMITIVES, COMMON, include_str!("../kernels/optimizer.cu")],
        functions: &[
            "square",
            "square_narrow",
            "square_joined",
            "add_up",
            "adamw",
            "adamw_by_chance",
        ],
    },
];

/// Attention for heads of this width, each file with what it is compiled with; none for heads wider than 128.
#[must_use]
pub fn attention(width: usize, architecture: &str) -> Option<[(Source, Vec<String>); 3]> {
    Some(Attention::new(width, architecture)?.sources())
}

/// Machine code for cards of an architecture, like `sm_90`. Needs NVRTC, and no card.
///
/// # Errors
/// NVRTC is not here, or has something to say about the source.
pub fn compile(
    source: Source,
    options: &[String],
    architecture: &str,
) -> Result<Vec<u8>, CudaError> {
    library::nvrtc()?;
    // lines are counted as in the last part, which is the file by whose name they go
    let (own, before) = source.parts.split_last().expect("a source has parts");
    let text = format!("{}\n#line 1\n{own}", before.concat());
    let text = CString::new(text).expect("no zeros");
    let name = CString::new(source.file).expect("no zeros");
    let failed = |error: result::NvrtcError| CudaError::Compile(format!("{:?}", error.0));
    let program = Program(result::create_program(&text, Some(&name)).map_err(failed)?);
    let mut all = vec![
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".to_owned(),
        "-lineinfo".to_owned(),
    ];
    all.extend_from_slice(options);
    // SAFETY: the program was just made, and is freed when it is dropped.
    let compiled = unsafe { result::compile_program(program.0, &all) };
    if compiled.is_err() {
        return Err(CudaError::Compile(program.log()));
    }
    program.binary().map_err(failed)
}

/// As [`compile`], unless it was done before and kept in a folder. What cannot be kept is compiled again.
pub(crate) fn compile_once(
    source: Source,
    options: &[String],
    architecture: &str,
    kept: Option<&Path>,
) -> Result<Vec<u8>, CudaError> {
    let Some(folder) = kept else { return compile(source, options, architecture) };
    library::nvrtc()?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both are numbers to be written.
    let _ = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    let mut hash = Sha256::new();
    let (options_text, version) = (options.join(" "), format!("{major}.{minor}"));
    for part in source.parts.iter().copied().chain([architecture, &options_text, &version]) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let key: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(format!("{key}.cubin"));
    if let Ok(binary) = std::fs::read(&path) {
        return Ok(binary);
    }
    let binary = compile(source, options, architecture)?;
    // beside it first, so that nobody reads half of it
    let beside = folder.join(format!("{key}.{}", std::process::id()));
    let kept = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&beside, &binary))
        .and_then(|()| std::fs::rename(&beside, &path));
    drop(kept);
    Ok(binary)
}

struct Program(sys::nvrtcProgram);

impl Program {
    fn log(&self) -> String {
        // SAFETY: the program is alive, and its log ends with a zero.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes: Vec<u8> = log.into_iter().map(c_char::cast_unsigned).collect();
        CStr::from_bytes_until_nul(&bytes)
            .map_or_else(|_| "without a log".to_owned(), |log| log.to_string_lossy().into_owned())
    }

    fn binary(&self) -> Result<Vec<u8>, result::NvrtcError> {
        let mut size = 0;
        // SAFETY: the program is alive and compiled.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut size).result()? };
        let mut binary = vec![0_u8; size];
        // SAFETY: there is room for as many bytes as it said.
        unsafe { sys::nvrtcGetCUBIN(self.0, binary.as_mut_ptr().cast()).result()? };
        Ok(binary)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `compile`, and dropped once.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// The functions that a model needs, loaded.
#[derive(Debug)]
pub(crate) struct Kernels {
    functions: HashMap<&'static str, Function>,
    attention: Attention,
}

impl Kernels {
    /// Compiles everything for the card, with attention for heads of this width.
    pub(crate) fn new(device: &Device, width: usize) -> Result<Self, CudaError> {
        let attention = Attention::new(width, &device.card().architecture).ok_or_else(|| {
            CudaError::Unsupported(format!("a head is {width} wide, and the kernels go up to 128"))
        })?;
        let mut functions = HashMap::new();
        let sources = SOURCES.map(|source| (source, Vec::new()));
        for (source, options) in sources.into_iter().chain(attention.sources()) {
            let loaded = device.load(&source, &options)?;
            functions.extend(source.functions.iter().copied().zip(loaded));
        }
        Ok(Self { functions, attention })
    }

    pub(crate) fn attention(&self) -> &Attention {
        &self.attention
    }

    pub(crate) fn get(&self, name: &str) -> Function {
        self.functions[name]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_once_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kernels");
        let compiled = || compile_once(SOURCES[0], &[], "sm_80", Some(&kept)).expect("compiled");
        let first = compiled();
        let mut files =
            std::fs::read_dir(&kept).expect("kept").map(|file| file.expect("a file").path());
        let (file, other) = (files.next().expect("one"), files.next());
        assert_eq!((std::fs::read(&file).expect("read"), other), (first, None));
        std::fs::write(&file, b"kept").expect("written");
        assert_eq!(compiled(), b"kept");
    }
}
