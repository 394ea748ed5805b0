//! Matrix products by cublasLt.

#![expect(unsafe_code, reason = "cublasLt takes pointers")]

use std::collections::HashMap;
use std::ffi::c_void;

use cudarc::cublaslt::result;
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtHandle_t, cublasLtMatmulAlgo_t, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t, cublasLtMatmulPreference_t,
    cublasLtMatmulPreferenceAttributes_t as Preference, cublasLtMatrixLayout_t, cudaDataType,
};
use cudarc::driver::sys::CUdeviceptr;

use crate::CudaError;

/// What NVIDIA advises for Hopper.
pub(crate) const WORKSPACE: usize = 32 << 20;

/// A matrix as cublasLt sees it, column by column: the row-major matrix of a [`Backend`] transposed.
///
/// [`Backend`]: assay_trainer::planned::Backend
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) at: CUdeviceptr,
    /// Length of a column, or rather of a row-major row.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Numbers from one column to the next.
    pub(crate) stride: usize,
    pub(crate) is_turned: bool,
}

/// The product's kind: what a heuristic was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    operands: [(usize, usize, usize, bool, u32); 3],
    format: Format,
    is_sum: bool,
}

impl Kind {
    /// Whether cublasLt can have a kernel: rows must begin at multiples of 16 bytes for those that are
    /// fast, and of 4 bytes for any.
    fn is_even(&self) -> bool {
        let [a, b, out] = self.operands;
        let are_even = |(_, _, stride, _, alignment): (usize, usize, usize, bool, u32),
                        size: usize| {
            (stride * size).is_multiple_of(EVEN) && EVEN <= alignment as usize
        };
        let size = match self.format {
            Format::Bf16 => 2,
            Format::F32 => 4,
        };
        are_even(a, 2) && are_even(b, 2) && are_even(out, size)
    }
}

/// Bytes that rows must begin at multiples of.
const EVEN: usize = 4;

/// Of what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Bf16,
    F32,
}

#[derive(Clone, Copy, Debug)]
struct Chosen {
    description: cublasLtMatmulDesc_t,
    layouts: [cublasLtMatrixLayout_t; 3],
    algorithm: cublasLtMatmulAlgo_t,
}

#[derive(Debug)]
pub(crate) struct Products {
    handle: cublasLtHandle_t,
    workspace: CUdeviceptr,
    stream: *mut c_void,
    chosen: HashMap<Kind, Chosen>,
}

impl Products {
    pub(crate) fn new(workspace: CUdeviceptr, stream: *mut c_void) -> Result<Self, CudaError> {
        crate::library::cublas_lt()?;
        Ok(Self { handle: result::create_handle()?, workspace, stream, chosen: HashMap::new() })
    }

    /// out (+)= a b, all column by column. False where cublasLt has no kernel for it.
    pub(crate) fn multiply(
        &mut self,
        [a, b, out]: [Operand; 3],
        format: Format,
        is_sum: bool,
    ) -> Result<bool, CudaError> {
        let of = |it: Operand| (it.rows, it.columns, it.stride, it.is_turned, alignment(it.at));
        let kind = Kind { operands: [a, b, out].map(of), format, is_sum };
        if !kind.is_even() {
            return Ok(false);
        }
        let chosen = match self.chosen.get(&kind) {
            Some(chosen) => *chosen,
            None => {
                let chosen = self.choose(&kind)?;
                self.chosen.insert(kind, chosen);
                chosen
            }
        };
        let (one, beta) = (1.0_f32, if is_sum { 1.0_f32 } else { 0.0 });
        let pointer = |at: CUdeviceptr| at as *mut c_void;
        let [la, lb, lc] = chosen.layouts;
        // SAFETY: layouts and description are alive; the operands are stretches of the arena, as large as the
        // layouts say; factors are read before this returns.
        unsafe {
            result::matmul(
                self.handle,
                chosen.description,
                (&raw const one).cast(),
                (&raw const beta).cast(),
                pointer(a.at),
                la,
                pointer(b.at),
                lb,
                pointer(out.at),
                lc,
                pointer(out.at),
                lc,
                &raw const chosen.algorithm,
                pointer(self.workspace),
                WORKSPACE,
                self.stream.cast(),
            )?;
        }
        Ok(true)
    }

