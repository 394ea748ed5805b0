//! Points of one series as bytes.
//!
//! A byte that names the format, then:
//! - 0, *plain*, which SQL can write too: the count as 4 bytes, then all steps and all values and all
//!   times with 8 bytes each, highest byte first, as `int8send` and `float8send` give them;
//! - 1, *packed*: the count, then the steps (regular), times (drifting) and values, as `bytes` has it.

use crate::bytes::{Damaged, Reader, put_drifting, put_regular, put_unsigned, put_values};
use crate::merge::Points;

const PLAIN: u8 = 0;
const PACKED: u8 = 1;

/// Some 9 bytes a point where every step has one.
///
/// # Panics
/// If the columns differ in length.
#[must_use]
pub fn pack(steps: &[i64], values: &[f64], times: &[i64]) -> Vec<u8> {
    assert!(steps.len() == values.len() && steps.len() == times.len(), "columns differ");
    // a time takes 1 or 2 bytes, a value 9 at most
    let mut out = Vec::with_capacity(24 + 11 * steps.len());
    out.push(PACKED);
    put_unsigned(&mut out, steps.len() as u64);
    put_regular(&mut out, steps.iter().copied());
    put_drifting(&mut out, times.iter().copied());
    put_values(&mut out, values.iter().copied());
    out
}

/// # Errors
/// The bytes are none that [`pack`] or the migration wrote.
pub fn unpack(bytes: &[u8]) -> Result<Points, Damaged> {
    let mut reader = Reader(bytes);
    let points = match reader.byte()? {
        PLAIN => plain(&mut reader)?,
        PACKED => {
            let n = reader.count()?;
            let steps = reader.regular(n)?;
            let times = reader.drifting(n)?;
            let values = reader.values(n)?;
            Points { steps, values, times }
        }
        _ => return Err(Damaged),
    };
    reader.end()?;
    Ok(points)
}

fn plain(reader: &mut Reader<'_>) -> Result<Points, Damaged> {
    let n: [u8; 4] = reader.bytes(4)?.try_into().map_err(|_| Damaged)?;
    let n = usize::try_from(u32::from_be_bytes(n)).map_err(|_| Damaged)?;
    let mut column = || -> Result<Vec<u64>, Damaged> {
        let (wide, _) = reader.bytes(n.checked_mul(8).ok_or(Damaged)?)?.as_chunks();
        Ok(wide.iter().map(|wide| u64::from_be_bytes(*wide)).collect())
    };
    let steps = column()?.into_iter().map(u64::cast_signed).collect();
    let values = column()?.into_iter().map(f64::from_bits).collect();
    let times = column()?.into_iter().map(u64::cast_signed).collect();
    Ok(Points { steps, values, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_at_every_step_takes_ten_bytes_or_less() {
        let steps: Vec<i64> = (0..1000).collect();
        let values: Vec<f64> = steps.iter().map(|&s| 2.0 + (s as f64).sin() / 3.0).collect();
        let times: Vec<i64> = steps.iter().map(|s| 1_700_000_000_000 + 37 * s + s % 5).collect();
        let bytes = pack(&steps, &values, &times);
        assert!(bytes.len() <= 10_000, "{} bytes", bytes.len());
        // what was measured in 32 bits takes half
        let short: Vec<f64> =
            (0_u16..1000).map(|s| f64::from(f32::from(s).sin() / 3.0 + 2.0)).collect();
        let bytes = pack(&steps, &short, &times);
        assert!(bytes.len() <= 6_500, "{} bytes", bytes.len());
    }

    #[test]
    fn what_sql_writes_is_read() {
        let mut bytes = vec![0, 0, 0, 0, 2];
        for wide in [7_u64, 9, 1.5_f64.to_bits(), f64::NEG_INFINITY.to_bits(), 70, 90] {
            bytes.extend(wide.to_be_bytes());
        }
        let points = unpack(&bytes).unwrap();
        assert_eq!(points.steps, [7, 9]);
        assert_eq!(points.values, [1.5, f64::NEG_INFINITY]);
        assert_eq!(points.times, [70, 90]);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let whole = pack(&[1, 2, 4], &[0.1, f64::NAN, 3.0], &[5, 6, 7]);
        for end in 0..whole.len() {
            assert_eq!(unpack(&whole[..end]), Err(Damaged), "cut to {end} bytes");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert_eq!(unpack(&longer), Err(Damaged));
        assert_eq!(unpack(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Err(Damaged));
        assert_eq!(unpack(&[2]), Err(Damaged));
    }
}
