//! What can go wrong on a card, by name.

use assay_trainer::planned::Bytes;
use cudarc::cublaslt::result::CublasError;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CudaError {
    #[error(
        "no NVIDIA driver is here: `libcuda.so.1` cannot be loaded; run on a machine with a GPU (in a \
         container: with the NVIDIA runtime), or write `train.engine: cpu-f32`"
    )]
    NoDriver,
    #[error("the NVIDIA driver is here, but it shows no GPU: check `CUDA_VISIBLE_DEVICES`")]
    NoCard,
    #[error(
        "`{0}` cannot be loaded, which the engine `cuda-bf16` needs: install CUDA 13's libraries \
         (`nvidia-cublas` and `nvidia-cuda-nvrtc` on PyPI, or the toolkit) and name their folder in \
         `LD_LIBRARY_PATH`"
    )]
    NoLibrary(&'static str),
    #[error("{card} has compute capability {}.{}, and the kernels need 8.0 (Ampere) or newer", .capability.0, .capability.1)]
    TooOld { card: String, capability: (i32, i32) },
    #[error(
        "the GPU is out of memory: {} are needed and {} are free; what else uses it?",
        Bytes(*.needed),
        Bytes(*.free)
    )]
    OutOfMemory { needed: usize, free: usize },
    #[error(
        "{} are needed on the GPU, which has {}, even if only the input of each block is kept and parameters are \
         bf16 alone: lower `train.micro_batch` or `train.context`, or take a smaller model",
        Bytes(*.needed),
        Bytes(*.total)
    )]
    TooLarge { needed: usize, total: usize },
    #[error("the GPU is lost ({name}: {text}): the kernel's log has an Xid error that says why")]
    Lost { name: String, text: String },
    #[error("the driver says {name} ({text})")]
    Driver { name: String, text: String },
    #[error("cublasLt says {0}")]
    Blas(String),
    #[error("a kernel does not compile: {0}")]
    Compile(String),
    #[error("{0}")]
    Unsupported(String),
}

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        let text = |found: Result<&std::ffi::CStr, DriverError>| {
            found.map_or_else(|_| "unknown".to_owned(), |text| text.to_string_lossy().into_owned())
        };
        let (name, text) = (text(error.error_name()), text(error.error_string()));
        if is_loss(error.0) { Self::Lost { name, text } } else { Self::Driver { name, text } }
    }
}

impl From<CublasError> for CudaError {
    fn from(error: CublasError) -> Self {
        Self::Blas(format!("{:?}", error.0))
    }
}

impl CudaError {
    /// Whether it would be the same on another try.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::NoDriver
            | Self::NoCard
            | Self::NoLibrary(_)
            | Self::TooOld { .. }
            | Self::TooLarge { .. }
            | Self::Compile(_)
            | Self::Unsupported(_) => true,
            Self::OutOfMemory { .. } | Self::Lost { .. } | Self::Driver { .. } | Self::Blas(_) => {
                false
            }
        }
    }
}

/// After these no context of the process works any more.
fn is_loss(result: CUresult) -> bool {
    [
        CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE,
        CUresult::CUDA_ERROR_ECC_UNCORRECTABLE,
        CUresult::CUDA_ERROR_NVLINK_UNCORRECTABLE,
        CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR,
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
        CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION,
        CUresult::CUDA_ERROR_LAUNCH_FAILED,
        CUresult::CUDA_ERROR_LAUNCH_TIMEOUT,
        CUresult::CUDA_ERROR_SYSTEM_NOT_READY,
        CUresult::CUDA_ERROR_UNKNOWN,
    ]
    .contains(&result)
}
