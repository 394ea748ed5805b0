//! One card, as the backend sees it: memory, and kernels one after another.

#![expect(unsafe_code, reason = "a card is given bytes")]

use std::ffi::c_void;
use std::fmt::Debug;
use std::ops::Deref;
use std::path::PathBuf;
use std::rc::Rc;

use crate::CudaError;
use crate::kernels::Source;
use crate::nvidia::Nvidia;

/// What a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub name: String,
    pub capability: (i32, i32),
    pub multiprocessors: u32,
    /// That kernels are compiled for, like `sm_80`.
    pub architecture: String,
}

/// Bytes of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// That a card of its kind has.
    pub total: usize,
    /// That nobody uses now.
    pub free: usize,
}

/// Who does what a card is asked for, in the order in which it is asked. Addresses are the card's.
///
/// A trait, so that kernels and what launches them are tested where no card is.
pub trait Driver: Debug {
    fn card(&self) -> &Card;

    /// # Errors
    /// The driver fails, here as in all of these.
    fn room(&self) -> Result<Room, CudaError>;

    /// Zeros.
    ///
    /// # Errors
    /// There is not so much memory.
    fn allocate(&self, bytes: usize) -> Result<u64, CudaError>;

    fn free(&self, at: u64);

    /// # Errors
    /// The driver fails.
    fn zero(&self, at: u64, bytes: usize) -> Result<(), CudaError>;

    /// The host's memory can be used again at once.
    ///
    /// # Errors
    /// The driver fails.
    fn upload(&self, at: u64, bytes: &[u8]) -> Result<(), CudaError>;

    /// Waits for what was asked for before.
    ///
    /// # Errors
    /// Something of it failed.
    fn download(&self, bytes: &mut [u8], at: u64) -> Result<(), CudaError>;

    /// Waits for everything.
    ///
    /// # Errors
    /// Something of it failed.
    fn synchronize(&self) -> Result<(), CudaError>;

    /// The functions of a source, in its order.
    ///
    /// # Errors
    /// It does not compile.
    fn load(&self, source: &Source, options: &[String]) -> Result<Vec<Function>, CudaError>;

    /// Lets a function have so many bytes of shared memory.
    ///
    /// # Errors
    /// The card has less.
    fn allow_shared(&self, of: Function, bytes: usize) -> Result<(), CudaError>;

    /// A kernel, with threads and bytes of shared memory for each block. The arguments are of the types that it
    /// takes, in its order.
    ///
    /// # Errors
    /// The card refuses it.
    fn launch(
        &self,
        function: Function,
        grid: (u32, u32, u32),
        block: (u32, usize),
        arguments: &[Argument],
    ) -> Result<(), CudaError>;

    /// What CUDA's libraries enqueue on. None: there are none.
    fn stream(&self) -> Option<*mut c_void>;
}

/// A function of a card, by what its driver knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function(pub usize);

/// What a kernel is given: a number, a place, or a few of them, as they lie in memory.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub struct Argument([u8; ARGUMENT]);

/// Bytes of the largest argument.
const ARGUMENT: usize = 40;

impl Argument {
    pub(crate) fn of<T: Copy>(value: T) -> Self {
        const { assert!(size_of::<T>() <= ARGUMENT) };
        let mut bytes = [0; ARGUMENT];
        // SAFETY: the value is plain, and there is room for it.
        unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
        Self(bytes)
    }

    /// Where it lies.
    #[must_use]
    pub fn as_ptr(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}

/// The arguments of a kernel, in its order and of its types.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { &[$($crate::device::Argument::of($argument)),*] };
}
pub(crate) use arguments;

/// A card, shared by what lies on it.
#[derive(Clone, Debug)]
pub struct Device(Rc<dyn Driver>);

/// Memory of a card, freed when it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) begin: u64,
    device: Device,
}

impl Device {
    /// Card `ordinal` of those that NVIDIA's driver shows. Compiled kernels are kept in a folder, if one is given.
    ///
    /// # Errors
    /// There is no driver or no such card, or the card is too old.
    pub fn open(ordinal: i32, kept_kernels: Option<PathBuf>) -> Result<Self, CudaError> {
        Ok(Self::of(Nvidia::open(ordinal, kept_kernels)?))
    }

    #[must_use]
    pub fn of(driver: impl Driver + 'static) -> Self {
        Self(Rc::new(driver))
    }

    pub(crate) fn memory(&self, bytes: usize) -> Result<Memory, CudaError> {
        Ok(Memory { begin: self.allocate(bytes)?, device: self.clone() })
    }

    pub(crate) fn put<T: Copy>(&self, at: u64, values: &[T]) -> Result<(), CudaError> {
        let (pointer, bytes) = (values.as_ptr().cast(), size_of_val(values));
        // SAFETY: callers put plain numbers, which are as many bytes.
        self.upload(at, unsafe { std::slice::from_raw_parts(pointer, bytes) })
    }

    pub(crate) fn get<T: Copy>(&self, values: &mut [T], at: u64) -> Result<(), CudaError> {
        let (pointer, bytes) = (values.as_mut_ptr().cast(), size_of_val(values));
        // SAFETY: as above; all bits are numbers.
        self.download(unsafe { std::slice::from_raw_parts_mut(pointer, bytes) }, at)
    }
}

impl Deref for Device {
    type Target = dyn Driver;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.device.free(self.begin);
    }
}
