//! The safetensors format, as little of it as weights need: f32 and bf16 written; f32, bf16 and f16 read.
//!
//! A file is the header's length (8 bytes, little-endian), the header (JSON: name to dtype, shape
//! and byte range) and the values, little-endian. Written in the order of the names, so that equal
//! tensors make equal files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::by_name::{ByName, Shapes};
use crate::engine::{HostTensor, Tensors};

/// A header lists a name and three numbers per tensor: 100 bytes for each of a million.
const HEADER_BYTES_MAX: u64 = 100 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    #[error("cannot read {path}")]
    Read { path: String, source: io::Error },
    #[error("{path} is no safetensors file: {problem}")]
    Malformed { path: String, problem: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl Entry {
    fn new(dtype: &str, shape: Vec<usize>, begin: usize) -> Self {
        let count: usize = shape.iter().product();
        let end = begin + count * bytes_of(dtype).unwrap_or(0);
        Self { dtype: dtype.to_owned(), shape, data_offsets: [begin, end] }
    }

    /// That as many bytes as it has make its shape, within a body of so many.
    fn check(&self, body: u64) -> Result<(), String> {
        let [begin, end] = self.data_offsets;
        let size = bytes_of(&self.dtype)
            .ok_or_else(|| format!("{} is not read; F32, BF16 and F16 are", self.dtype))?;
        if end < begin || body < end as u64 {
            return Err("its bytes lie beyond the end of the file".to_owned());
        }
        let found = (end - begin) / size;
        let count = self.shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
        if count != Some(found) {
            return Err(format!("{found} values do not make the shape {:?}", self.shape));
        }
        Ok(())
    }
}

/// Of one number.
fn bytes_of(dtype: &str) -> Option<usize> {
    match dtype {
        "F32" => Some(4),
        "BF16" | "F16" => Some(2),
        _ => None,
    }
}

/// Writes tensors one after another: as f32, or as bf16 what that holds as it is.
///
/// # Errors
/// One cannot be had, or not written.
pub fn write(mut to: impl Write, tensors: &dyn ByName) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), serde_json::json!({ "format": "pt" }));
    let (shapes, mut end) = (tensors.shapes(), 0);
    for (name, shape) in &shapes {
        let dtype = if tensors.is_bf16(name) { "BF16" } else { "F32" };
        let entry = Entry::new(dtype, shape.clone(), end);
        end = entry.data_offsets[1];
        header.insert(name.clone(), serde_json::to_value(entry)?);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The values begin at a multiple of 8; the format fills up with spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    for name in shapes.keys() {
        let tensor = tensors.tensor(name).map_err(io::Error::other)?;
        let is_bf16 = tensors.is_bf16(name);
        for values in tensor.values.chunks(1 << 14) {
            let bytes: Vec<u8> = if is_bf16 {
                values.iter().flat_map(|value| to_bf16(*value).to_le_bytes()).collect()
            } else {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            to.write_all(&bytes)?;
        }
    }
    Ok(())
}

/// A file whose header was read.
#[derive(Debug)]
pub struct Opened {
    path: String,
    file: File,
    /// Where the values begin.
    begin: u64,
    entries: BTreeMap<String, Entry>,
}

/// Reads a file's header, and holds it to the file's length.
///
/// # Errors
/// It cannot be read, or is no such file.
pub fn open(path: &Path) -> Result<Opened, SafetensorsError> {
    let named = path.display().to_string();
    let failed = |source| SafetensorsError::Read { path: named.clone(), source };
    let malformed = |problem| SafetensorsError::Malformed { path: named.clone(), problem };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();

    let mut header_length = [0; 8];
    file.read_exact(&mut header_length).map_err(failed)?;
    let header_length = u64::from_le_bytes(header_length);
    if HEADER_BYTES_MAX.min(length) < header_length {
        return Err(malformed(format!("a header of {header_length} bytes")));
    }
    let mut header = Vec::new();
    Read::by_ref(&mut file).take(header_length).read_to_end(&mut header).map_err(failed)?;
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
    header.remove("__metadata__");
    let begin = 8 + header_length;
    let mut entries = BTreeMap::new();
    for (name, entry) in header {
        let entry = serde_json::from_value(entry).map_err(|error| error.to_string());
        let entry = entry.and_then(|entry: Entry| {
            entry.check(length.saturating_sub(begin))?;
            Ok(entry)
        });
        let entry = entry.map_err(|problem| malformed(format!("{name}: {problem}")))?;
        entries.insert(name, entry);
    }
    Ok(Opened { path: named, file, begin, entries })
}

impl Opened {
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// One tensor, as f32.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be read.
    pub fn read(&self, name: &str) -> Result<HostTensor, SafetensorsError> {
        let path = || self.path.clone();
        let entry = self.entries.get(name).ok_or_else(|| SafetensorsError::Malformed {
            path: path(),
            problem: format!("it has no {name}"),
        })?;
        let [begin, end] = entry.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file
            .read_exact_at(&mut bytes, self.begin + begin as u64)
            .map_err(|source| SafetensorsError::Read { path: path(), source })?;
        let values = match entry.dtype.as_str() {
            "F32" => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            "BF16" => {
                bytes.chunks_exact(2).map(|b| from_bf16(u16::from_le_bytes([b[0], b[1]]))).collect()
            }
            _ => {
                bytes.chunks_exact(2).map(|b| from_f16(u16::from_le_bytes([b[0], b[1]]))).collect()
            }
        };
        Ok(HostTensor { shape: entry.shape.clone(), values })
    }
}

impl ByName for Opened {
    fn shapes(&self) -> Shapes {
        self.entries.iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect()
    }

    fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
        Ok(self.read(name)?)
    }
}

