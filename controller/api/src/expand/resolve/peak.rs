//! A rate as a ratio of the peak that the base was pretrained with: what carries over from one model
//! to another is the ratio, not the rate.

use crate::spec::Model;
use crate::sweep::Placed;
use crate::sweep::draft::Peak;
use crate::sweep::errors::Errors;
use crate::sweep::value::significant;

/// Published peaks: Llama 2 (2307.09288, section 2.2), Llama 3 and 3.1 (2407.21783, table 3). The
/// small models of Llama 3.2 are not here: they were pruned and distilled, and their rate was not
/// published.
const KNOWN: [(&str, f64); 8] = [
    ("llama-2-7b", 3e-4),
    ("llama-2-13b", 3e-4),
    ("llama-2-70b", 1.5e-4),
    ("llama-3-8b", 3e-4),
    ("llama-3-70b", 1.5e-4),
    ("llama-3.1-8b", 3e-4),
    ("llama-3.1-70b", 1.5e-4),
    ("llama-3.1-405b", 8e-5),
];
/// What names of the same pretrained weights begin and end with.
const PREFIXES: [&str; 2] = ["models--meta-llama--", "meta-"];
const SUFFIXES: [&str; 4] = ["-hf", "-chat", "-instruct", "-chat-hf"];

/// The pretraining peak of a published model, by the name of its folder or of one above it (a
/// downloaded snapshot lies two below).
///
/// By name and not by the shape in `config.json`: the same file then means the same runs on every
/// machine, also where the folder is not there; and a shape does not tell a base from what somebody
/// trained further with another rate, which nobody leaves under the old name.
pub(super) fn known(folder: &str) -> Option<f64> {
    folder.rsplit('/').find_map(|part| {
        let name = part.to_lowercase();
        let name = PREFIXES
            .iter()
            .fold(name.as_str(), |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
        let is_of = |known: &str| {
            name.strip_prefix(known).is_some_and(|end| end.is_empty() || SUFFIXES.contains(&end))
        };
        KNOWN.iter().find(|(known, _)| is_of(known)).map(|(_, peak)| *peak)
    })
}

/// The rate in numbers.
pub(super) fn resolve(
    peak: &Placed<Peak>,
    model: &Model,
    of_base: Option<f64>,
    path: &str,
    errors: &mut Errors,
) -> Option<f64> {
    let ratio = match peak.value {
        Peak::Rate(rate) => return Some(rate),
        Peak::OfBase(ratio) => ratio,
    };
    if let Some(base) = of_base {
        // 0.1 of 3e-4 is the rate that is written 3e-5, and the same point
        return Some(significant(ratio * base, 12));
    }
    let why = match model {
        Model::Preset(name) => format!(
            "the preset `{name}` starts from scratch and has no pretraining rate; write the rate \
             itself, for example `peak: 1e-3`"
        ),
        Model::From(folder) => {
            let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            format!(
                "the rate that `{folder}` was pretrained with is not known (known by the folder's \
                 name: {}); write `model: {{from: {folder}, pretraining_lr: 3e-4}}` with its peak",
                known.join(", ")
            )
        }
        Model::Run(name) => format!("the rate of `{name}` is not known"),
    };
    errors.add(peak.place, &format!("{path}.peak"), format!("of_base: {why}"));
    None
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn published_models_are_known_by_the_names_that_they_are_kept_under() {
        let table = [
            ("/models/Llama-3.1-8B", Some(3e-4)),
            ("/models/meta-llama/Meta-Llama-3.1-70B", Some(1.5e-4)),
            ("/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e9e39f", Some(3e-4)),
            ("./llama-2-7b-hf/", Some(3e-4)),
            ("Llama-3.1-405B", Some(8e-5)),
            // pruned and distilled from another, at a rate that was not published
            ("/models/Llama-3.2-1B", None),
            // somebody's own, trained further
            ("/models/Llama-3.1-8B-legal", None),
            ("/models/base", None),
        ];
        for (folder, expected) in table {
            assert_eq!(known(folder), expected, "{folder}");
        }
    }
}
