//! A card by its driver: CUDA, loaded at run time, and kernels compiled by NVRTC.

#![expect(unsafe_code, reason = "the driver takes pointers")]

use std::ffi::{CString, c_void};
use std::path::PathBuf;

use cudarc::driver::result::{self, ctx, device, module, primary_ctx, stream};
use cudarc::driver::sys::{
    CUdevice, CUdevice_attribute, CUfunction, CUfunction_attribute, CUresult, CUstream,
};

use crate::attention::HOPPER;
use crate::device::{Argument, Card, Driver, Function, Room};
use crate::kernels::{Source, compile_once};
use crate::{CudaError, library};

/// A card with a stream of its own. Everything is enqueued there, in order.
#[derive(Debug)]
pub(crate) struct Nvidia {
    card: Card,
    kept_kernels: Option<PathBuf>,
    device: CUdevice,
    stream: CUstream,
}

/// Shared memory that a block has without asking is 48 KiB, with what the kernel has anyway.
const SHARED: usize = 40 << 10;
/// Arguments of the kernel that takes most.
const MOST_ARGUMENTS: usize = 16;

impl Nvidia {
    pub(crate) fn open(ordinal: i32, kept_kernels: Option<PathBuf>) -> Result<Self, CudaError> {
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
        let architecture = match capability {
            (9, 0) => HOPPER.to_owned(),
            (major, minor) => format!("sm_{major}{minor}"),
        };
        let multiprocessors = processors.unsigned_abs();
        let card = Card { name, capability, multiprocessors, architecture };
        Ok(Self { card, kept_kernels, device, stream })
    }
}

impl Driver for Nvidia {
    fn card(&self) -> &Card {
        &self.card
    }

    fn room(&self) -> Result<Room, CudaError> {
        let (free, total) = result::mem_get_info()?;
        Ok(Room { total, free })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, CudaError> {
        // SAFETY: not read before it is written: it is zeroed here.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(begin) => {
                self.zero(begin, bytes)?;
                Ok(begin)
            }
            Err(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Err(CudaError::OutOfMemory { needed: bytes, free: self.room()?.free })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn free(&self, at: u64) {
        // SAFETY: allocated above; freeing waits for what uses it.
        let _ = unsafe { result::free_sync(at) };
    }

    fn zero(&self, at: u64, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: callers name stretches of memory that they own.
        unsafe { result::memset_d8_async(at, 0, bytes, self.stream)? };
        Ok(())
    }

    /// The host's memory can be used again at once: it is pageable, so the driver has copied it.
    fn upload(&self, at: u64, bytes: &[u8]) -> Result<(), CudaError> {
        // SAFETY: as in `zero`; plain numbers have no invalid bits on the device.
        unsafe { result::memcpy_htod_async(at, bytes, self.stream)? };
        Ok(())
    }

    fn download(&self, bytes: &mut [u8], at: u64) -> Result<(), CudaError> {
        // SAFETY: as in `zero`; the copy has ended when this returns.
        unsafe { result::memcpy_dtoh_async(bytes, at, self.stream)? };
        self.synchronize()
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as this.
        unsafe { stream::synchronize(self.stream)? };
        Ok(())
    }

    fn load(&self, source: &Source, options: &[String]) -> Result<Vec<Function>, CudaError> {
        let kept = self.kept_kernels.as_deref();
        let binary = compile_once(*source, options, &self.card.architecture, kept)?;
        // SAFETY: a cubin that NVRTC made; the driver copies it.
        let module = unsafe { module::load_data(binary.as_ptr().cast())? };
        let function = |name: &&str| {
            let name = CString::new(*name).expect("names have no zeros");
            // SAFETY: modules are never unloaded.
            Ok(Function(unsafe { module::get_function(module, name)? } as usize))
        };
        source.functions.iter().map(function).collect()
    }

    fn allow_shared(&self, of: Function, bytes: usize) -> Result<(), CudaError> {
        if bytes <= SHARED {
            return Ok(());
        }
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        // SAFETY: modules are never unloaded.
        unsafe { result::function::set_function_attribute(of.0 as CUfunction, most, bytes)? };
        Ok(())
    }

    fn launch(
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
        let (function, block) = (function.0 as CUfunction, (block, 1, 1));
        // SAFETY: the driver copies the arguments before it returns; the stretches of memory that they name
        // are the arena's, which lives as long as the stream.
        unsafe {
            result::launch_kernel(function, grid, block, shared, self.stream, pointers)?;
        }
        Ok(())
    }

    fn stream(&self) -> Option<*mut c_void> {
        Some(self.stream.cast())
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        // SAFETY: made by `open`, and nothing uses them after this. What fails here was said before.
        unsafe {
            let _ = stream::destroy(self.stream);
            let _ = primary_ctx::release(self.device);
        }
    }
}