/// Reads every tensor, as f32.
///
/// # Errors
/// As [`open`] and [`Opened::read`].
pub fn read(path: &Path) -> Result<Tensors, SafetensorsError> {
    let opened = open(path)?;
    opened.entries.keys().map(|name| Ok((name.clone(), opened.read(name)?))).collect()
}

/// Of a number that bf16 has.
fn to_bf16(value: f32) -> u16 {
    (value.to_bits() >> 16) as u16
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// One sign bit, five of the exponent (biased by 15), ten of the fraction.
fn from_f16(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff) / 1024.0;
    match exponent {
        0 => sign * fraction * 2.0_f32.powi(-14),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        exponent => sign * (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Tensors, SafetensorsError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("some.safetensors");
        std::fs::write(&path, bytes).expect("written");
        read(&path)
    }

    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat()
    }

    #[test]
    fn what_is_written_is_read_again_bit_for_bit() {
        let tensors = Tensors::from([
            (
                "a".to_owned(),
                HostTensor { shape: vec![2, 2], values: vec![1.5, -0.0, 3e-41, 7e30] },
            ),
            ("b".to_owned(), HostTensor { shape: vec![1], values: vec![f32::INFINITY] }),
        ]);
        let mut bytes = Vec::new();
        write(&mut bytes, &tensors).unwrap();
        let read = read_bytes(&bytes).unwrap();
        let bits = |tensors: &Tensors| -> Vec<u32> {
            tensors.values().flat_map(|t| t.values.iter().map(|v| v.to_bits())).collect()
        };
        assert_eq!((bits(&read), &read), (bits(&tensors), &tensors));
    }

    /// Some of its numbers are ones that bf16 has.
    struct Halved(Tensors);

    impl ByName for Halved {
        fn shapes(&self) -> Shapes {
            self.0.shapes()
        }
        fn tensor(&self, name: &str) -> anyhow::Result<HostTensor> {
            self.0.tensor(name)
        }
        fn is_bf16(&self, name: &str) -> bool {
            name == "half"
        }
    }

    #[test]
    fn what_bf16_holds_takes_two_bytes_and_is_the_same_again() {
        let tensor = |values: &[f32]| HostTensor { shape: vec![3], values: values.to_vec() };
        let tensors: Tensors = [
            ("half".to_owned(), tensor(&[1.0, -3.140_625, f32::INFINITY])),
            ("whole".to_owned(), tensor(&[1.0, 0.1, 16_777_215.0])),
        ]
        .into();
        let mut bytes = Vec::new();
        write(&mut bytes, &Halved(tensors.clone())).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes.len() as u64, 8 + header + 3 * 2 + 3 * 4);
        assert_eq!(read_bytes(&bytes).unwrap(), tensors);
    }

    /// Bit patterns from IEEE 754's tables.
    #[test]
    fn half_precision_is_widened() {
        let header = r#"{"h":{"dtype":"F16","shape":[7],"data_offsets":[0,14]},
            "b":{"dtype":"BF16","shape":[3],"data_offsets":[14,20]},"__metadata__":{"x":"y"}}"#;
        let halves = [0x3c00_u16, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555, 0xfc00];
        let brains = [0x3f80_u16, 0xc049, 0x0000];
        let body: Vec<u8> =
            halves.iter().chain(&brains).flat_map(|bits| bits.to_le_bytes()).collect();
        let read = read_bytes(&file(header, &body)).unwrap();
        let (smallest, normal) = (2.0_f32.powi(-24), 2.0_f32.powi(-14));
        let third = 0.333_251_95;
        assert_eq!(
            read["h"].values,
            [1.0, -2.0, 65504.0, smallest, normal, third, f32::NEG_INFINITY]
        );
        assert_eq!(read["b"].values, [1.0, -3.140_625, 0.0]);
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_reason() {
        let entry = |dtype: &str, end: usize| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{end}]}}}}"#)
        };
        for (bytes, reason) in [
            (file(&entry("F32", 8), &[0; 7]), "beyond the end"),
            (file(&entry("F32", 12), &[0; 12]), "3 values do not make the shape [2]"),
            (file(&entry("I64", 16), &[0; 16]), "I64 is not read"),
            (
                file(
                    r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#,
                    &[],
                ),
                "0 values do not make the shape",
            ),
            (file("{", &[]), "EOF"),
            (vec![255; 16], "a header of"),
        ] {
            let error = read_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