    /// The first algorithm of the heuristic: the same for the same product on the same card, so that runs
    /// repeat. Timing several would choose now this one, now that.
    fn choose(&self, kind: &Kind) -> Result<Chosen, CudaError> {
        let description = describe(kind)?;
        let layouts = lay_out(kind)?;
        let preference = prefer(kind)?;
        let [la, lb, lc] = layouts;
        // SAFETY: all were just made.
        let found = unsafe {
            let found = result::get_matmul_algo_heuristic(
                self.handle,
                description,
                la,
                lb,
                lc,
                lc,
                preference,
            );
            result::destroy_matmul_pref(preference)?;
            found
        };
        let found = found.map_err(|error| {
            CudaError::Blas(format!("{:?} for a product of {:?}", error.0, kind.operands))
        })?;
        Ok(Chosen { description, layouts, algorithm: found.algo })
    }
}

/// Operands are bf16, sums f32, and which operand is turned.
fn describe(kind: &Kind) -> Result<cublasLtMatmulDesc_t, CudaError> {
    let description = result::create_matmul_desc(
        cublasComputeType_t::CUBLAS_COMPUTE_32F,
        cudaDataType::CUDA_R_32F,
    )?;
    let attributes = [
        cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
        cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB,
    ];
    for (attribute, operand) in attributes.into_iter().zip(kind.operands) {
        // of cuBLAS's operations 0 leaves a matrix as it is, and 1 turns it
        let operation = i32::from(operand.3);
        // SAFETY: the description was just made; the attribute is of this type.
        unsafe {
            result::set_matmul_desc_attribute(
                description,
                attribute,
                (&raw const operation).cast(),
                size_of_val(&operation),
            )?;
        }
    }
    Ok(description)
}

fn lay_out(kind: &Kind) -> Result<[cublasLtMatrixLayout_t; 3], CudaError> {
    let [a, b, out] = kind.operands;
    let layout = |(rows, columns, stride, ..): (usize, usize, usize, bool, u32), format| {
        let stride = i64::try_from(stride).unwrap_or(i64::MAX);
        result::create_matrix_layout(format, rows as u64, columns as u64, stride)
    };
    let narrow = cudaDataType::CUDA_R_16BF;
    let of_out = match kind.format {
        Format::Bf16 => narrow,
        Format::F32 => cudaDataType::CUDA_R_32F,
    };
    Ok([layout(a, narrow)?, layout(b, narrow)?, layout(out, of_out)?])
}

fn prefer(kind: &Kind) -> Result<cublasLtMatmulPreference_t, CudaError> {
    let preference = result::create_matmul_pref()?;
    let [a, b, out] = kind.operands.map(|operand| operand.4);
    for (attribute, bytes) in [
        (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a),
        (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b),
        (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out),
        (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out),
    ] {
        // SAFETY: the preference was just made; the attribute is of this type.
        unsafe {
            result::set_matmul_pref_attribute(
                preference,
                attribute,
                (&raw const bytes).cast(),
                size_of_val(&bytes),
            )?;
        }
    }
    let workspace = WORKSPACE as u64;
    // SAFETY: as above.
    unsafe {
        result::set_matmul_pref_attribute(
            preference,
            Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            (&raw const workspace).cast(),
            size_of_val(&workspace),
        )?;
    }
    Ok(preference)
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: made by `new`; nothing is multiplied after this.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// Bytes of which an address is a multiple, as far as that matters.
fn alignment(at: CUdeviceptr) -> u32 {
    1 << at.trailing_zeros().min(8)
}
