//! Columns of numbers as bytes: what `packed` and `bucket` store their columns with.
//!
//! Integers are LEB128, signed ones zigzagged first. Three kinds of column:
//! - *regular* (steps): the first, then runs of equal differences as (difference, count);
//! - *drifting* (times): the first, then each difference;
//! - *values*: the bits in which each differs from the one before, as one byte (zero bytes that they
//!   begin with << 4 | bytes that follow) and the bytes between the outer zero bytes, lowest first. Neighbors share
//!   sign and exponent, equal ones take one byte, and numbers that were `f32` end in zeros. (The idea
//!   is Gorilla's, Pelkonen et al., VLDB 2015; whole bytes instead of bits cost 1 byte in 9 and make
//!   it read like this.)

/// What a stored column should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stored points are damaged: they do not read as they were written")
    }
}

impl std::error::Error for Damaged {}

pub(crate) fn put_unsigned(out: &mut Vec<u8>, mut n: u64) {
    while 0x80 <= n {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_unsigned(out, (n.cast_unsigned() << 1) ^ (n >> 63).cast_unsigned());
}

pub(crate) fn put_regular(out: &mut Vec<u8>, column: impl Iterator<Item = i64>) {
    let mut before = 0;
    let mut run: Option<(i64, u64)> = None;
    let mut put = |(difference, count)| {
        put_signed(out, difference);
        put_unsigned(out, count);
    };
    for n in column {
        let difference = n.wrapping_sub(before);
        before = n;
        run = match run {
            Some((same, count)) if same == difference => Some((same, count + 1)),
            Some(done) => {
                put(done);
                Some((difference, 1))
            }
            None => Some((difference, 1)),
        };
    }
    if let Some(done) = run {
        put(done);
    }
}

pub(crate) fn put_drifting(out: &mut Vec<u8>, column: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for n in column {
        put_signed(out, n.wrapping_sub(before));
        before = n;
    }
}

pub(crate) fn put_values(out: &mut Vec<u8>, column: impl Iterator<Item = f64>) {
    let mut before = 0;
    for value in column {
        let bits = value.to_bits();
        let xor = bits ^ before;
        before = bits;
        if xor == 0 {
            out.push(0);
            continue;
        }
        let (leading, trailing) = (xor.leading_zeros() / 8, xor.trailing_zeros() / 8);
        let n = 8 - leading - trailing;
        out.push((leading << 4 | n).to_le_bytes()[0]);
        out.extend_from_slice(&(xor >> (8 * trailing)).to_le_bytes()[..n as usize]);
    }
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let (&first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, Damaged> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Damaged)
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        let n = self.unsigned()?;
        Ok((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }

    /// How many rows follow: each takes a byte in one column at least.
    pub(crate) fn count(&mut self) -> Result<usize, Damaged> {
        let n = usize::try_from(self.unsigned()?).map_err(|_| Damaged)?;
        if n <= self.0.len() { Ok(n) } else { Err(Damaged) }
    }

    pub(crate) fn regular(&mut self, n: usize) -> Result<Vec<i64>, Damaged> {
        let mut column = Vec::with_capacity(n);
        let mut last = 0_i64;
        while column.len() < n {
            let (difference, count) = (self.signed()?, self.unsigned()?);
            let left = u64::try_from(n - column.len()).map_err(|_| Damaged)?;
            if count == 0 || left < count {
                return Err(Damaged);
            }
            for _ in 0..count {
                last = last.wrapping_add(difference);
                column.push(last);
            }
        }
        Ok(column)
    }

    pub(crate) fn drifting(&mut self, n: usize) -> Result<Vec<i64>, Damaged> {
        let mut column = Vec::with_capacity(n);
        let mut last = 0_i64;
        for _ in 0..n {
            last = last.wrapping_add(self.signed()?);
            column.push(last);
        }
        Ok(column)
    }

    pub(crate) fn values(&mut self, n: usize) -> Result<Vec<f64>, Damaged> {
        let mut column = Vec::with_capacity(n);
        let mut bits = 0;
        for _ in 0..n {
            let how = self.byte()?;
            if how != 0 {
                let (leading, len) = (how >> 4, usize::from(how & 15));
                let trailing = 8_usize.checked_sub(usize::from(leading) + len).ok_or(Damaged)?;
                if len == 0 {
                    return Err(Damaged);
                }
                let mut wide = [0; 8];
                wide[..len].copy_from_slice(self.bytes(len)?);
                bits ^= u64::from_le_bytes(wide) << (8 * trailing);
            }
            column.push(f64::from_bits(bits));
        }
        Ok(column)
    }

    pub(crate) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}
