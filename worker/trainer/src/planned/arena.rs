//! One stretch of memory, cut up before the first step.

use std::fmt;

/// Every region begins at a multiple of so many bytes: a cache line, and what a GPU loads at once.
pub(super) const ALIGN: usize = 256;

/// A stretch of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// In bytes from the arena's beginning.
    pub at: usize,
    /// In numbers.
    pub len: usize,
    /// Bytes of one number.
    pub size: usize,
}

impl Region {
    /// Some of its numbers.
    ///
    /// # Panics
    /// If they are not all in it.
    #[must_use]
    pub fn part(self, from: usize, len: usize) -> Self {
        assert!(from + len <= self.len, "{len} numbers from {from} on, of {}", self.len);
        Self { at: self.at + from * self.size, len, size: self.size }
    }

    #[must_use]
    pub fn bytes(self) -> usize {
        self.len * self.size
    }
}

/// Bytes of one number of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    pub weight: usize,
    /// Beside a weight, what makes it exact: the low half of its f32 master.
    pub weight_rest: usize,
    /// Of a parameter.
    pub gradient: usize,
    /// Of a parameter: each of the two that `AdamW` has.
    pub moment: usize,
    pub activation: usize,
    pub logit: usize,
}

impl Formats {
    /// All f32.
    pub const SINGLE: Self =
        Self { weight: 4, weight_rest: 0, gradient: 4, moment: 4, activation: 4, logit: 4 };
    /// bf16, whose master weights are exact: the other 16 bits are kept beside them. Gradients are summed
    /// over micro-batches, and log-likelihoods are differences of logits: both stay f32. 16 bytes a
    /// parameter.
    pub const BF16: Self =
        Self { weight: 2, weight_rest: 2, gradient: 4, moment: 4, activation: 2, logit: 4 };
    /// bf16 without masters, gradients and moments too: 8 bytes a parameter. An update is mostly smaller
    /// than what bf16 tells apart, so it is rounded up or down by chance, and right on average (2502.20566).
    pub const BF16_BY_CHANCE: Self = Self { weight_rest: 0, gradient: 2, moment: 2, ..Self::BF16 };

    /// How parameters are kept, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self { weight: 4, .. } => "f32",
            Self { weight_rest: 0, .. } => "bf16 without masters, updates rounded stochastically",
            Self { .. } => "bf16 with exact f32 masters",
        }
    }
}

/// Statistics and tables.
pub(super) const SINGLE: usize = 4;

/// Cuts regions off, one after another, and remembers what for.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    end: usize,
    lines: Vec<Line>,
}

/// What some of the arena is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub what: String,
    pub bytes: usize,
}

impl Arena {
    /// A region of its own. Regions of one purpose share a line.
    pub fn take(&mut self, what: &str, len: usize, size: usize) -> Region {
        let at = self.end.next_multiple_of(ALIGN);
        let region = Region { at, len, size };
        self.end = at + region.bytes();
        match self.lines.iter_mut().find(|line| line.what == what) {
            Some(line) => line.bytes += region.bytes(),
            None => self.lines.push(Line { what: what.to_owned(), bytes: region.bytes() }),
        }
        region
    }

    /// Bytes up to here, which is also where something else may lie in turn with what comes next.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.end.next_multiple_of(ALIGN)
    }

    /// At least so large.
    pub fn grow(&mut self, what: &str, bytes: usize) {
        if self.end < bytes {
            self.lines.push(Line { what: what.to_owned(), bytes: bytes - self.end });
            self.end = bytes;
        }
    }

    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// Bytes as people say them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "rounded anyway")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
        let bytes = self.0 as f64;
        match units.into_iter().find(|(_, size)| *size <= bytes) {
            Some((unit, size)) => f.pad(&format!("{:.2} {unit}", bytes / size)),
            None => f.pad(&format!("{bytes} B")),
        }
    }
}
