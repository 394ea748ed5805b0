//! Shares that keep the sum: an axis sets the share of one source, the others shrink or grow in
//! proportion to what the base gives them.

use std::collections::BTreeMap;

use crate::sweep::Placed;
use crate::sweep::draft::DataDraft;
use crate::sweep::errors::Errors;
use crate::sweep::value::shown;

/// Shares that axes set, by source.
pub(in crate::expand) type Pins<'s> = BTreeMap<&'s str, Placed<f64>>;

const PATH: &str = "axes.data.mixture";
/// Far below any share that matters, far above the dust of binary fractions.
const DUST: f64 = 1e-9;

/// The share of every source. Sources that the mixture leaves out have 0.
pub(super) fn resolve(
    draft: &DataDraft,
    pins: &Pins<'_>,
    errors: &mut Errors,
) -> Option<BTreeMap<String, f64>> {
    let mut shares = written(draft);
    if pins.is_empty() {
        return Some(shares);
    }
    let pinned: f64 = pins.values().map(|pin| pin.value).sum();
    let last = pins.values().map(|pin| pin.place).max().unwrap_or_default();
    if pinned > 1.0 + DUST {
        let names: Vec<String> =
            pins.iter().map(|(source, pin)| format!("{source} {}", shown(pin.value))).collect();
        let message = format!(
            "shares over 1: {} sum to {}; `exclude` this choice, or take smaller shares",
            names.join(" and "),
            shown(pinned)
        );
        errors.add(last, PATH, message);
        return None;
    }
    let rest = (1.0 - pinned).max(0.0);
    let is_free = |source: &str| !pins.contains_key(source);
    let free: f64 = shares.iter().filter(|(name, _)| is_free(name)).map(|(_, share)| share).sum();
    let n_free = shares.keys().filter(|name| is_free(name)).count();
    if rest > DUST && free <= DUST && n_free != 1 {
        let why = if n_free == 0 {
            "no other source is left to take the rest".to_owned()
        } else {
            "the base gives the other sources nothing, so the rest has no proportion".to_owned()
        };
        let message = format!("the shares set by axes sum to {}, and {why}", shown(pinned));
        errors.add(last, PATH, message);
        return None;
    }
    for (name, share) in &mut shares {
        *share = clean(match pins.get(name.as_str()) {
            Some(pin) => pin.value,
            None if free <= DUST && n_free == 1 => rest,
            None if free <= DUST => 0.0,
            None => *share * rest / free,
        });
    }
    Some(shares)
}

/// What the base says, or all of it for a single source.
fn written(draft: &DataDraft) -> BTreeMap<String, f64> {
    let names = draft.sources.keys();
    let Some(mixture) = &draft.mixture else {
        return names.map(|name| (name.clone(), 1.0)).collect();
    };
    let sum: f64 = mixture.values().sum();
    let share = |name: &String| mixture.get(name).map_or(0.0, |share| clean(share / sum));
    names.map(|name| (name.clone(), share(name))).collect()
}

/// Without the dust, so that a share is the same number however it was arrived at.
fn clean(share: f64) -> f64 {
    (share * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::clean;

    #[test]
    fn dust_is_swept() {
        assert!((1.0_f64 - 0.9).to_string().len() > 10);
        assert_eq!(clean(1.0 - 0.9).to_string(), "0.1");
        let shares: BTreeMap<_, _> = [("a", clean(1.0 / 3.0))].into();
        assert_eq!(shares["a"].to_string(), "0.333333333333");
    }
}
