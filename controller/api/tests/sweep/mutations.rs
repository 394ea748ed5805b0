//! Good files, broken at random: always a plan, or errors that each lie within the text. Nothing here
//! may panic, and what is read takes no longer than its limits allow.

use assay_api::sweep::{limits, parse};
use assay_api::view::FileError;
use assay_api::{expand, sweep};
use proptest::collection::vec;
use proptest::prelude::*;

use super::context;

const GOOD: [&str; 3] = [
    include_str!("../../../../examples/quickstart.yaml"),
    include_str!("../../../../examples/own-text.yaml"),
    include_str!("../../../../examples/nightly.yaml"),
];

/// What people and programs leave in files by mistake, and what has broken parsers before.
const PIECES: [&str; 40] = [
    "\0",
    "\r",
    "\t",
    "\u{feff}",
    "\u{2028}",
    "ü",
    "\u{1f600}",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "? ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "%YAML 1.3\n",
    "---\n",
    "...\n",
    "null",
    "~",
    "-1",
    "0",
    "1e999",
    ".nan",
    "-.inf",
    "9007199254740993",
    "18446744073709551616",
    "0.0000001%",
    "1 step",
    "1T",
    "true",
    "..",
];

/// One slip: at a place (in thousandths of the text), for so many characters, something else.
type Slip = (usize, usize, String);

fn slips() -> impl Strategy<Value = Vec<Slip>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => "[ -~\n]{0,6}",
        1 => Just(String::new()),
    ];
    vec((0_usize..1000, 0_usize..12, piece), 1..5)
}

fn broken(good: &str, slips: &[Slip]) -> String {
    let mut text: Vec<char> = good.chars().collect();
    for (place, len, piece) in slips {
        let at = place * text.len() / 1000;
        let end = (at + len).min(text.len());
        text.splice(at..end, piece.chars());
    }
    text.into_iter().collect()
}

fn read(text: &str) -> Result<usize, Vec<FileError>> {
    let sweep = parse(text)?;
    Ok(expand::expand(&sweep, &context())?.runs.len())
}

/// Every error says something, at a place that the text has.
fn check(text: &str) {
    let Err(errors) = read(text) else { return };
    assert!(!errors.is_empty(), "refused without a reason:\n{text}");
    let ends = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = ends.lines().collect();
    for FileError { line, column, text: shown, message, .. } in &errors {
        assert!(!message.is_empty());
        if *line == 0 {
            continue;
        }
        let line = *lines.get(*line as usize - 1).expect("a line of the text");
        let length = line.chars().count();
        assert!((1..=length + 1).contains(&(*column as usize)), "column {column} of `{line}`");
        assert!(shown.is_empty() || shown == line, "`{shown}` is not `{line}`");
    }
    assert!(!sweep::report(&errors, "file").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_broken_file_is_a_plan_or_errors_within_its_text(which in 0_usize..2, slips in slips()) {
        check(&broken(GOOD[which], &slips));
    }

    #[test]
    fn a_file_cut_anywhere_is_a_plan_or_errors_within_its_text(which in 0_usize..2, at in 0_usize..1000) {
        let chars: Vec<char> = GOOD[which].chars().collect();
        check(&chars[..at * chars.len() / 1000].iter().collect::<String>());
    }
}

/// Everything that a small text could make large: the limit is met before the work is done.
#[test]
fn what_would_take_long_is_refused_at_once() {
    let head = "assay: v1\nsweep: s\nbase:\n  model: {preset: llama-1m}\n  data: {sources: {a: {path: a.txt}}}\n";
    let train = "  train: {tokens: 1T, context: 2, batch: 2, lr: {peak: 1e-3}}\n";
    let many =
        |n: usize, each: &dyn Fn(usize) -> String| (0..n).map(each).collect::<Vec<_>>().join(", ");
    let alias = (0..20).map(|i| {
        format!(
            "a{i}: &a{i} [{}]\n",
            many(9, &|_| match i {
                0 => "x".to_owned(),
                _ => format!("*a{}", i - 1),
            })
        )
    });
    let texts = [
        format!("{head}{train}  eval: {{heldout_every: 1 step}}\n"),
        format!("{head}{train}axes: {{lr: [{}]}}\n", many(40_000, &|i| (i + 1).to_string())),
        format!(
            "{head}{train}axes: {{seed: [{}], lr: [{}]}}\n",
            many(100, &|i| i.to_string()),
            many(100, &|i| (i + 1).to_string())
        )
        .replace(
            "{path: a.txt}",
            &format!("{{path: a.txt, slices: [{}]}}", many(2_000, &|i| format!("s{i}"))),
        ),
        format!("{head}{train}exclude: [{}]\n", many(20_000, &|_| "{lr: 1}".to_owned())),
        format!("{{{}}}", many(40_000, &|i| format!("k{i}: 1"))),
        format!("{{{}}}", many(40_000, &|_| "k: 1".to_owned())),
        format!("a: {}", "x".repeat(900_000)),
        format!("{}: 1", "x".repeat(1_000)),
        format!(
            "{head}{train}first: {{{}}}\n",
            many(5_000, &|i| format!("f{i}: {{model: {{run: f{}}}}}", i + 1))
        ),
        alias.collect(),
        "[".repeat(900_000),
        "- ".repeat(400_000),
        "? ".repeat(400_000),
        "{a: ".repeat(200_000),
        "x".repeat(limits::TEXT_MAX_BYTES + 1),
    ];
    for text in &texts {
        let errors = read(text).expect_err("each is over a limit, or no sweep");
        let size: usize = errors.iter().map(|error| error.text.len() + error.message.len()).sum();
        assert!(size < 1 << 20, "{size} bytes of errors");
        check(text);
    }
}
