//! A card where none is: kernels as C++ programs of this machine, and its memory.

#![expect(unsafe_code, reason = "what a compiler made is called")]

use std::cell::RefCell;
use std::ffi::c_void;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use assay_cuda::{Argument, Card, CudaError, Driver, Function, PRIMITIVES, Room, Source};
use libloading::Library;
use sha2::{Digest, Sha256};

const HEADER: &str = include_str!("emulated.h");
/// Grid, threads and bytes of shared memory of a block, and where the arguments are.
type Launch = unsafe extern "C" fn(*const u32, u32, u32, *const *const c_void);

/// This machine as a card of some architecture: it decides how attention is cut.
#[derive(Debug)]
pub(crate) struct Emulated {
    card: Card,
    memory: RefCell<Vec<Vec<u64>>>,
    loaded: RefCell<Vec<Library>>,
}

impl Emulated {
    pub(crate) fn new(architecture: &str) -> Self {
        let card = Card {
            name: format!("this processor as {architecture}"),
            capability: (0, 0),
            multiprocessors: 1,
            architecture: architecture.to_owned(),
        };
        Self { card, memory: RefCell::default(), loaded: RefCell::default() }
    }
}

/// The source with other words for the instructions, and a way to launch each of its functions.
fn translated(source: &Source) -> String {
    let (first, rest) = source.parts.split_first().expect("a source has parts");
    assert_eq!(*first, PRIMITIVES);
    let mut text = format!("{HEADER}\n{}\n", rest.concat());
    for name in source.functions {
        writeln!(
            text,
            "extern \"C\" void launch_{name}(const u32 *grid, u32 threads, u32 shared, void *const *arguments) {{\n    \
             emulated::launch({name}, grid, threads, shared, arguments);\n}}"
        )
        .expect("memory");
    }
    text
}

/// Compiles what was not compiled before.
fn compiled(source: &Source, options: &[String]) -> PathBuf {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = translated(source);
    let mut hash = Sha256::new();
    hash.update(options.join(" "));
    hash.update(&text);
    let key: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated");
    let library = folder.join(format!("{key}.so"));
    if library.exists() {
        return library;
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    let beside = folder.join(format!("{key}.{}", std::process::id()));
    let file = beside.with_extension(format!("{}.cpp", std::process::id()));
    std::fs::write(&file, text).expect("written");
    let mut compiler = Command::new("g++");
    compiler.args([
        "-std=c++17",
        "-O2",
        "-w",
        "-fPIC",
        "-shared",
        "-fno-gnu-unique",
        "-U_FORTIFY_SOURCE",
    ]);
    let output =
        compiler.arg("-o").arg(&beside).args(options).arg(&file).output().expect("g++ is here");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", source.file);
    std::fs::rename(&beside, &library).expect("renamed");
    std::fs::remove_file(&file).expect("removed");
    library
}

impl Driver for Emulated {
    fn card(&self) -> &Card {
        &self.card
    }

    fn room(&self) -> Result<Room, CudaError> {
        Ok(Room { total: 1 << 30, free: 1 << 30 })
    }

    fn allocate(&self, bytes: usize) -> Result<u64, CudaError> {
        // an address that is a multiple of 256, as a card's is
        let mut memory = vec![0_u64; bytes.div_ceil(8) + 32];
        let begin = memory.as_mut_ptr() as u64;
        self.memory.borrow_mut().push(memory);
        Ok(begin.next_multiple_of(256))
    }

    fn free(&self, at: u64) {
        let begins = |memory: &Vec<u64>| (memory.as_ptr() as u64).next_multiple_of(256);
        self.memory.borrow_mut().retain(|memory| begins(memory) != at);
    }

    fn zero(&self, at: u64, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: within what was allocated, as on a card.
        unsafe { std::ptr::write_bytes(at as *mut u8, 0, bytes) };
        Ok(())
    }

    fn upload(&self, at: u64, bytes: &[u8]) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&self, bytes: &mut [u8], at: u64) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(at as *const u8, bytes.as_mut_ptr(), bytes.len());
        };
        Ok(())
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        Ok(())
    }

    fn load(&self, source: &Source, options: &[String]) -> Result<Vec<Function>, CudaError> {
        // SAFETY: our own library, which does nothing when it is loaded.
        let library = unsafe { Library::new(compiled(source, options)) }.expect("it was compiled");
        let function = |name: &&str| {
            // SAFETY: `translated` gives it this type.
            let launch = unsafe { library.get::<Launch>(format!("launch_{name}").as_bytes()) };
            Function(*launch.expect("it is there") as usize)
        };
        let functions = source.functions.iter().map(function).collect();
        self.loaded.borrow_mut().push(library);
        Ok(functions)
    }

    fn allow_shared(&self, _of: Function, bytes: usize) -> Result<(), CudaError> {
        assert!(bytes <= 227 << 10, "{bytes} bytes of shared memory are more than a card has");
        Ok(())
    }

    fn launch(
        &self,
        function: Function,
        grid: (u32, u32, u32),
        (block, shared): (u32, usize),
        arguments: &[Argument],
    ) -> Result<(), CudaError> {
        let pointers: Vec<*const c_void> = arguments.iter().map(Argument::as_ptr).collect();
        let grid = [grid.0, grid.1, grid.2];
        let shared = u32::try_from(shared).expect("small");
        // a library has one block at a time, whichever test asks
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a function of `load`, whose library is loaded as long as this lives.
        unsafe {
            let launch: Launch = std::mem::transmute(function.0);
            launch(grid.as_ptr(), block, shared, pointers.as_ptr());
        }
        Ok(())
    }

    fn stream(&self) -> Option<*mut c_void> {
        None
    }
}
