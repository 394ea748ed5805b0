//! One card: its memory, its stream, its modules.

#![expect(unsafe_code, reason = "the driver takes pointers")]

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};

use cudarc::driver::result::{self, ctx, device, module, primary_ctx, stream};
use cudarc::driver::sys::{
    CUdevice, CUdevice_attribute, CUdeviceptr, CUfunction, CUfunction_attribute, CUmodule,
    CUresult, CUstream,
};

use crate::{CudaError, library};

/// What a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub name: String,
    pub capability: (i32, i32),
    pub multiprocessors: u32,
}

/// A card with a stream of its own. Everything is enqueued there, in order.
#[derive(Debug)]
pub struct Device {
    card: Card,
    kept_kernels: Option<PathBuf>,
    device: CUdevice,
    stream: CUstream,
}

/// Memory of a card, freed when it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) begin: CUdeviceptr,
}

/// What a kernel is given: a number, a place, or a few of them, as they lie in memory.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
#[expect(dead_code, reason = "the driver reads it")]
pub(crate) struct Argument([u8; ARGUMENT]);

/// Bytes of the largest argument, and arguments of the kernel that takes most.
const ARGUMENT: usize = 40;
const MOST_ARGUMENTS: usize = 16;

impl Argument {
    pub(crate) fn of<T: Copy>(value: T) -> Self {
        const { assert!(size_of::<T>() <= ARGUMENT) };
        let mut bytes = [0; ARGUMENT];
        // SAFETY: the value is plain, and there is room for it.
        unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
        Self(bytes)
    }
}

/// The arguments of a kernel, in its order and of its types.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { &[$($crate::device::Argument::of($argument)),*] };
}
pub(crate) use arguments;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Function(CUfunction);

/// Shared memory that a block has without asking is 48 KiB, with what the kernel has anyway.
const SHARED: usize = 40 << 10;

impl Device {
    /// Card `ordinal` of those that the driver shows. Compiled kernels are kept in a folder, if one is given.
    ///
    /// # Errors
    /// There is no driver or no such card, or the card is too old.
    pub fn open(ordinal: i32, kept_kernels: Option<PathBuf>) -> Result<Self, CudaError> {
        library::driver()?;
        match result::init() {
            Err(error) if error.0 == CUresult::CUDA_ERROR_NO_DEVICE => {
                return Err(CudaError::NoCard);
            }
            found => found?,
        }
        if device::get_count()? <= ordinal {
            return Err(CudaError::NoCard);
        }
        let device = device::get(ordinal)?;
        // SAFETY: `device` came from the driver.
        let attribute = |which| unsafe { device::get_attribute(device, which) };
        let capability = (
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let processors = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let name = device::get_name(device)?;
        if capability < (8, 0) {
            return Err(CudaError::TooOld { card: name, capability });
        }
        // SAFETY: as above; the context is released when this is dropped.
        let context = unsafe { primary_ctx::retain(device)? };
        // SAFETY: the context was just retained.
        unsafe { ctx::set_current(context)? };
        let stream = stream::create(stream::StreamKind::NonBlocking)?;
        let card = Card { name, capability, multiprocessors: processors.unsigned_abs() };
        Ok(Self { card, kept_kernels, device, stream })
    }

    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    pub(crate) fn kept_kernels(&self) -> Option<&Path> {
        self.kept_kernels.as_deref()
    }

    /// Bytes that can be had.
    ///
    /// # Errors
    /// The driver fails.
    pub fn free_memory(&self) -> Result<usize, CudaError> {
        Ok(result::mem_get_info()?.0)
    }

    /// Waits for everything enqueued.
    ///
    /// # Errors
    /// Something of it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as this.
        unsafe { stream::synchronize(self.stream)? };
        Ok(())
    }

    pub(crate) fn stream(&self) -> CUstream {
        self.stream
    }

    pub(crate) fn allocate(&self, bytes: usize) -> Result<Memory, CudaError> {
        // SAFETY: not read before it is written: it is zeroed here.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(begin) => {
                self.zero(begin, bytes)?;
                Ok(Memory { begin })
            }
            Err(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Err(CudaError::OutOfMemory { needed: bytes, free: self.free_memory()? })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn zero(&self, at: CUdeviceptr, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: callers name stretches of memory that they own.
        unsafe { result::memset_d8_async(at, 0, bytes, self.stream)? };
        Ok(())
    }

    /// The host's memory can be used again at once: it is pageable, so the driver has copied it.
    pub(crate) fn upload<T: Copy>(&self, at: CUdeviceptr, values: &[T]) -> Result<(), CudaError> {
        // SAFETY: as in `zero`; plain numbers have no invalid bits on the device.
        unsafe { result::memcpy_htod_async(at, values, self.stream)? };
        Ok(())
    }

    /// Waits for what was enqueued before.
    pub(crate) fn download<T: Copy>(
        &self,
        values: &mut [T],
        at: CUdeviceptr,
    ) -> Result<(), CudaError> {
        // SAFETY: as in `zero`; the copy has ended when this returns.
        unsafe { result::memcpy_dtoh_async(values, at, self.stream)? };
        self.synchronize()
    }

    pub(crate) fn module(&self, binary: &[u8]) -> Result<CUmodule, CudaError> {
        // SAFETY: a cubin that NVRTC made; the driver copies it.
        Ok(unsafe { module::load_data(binary.as_ptr().cast())? })
    }

    pub(crate) fn function(&self, module: CUmodule, name: &str) -> Result<Function, CudaError> {
        let name = CString::new(name).expect("names have no zeros");
        // SAFETY: modules are never unloaded.
        Ok(Function(unsafe { module::get_function(module, name)? }))
    }

    /// Lets a function have so much shared memory.
    pub(crate) fn allow_shared(&self, of: Function, bytes: usize) -> Result<(), CudaError> {
        if bytes <= SHARED {
            return Ok(());
        }
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        // SAFETY: modules are never unloaded.
        unsafe { result::function::set_function_attribute(of.0, most, bytes)? };
        Ok(())
    }

    /// Enqueues a kernel. The arguments are of the types that it takes, in its order.
    pub(crate) fn launch(
        &self,
        function: Function,
        grid: (u32, u32, u32),
        (block, shared): (u32, usize),
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        let mut pointers = [std::ptr::null_mut(); MOST_ARGUMENTS];
        let pointers = &mut pointers[..arguments.len()];
        for (pointer, argument) in pointers.iter_mut().zip(arguments) {
            *pointer = std::ptr::from_ref(argument).cast_mut().cast::<c_void>();
        }
        let shared = u32::try_from(shared).unwrap_or(u32::MAX);
        let block = (block, 1, 1);
        // SAFETY: the driver copies the arguments before it returns; the stretches of memory that they name
        // are the arena's, which lives as long as the stream.
        unsafe {
            result::launch_kernel(function.0, grid, block, shared, self.stream, pointers)?;
        }
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: made by `open`, and nothing uses them after this. What fails here was said before.
        unsafe {
            let _ = stream::destroy(self.stream);
            let _ = primary_ctx::release(self.device);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated by `Device::allocate`; freeing waits for what uses it.
        let _ = unsafe { result::free_sync(self.begin) };
    }
}
