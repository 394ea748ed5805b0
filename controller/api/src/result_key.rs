//! What a result depends on, as a hash: runs with one key have the same weights and the same points.
//!
//! Its worker records the key of what it trained; the controller makes the key of what is still queued, and
//! finds by it what has been trained already.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::ids::RunId;
use crate::spec::{Model, RunSpec};
use crate::worker::{DatasetInput, StartAnswer};

/// Counts changes of the trainer that give the same spec another result.
pub const SEMANTICS: u32 = 1;

/// Keys from before did not name what the weights began as: they are trusted by nobody.
const KEY: &str = "result-2 ";

/// The key of what a run trains: its point, the data of each of its sources, by their names, and the key of
/// the result that its weights begin as. None: they begin in a folder, whose content nobody has hashed, or as
/// a result that has no such key.
#[must_use]
pub fn result_key(
    point: &str,
    datasets: &BTreeMap<String, DatasetInput>,
    (model, base_key): (&Model, Option<&str>),
) -> Option<String> {
    let base = match (model, base_key) {
        (Model::Preset(_), _) => "drawn",
        (Model::Run(_), Some(key)) if key.starts_with(KEY) => key,
        (Model::Run(_) | Model::From(_), _) => return None,
    };
    let mut hash = Sha256::new();
    hash.update(format!("{point}\nbegins as {base}\nsemantics {SEMANTICS}\n"));
    for (name, data) in datasets {
        hash.update(format!("{name} {}\n", data.fingerprint));
    }
    let mut key = KEY.to_owned();
    for byte in hash.finalize() {
        write!(key, "{byte:02x}").expect("a string takes all");
    }
    Some(key)
}

/// What a worker records. A result without a key has one that no other run can have.
#[must_use]
pub fn recorded_key(run: RunId, answer: &StartAnswer) -> String {
    let key = match &answer.spec {
        RunSpec::Train(spec) => {
            let base = (&spec.model, answer.base_key.as_deref());
            result_key(&answer.point, &answer.datasets, base)
        }
        RunSpec::Prepare(_) | RunSpec::Evaluate(_) => None,
    };
    key.unwrap_or_else(|| format!("of run {run} alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(fingerprints: &[(&str, &str)]) -> BTreeMap<String, DatasetInput> {
        let input = |fingerprint: &str| DatasetInput {
            path: "anywhere".to_owned(),
            fingerprint: fingerprint.to_owned(),
        };
        fingerprints.iter().map(|(name, of)| ((*name).to_owned(), input(of))).collect()
    }

    #[test]
    fn a_key_names_everything_that_a_result_depends_on() {
        let (preset, run) = (Model::Preset("llama-1m".to_owned()), Model::Run("base".to_owned()));
        let key = |point: &str, of: &[(&str, &str)], base| result_key(point, &data(of), base);
        let text = [("a", "1"), ("b", "2")];
        let known = key("p", &text, (&preset, None)).unwrap();
        let other = key("q", &text, (&preset, None)).unwrap();
        let keys = [
            known.clone(),
            other.clone(),
            key("p", &[("a", "1"), ("b", "3")], (&preset, None)).unwrap(),
            key("p", &[("a", "2"), ("b", "1")], (&preset, None)).unwrap(),
            key("p", &[("a", "1")], (&preset, None)).unwrap(),
            key("p", &text, (&run, Some(&known))).unwrap(),
            key("p", &text, (&run, Some(&other))).unwrap(),
        ];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
        assert_eq!(key("p", &text, (&preset, None)), Some(known), "it is a function of these");
    }

    #[test]
    fn what_begins_as_nobody_knows_what_has_no_key() {
        let run = Model::Run("base".to_owned());
        let none = BTreeMap::new();
        assert_eq!(result_key("p", &none, (&Model::From("/m".to_owned()), None)), None);
        assert_eq!(result_key("p", &none, (&run, None)), None);
        let before = "0".repeat(64);
        assert_eq!(result_key("p", &none, (&run, Some(&before))), None, "a key from before");
        assert_eq!(result_key("p", &none, (&run, Some("of run 1 alone"))), None);
    }
}
