//! Amounts of memory, processors, time and tokens, as sweep files and pools write them.

use std::fmt;

use serde::{Deserialize, Serialize};

const BINARY: [(&str, u64); 4] =
    [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: [(&str, u64); 4] =
    [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
const TIME: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Memory in bytes; text is `64Gi`, `512Mi` or `80G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

/// Processors in thousandths; text is `8`, `0.5` or `500m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "String")]
pub struct Processors {
    pub thousandths: u64,
}

/// A time in seconds; text is `90s`, `30m`, `12h` or `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(pub u64);

/// Tokens as sweep files write them: `4096`, `200k` or `1.5M`; none if it is no such count, or 0.
#[must_use]
pub fn tokens(text: &str) -> Option<u64> {
    crate::sweep::value::counted(text).filter(|tokens| 0 < *tokens)
}

impl Bytes {
    /// # Errors
    /// What was expected, and what was found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let units = BINARY.iter().chain(&DECIMAL);
        let found = scaled(text, units).filter(|bytes| 0 < *bytes).map(Self);
        found.ok_or_else(|| format!("expected an amount of memory such as 64Gi, found `{text}`"))
    }
}

impl Processors {
    /// # Errors
    /// What was expected, and what was found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let thousandths = match text.strip_suffix('m') {
            Some(digits) => digits.parse().ok(),
            None => thousandths(text),
        };
        let found = thousandths.filter(|n| 0 < *n).map(|thousandths| Self { thousandths });
        found.ok_or_else(|| {
            format!("expected a number of processors such as 8 or 500m, found `{text}`")
        })
    }
}

impl Seconds {
    /// # Errors
    /// What was expected, and what was found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = scaled(text, TIME.iter()).filter(|seconds| 0 < *seconds).map(Self);
        found.ok_or_else(|| format!("expected a time such as 90s, 30m, 12h or 2d, found `{text}`"))
    }
}

/// A whole number with one of the units.
fn scaled<'a>(text: &str, mut units: impl Iterator<Item = &'a (&'a str, u64)>) -> Option<u64> {
    let (digits, scale) =
        units.find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)))?;
    let digits = digits.trim_end();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse::<u64>().ok()?.checked_mul(scale) } else { None }
}

/// `0.5` is 500, `8` is 8000; more than three decimals are none.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) || 3 < part.len() {
        return None;
    }
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(part)
}

impl fmt::Display for Bytes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| self.0.is_multiple_of(*scale);
        let units = BINARY.iter().chain(&DECIMAL).filter(fits);
        match units.max_by_key(|(_, scale)| *scale) {
            Some((unit, scale)) => write!(to, "{}{unit}", self.0 / scale),
            None => write!(to, "{}", self.0),
        }
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.thousandths.is_multiple_of(1_000) {
            write!(to, "{}", self.thousandths / 1_000)
        } else {
            write!(to, "{}m", self.thousandths)
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| self.0.is_multiple_of(*scale);
        let (unit, scale) = TIME.iter().find(fits).expect("every time is a number of seconds");
        write!(to, "{}{unit}", self.0 / scale)
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

/// YAML and JSON read `8` as a number.
impl TryFrom<serde_json::Value> for Processors {
    type Error = String;
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => Self::parse(text),
            None => Self::parse(&value.to_string()),
        }
    }
}

impl From<Processors> for String {
    fn from(processors: Processors) -> Self {
        processors.to_string()
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        seconds.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_binary_or_decimal() {
        assert_eq!(Bytes::parse("64Gi"), Ok(Bytes(64 << 30)));
        assert_eq!(Bytes::parse("80G"), Ok(Bytes(80_000_000_000)));
        assert_eq!(Bytes::parse("512 Mi"), Ok(Bytes(512 << 20)));
        assert_eq!(Bytes(64 << 30).to_string(), "64Gi");
        assert_eq!(Bytes(80_000_000_000).to_string(), "80G");
        for text in ["", "64", "Gi", "0Gi", "-1Gi", "1.5Gi", "64GB", "64gi", "99999999999999Ti"] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_whole_or_parts() {
        let thousandths = |text| Processors::parse(text).map(|found| found.thousandths);
        assert_eq!(thousandths("8"), Ok(8_000));
        assert_eq!(thousandths("0.5"), Ok(500));
        assert_eq!(thousandths("500m"), Ok(500));
        assert_eq!(Processors { thousandths: 1_500 }.to_string(), "1500m");
        for text in ["", "0", "-1", "1.0001", "x", "1e3", "m"] {
            assert!(Processors::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(Seconds::parse("12h"), Ok(Seconds(43_200)));
        assert_eq!(Seconds(43_200).to_string(), "12h");
        assert_eq!(Seconds(90).to_string(), "90s");
        for text in ["", "12", "0s", "1.5h", "h", "1y"] {
            assert!(Seconds::parse(text).is_err(), "{text}");
        }
    }
}
