//! How an optimizer's state lies in a checkpoint, whatever the engine: two tensors for each
//! parameter, and the number of updates.

use anyhow::{Context as _, ensure};

use crate::engine::{HostTensor, Tensors};

const FIRST: &str = "first.";
const SECOND: &str = "second.";
/// Updates applied, as two tensors of one number each: f32 counts to 2^24.
const UPDATES: [&str; 2] = ["updates.low", "updates.high"];
const UPDATES_BASE: u64 = 1 << 20;

/// One parameter's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments<'a> {
    pub(crate) first: &'a [f32],
    pub(crate) second: &'a [f32],
}

/// The state, as [`of`] and [`updates`] take it apart.
pub(crate) fn pack(first: &Tensors, second: &Tensors, updates: u64) -> Tensors {
    let mut tensors = Tensors::new();
    for (kind, moments) in [(FIRST, first), (SECOND, second)] {
        let named =
            |(name, tensor): (&String, &HostTensor)| (format!("{kind}{name}"), tensor.clone());
        tensors.extend(moments.iter().map(named));
    }
    for (name, digit) in UPDATES.into_iter().zip([updates % UPDATES_BASE, updates / UPDATES_BASE]) {
        #[expect(clippy::cast_precision_loss, reason = "both digits are below 2^24")]
        let values = vec![digit as f32];
        tensors.insert(name.to_owned(), HostTensor { shape: vec![1], values });
    }
    tensors
}

/// The moments of the parameter `name`.
pub(crate) fn of<'a>(
    state: &'a Tensors,
    name: &str,
    shape: &[usize],
) -> anyhow::Result<Moments<'a>> {
    let get = |kind: &str| {
        let name = format!("{kind}{name}");
        let saved =
            state.get(&name).with_context(|| format!("the optimizer's state lacks {name}"))?;
        ensure!(saved.shape == shape, "{name} has another shape");
        Ok(saved.values.as_slice())
    };
    Ok(Moments { first: get(FIRST)?, second: get(SECOND)? })
}

/// How many there have been.
pub(crate) fn updates(state: &Tensors) -> anyhow::Result<u64> {
    let mut updates = 0;
    for (name, unit) in UPDATES.into_iter().zip([1, UPDATES_BASE]) {
        let digit =
            state.get(name).with_context(|| format!("the optimizer's state lacks {name}"))?;
        updates += whole(digit)? * unit;
    }
    Ok(updates)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
fn whole(digit: &HostTensor) -> anyhow::Result<u64> {
    let value = digit.values.first().copied().unwrap_or(f32::NAN);
    ensure!(0.0 <= value && value.fract() == 0.0, "a counter of updates that is {value}");
    Ok(value as u64)
}
