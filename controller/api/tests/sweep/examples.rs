//! The files that users start from.

use assay_api::spec::{Model, RunSpec};
use assay_api::view::RunKind;

use super::{expansion, points, train};

const QUICKSTART: &str = include_str!("../../../../examples/quickstart.yaml");
const OWN_TEXT: &str = include_str!("../../../../examples/own-text.yaml");

#[test]
fn the_quickstart_varies_one_base_at_least_twelve_times() {
    let expansion = expansion(QUICKSTART);
    assert!(points(&expansion).len() >= 12);
    assert_eq!(expansion.runs.iter().filter(|run| run.is_baseline).count(), 1);
    let find = |label: &str| expansion.runs.iter().position(|run| run.label == label).unwrap();
    let (general, commerce) = (find("prepare general"), find("prepare commerce"));
    let base = find("small-base");
    assert_eq!(expansion.runs[base].needs, [general]);
    for run in points(&expansion) {
        assert_eq!(run.needs, [commerce, general, base], "{}", run.label);
        assert_eq!(train(run).model, Model::Run("small-base".to_owned()));
        assert_eq!(train(run).eval.tasks["price"].path, "/data/data/tasks/price.yaml");
    }
    let prepares = expansion.runs.iter().filter(|run| run.kind == RunKind::Prepare);
    assert_eq!(prepares.count(), 2, "the base's prepared text serves all");
}

#[test]
fn own_text_varies_each_axis_alone_in_two_seeds() {
    let expansion = expansion(OWN_TEXT);
    // The base, two rates, three shares and one schedule, in two seeds each.
    assert_eq!(points(&expansion).len(), 7 * 2);
    let mine = points(&expansion).into_iter().find(|run| run.label.contains("mix.mine 100%"));
    let mine = train(mine.unwrap());
    assert_eq!(mine.data.mixture["general"].to_string(), "0", "evaluated, not trained on");
    assert!(mine.data.sources.contains_key("general"));
}

#[test]
fn every_spec_of_the_examples_survives_json() {
    for text in [QUICKSTART, OWN_TEXT] {
        for run in expansion(text).runs {
            let json = serde_json::to_string(&run.spec).unwrap();
            assert_eq!(serde_json::from_str::<RunSpec>(&json).unwrap(), run.spec);
        }
    }
}
