//! How the process asks the kernel for memory.

/// Keeps freed memory in the process. candle allocates every intermediate tensor anew, and glibc
/// gives large ones back at once: the kernel then clears the same pages at every step (a tenth to
/// a quarter of the time). To be called at the start of `main`, before other threads exist. Does
/// nothing where the allocator is not glibc's.
#[expect(unsafe_code, reason = "mallopt is a C function; there is no other way to say this")]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        // From glibc's malloc.h.
        const M_TRIM_THRESHOLD: c_int = -1;
        const M_TOP_PAD: c_int = -2;
        const M_MMAP_MAX: c_int = -4;
        const M_ARENA_MAX: c_int = -8;
        const MEBIBYTE: c_int = 1 << 20;
        for (parameter, value) in [
            (M_MMAP_MAX, 0),
            (M_TRIM_THRESHOLD, c_int::MAX),
            (M_TOP_PAD, 16 * MEBIBYTE),
            // An arena per thread would hold what a thread freed, out of reach of the next.
            (M_ARENA_MAX, 1),
        ] {
            // SAFETY: `mallopt` takes two plain integers, locks the allocator itself, and answers
            // 0 to what it does not know.
            let _known = unsafe { mallopt(parameter, value) };
        }
    }
}
