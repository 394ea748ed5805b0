//! Read-only memory maps: the one place of the data code that needs `unsafe`.
#![expect(unsafe_code, reason = "a memory map is unsafe as long as others may change the file")]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use super::error::DataError;

/// Maps a whole file, which has to be as long as its manifest says.
pub(super) fn map(folder: &Path, name: &str, bytes: u64) -> Result<Mmap, DataError> {
    let path = folder.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DataError::dataset(folder, format!("{name} is missing")));
        }
        Err(error) => return Err(DataError::read(&path)(error)),
    };
    let found = file.metadata().map_err(DataError::read(&path))?.len();
    if found != bytes {
        let problem = format!("{name} has {found} bytes, {bytes} expected");
        return Err(DataError::dataset(folder, problem));
    }
    // SAFETY: files of a dataset are written beside, renamed into a folder named for their content,
    // and never written again; replacing a dataset makes another folder. The map only reads.
    let map = unsafe { Mmap::map(&file) };
    map.map_err(DataError::read(&path))
}
