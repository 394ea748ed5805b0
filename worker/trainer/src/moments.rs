//! How an optimizer's state lies in a checkpoint, whatever the engine: two tensors for each
//! parameter, and the number of updates.

use anyhow::{Context as _, ensure};

use crate::by_name::ByName;
use crate::engine::{HostTensor, Tensors};

pub(crate) const FIRST: &str = "first.";
pub(crate) const SECOND: &str = "second.";
/// Updates applied, as two tensors of one number each: f32 counts to 2^24, and bf16 to 2^8.
const UPDATES: [&str; 2] = ["updates.low", "updates.high"];
const UPDATES_BASE: u64 = 1 << 20;

/// One parameter's.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
}

/// How many updates there were, as [`updates`] reads it.
pub(crate) fn counted(updates: u64) -> Tensors {
    let digit = |(name, digit): (&str, u64)| {
        #[expect(clippy::cast_precision_loss, reason = "both digits are below 2^24")]
        let values = vec![digit as f32];
        (name.to_owned(), HostTensor { shape: vec![1], values })
    };
    let digits = [updates % UPDATES_BASE, updates / UPDATES_BASE];
    UPDATES.into_iter().zip(digits).map(digit).collect()
}

/// The moments of the parameter `name`.
pub(crate) fn of(state: &dyn ByName, name: &str, shape: &[usize]) -> anyhow::Result<Moments> {
    let get = |kind: &str| {
        let name = format!("{kind}{name}");
        let saved =
            state.tensor(&name).with_context(|| format!("the optimizer's state lacks {name}"))?;
        ensure!(saved.shape == shape, "{name} has another shape");
        Ok(saved.values)
    };
    Ok(Moments { first: get(FIRST)?, second: get(SECOND)? })
}

/// How many there have been.
pub(crate) fn updates(state: &dyn ByName) -> anyhow::Result<u64> {
    let mut updates = 0;
    for (name, unit) in UPDATES.into_iter().zip([1, UPDATES_BASE]) {
        let digit =
            state.tensor(name).with_context(|| format!("the optimizer's state lacks {name}"))?;
        updates += whole(&digit)? * unit;
    }
    Ok(updates)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
fn whole(digit: &HostTensor) -> anyhow::Result<u64> {
    let value = digit.values.first().copied().unwrap_or(f32::NAN);
    ensure!(0.0 <= value && value.fract() == 0.0, "a counter of updates that is {value}");
    Ok(value as u64)
}
