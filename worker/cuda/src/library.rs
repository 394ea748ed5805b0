//! Finds NVIDIA's libraries at run time. The crate that calls them panics where one is missing, so they
//! are looked for first; and NVRTC finds its own second half only if that is loaded before it.

#![expect(unsafe_code, reason = "loading a library runs its code")]

use std::path::Path;

use libloading::Library;

use crate::CudaError;

/// Where toolkits are installed, besides what the loader searches.
const FOLDERS: [&str; 2] = ["/usr/local/cuda/lib64", "/usr/local/cuda-13/lib64"];

/// The driver.
pub(crate) fn driver() -> Result<(), CudaError> {
    // SAFETY: loads the NVIDIA driver's library, whose initializers are meant to be run so.
    let is_here = unsafe { cudarc::driver::sys::is_culib_present() };
    if is_here { Ok(()) } else { Err(CudaError::NoDriver) }
}

/// The compiler for kernels.
pub(crate) fn nvrtc() -> Result<(), CudaError> {
    // the newer one first: its name has the minor version
    let builtins = ["libnvrtc-builtins.so.13.0", "libnvrtc-builtins.so"];
    if !builtins.into_iter().any(load) {
        return Err(CudaError::NoLibrary("libnvrtc-builtins.so.13.0"));
    }
    if load("libnvrtc.so.13") { Ok(()) } else { Err(CudaError::NoLibrary("libnvrtc.so.13")) }
}

pub(crate) fn cublas_lt() -> Result<(), CudaError> {
    if load("libcublasLt.so.13") { Ok(()) } else { Err(CudaError::NoLibrary("libcublasLt.so.13")) }
}

/// Loads a library for good: it is found again by its name alone.
fn load(name: &str) -> bool {
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    std::iter::once(name.into()).chain(places).any(|place| {
        // SAFETY: loads one of NVIDIA's libraries by its full name.
        unsafe { Library::new(&place) }.map(std::mem::forget).is_ok()
    })
}
