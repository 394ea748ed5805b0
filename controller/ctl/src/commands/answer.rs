//! `ctl sweep get`: the answer of a sweep.
//!
//! Runs of the same point that differ in their seed alone are one arm: its metrics are their means.
//! Only runs that succeeded are ranked, never an unfinished one against a finished one; or, at equal
//! tokens, all that have come so far. Differences are to the baseline: the base as it is written in the
//! file.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use assay_api::quantity::tokens;
use assay_api::view::{Outcome, RunKind, RunRow, SweepView};
use clap::Args;

use super::Session;
use crate::print::{self, Format, Table};
use crate::words;

const SEED: &str = "train.seed";

/// A wider table does not fit a terminal; `-o json` has them all.
const METRICS_MAX: usize = 6;

const HELP: &str = "\
Metrics are the values at the end of a run, for example heldout/commerce/bits_per_byte (how
well the model compresses text of that source that it was not trained on: lower is better)
or task/aspects/acc (share of right answers: higher is better). Runs with the same point and
several seeds are one line, with their mean and standard deviation.

Examples:
  ctl sweep get lr-and-mix
  ctl sweep get lr-and-mix --by task/aspects/acc
  ctl sweep get lr-and-mix --by general          any part of a name that only one metric has
  ctl sweep get lr-and-mix --at equal            unfinished runs too, where all have come to
  ctl sweep get lr-and-mix --at 200k             after 200k tokens: runs that came so far
  ctl sweep get lr-and-mix --tag keep            only what `ctl run tag` tagged so
  ctl sweep get lr-and-mix -o json > runs.json";

/// The answer: finished runs, ranked by a metric, with their difference to the baseline.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// Name of the sweep; `ctl sweep ls` lists them.
    #[arg(value_name = "SWEEP")]
    name: String,

    /// Rank by this metric. Default: the first source's held-out bits per byte.
    #[arg(long, value_name = "METRIC")]
    by: Option<String>,

    /// Compare at the end (finished runs only), at the most tokens that every run has reached which
    /// did not end early (equal), or at a count of tokens (200k): the last score at or before it.
    #[arg(long, value_name = "end|equal|TOKENS", default_value = "end", value_parser = at)]
    at: At,

    /// Only runs with this tag, and the baseline, which they are compared with.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

/// Where runs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    End,
    /// After so many tokens; none: as many as all have reached.
    Tokens(Option<u64>),
}

fn at(text: &str) -> Result<At, String> {
    match text {
        "end" => Ok(At::End),
        "equal" => Ok(At::Tokens(None)),
        count => match tokens(count) {
            Some(tokens) => Ok(At::Tokens(Some(tokens))),
            None => Err(format!("expected end, equal or tokens such as 200k, found `{count}`")),
        },
    }
}

/// The scores of each run at equal tokens take the place of its latest ones. Those that have not come
/// so far lose theirs.
async fn equalize(
    session: &Session,
    view: &mut SweepView,
    asked: Option<u64>,
) -> anyhow::Result<u64> {
    let answer = session.client.equal_tokens(&view.summary.name, asked).await?;
    let Some(tokens) = answer.tokens else {
        anyhow::bail!(
            "no run has begun to train yet: `ctl sweep watch {}` looks on",
            view.summary.name
        )
    };
    let mut reached: HashMap<_, _> =
        answer.runs.into_iter().map(|row| (row.run_id, row.values)).collect();
    for run in &mut view.runs {
        let values = reached.remove(&run.run_id).unwrap_or_default();
        run.latest = values.into_iter().map(|(name, score)| (name, score.value)).collect();
    }
    Ok(tokens)
}

pub(crate) async fn get(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let mut view = session.client.sweep(&options.name).await?;
    if let Some(tag) = &options.tag {
        view.runs.retain(|run| run.is_baseline || run.tags.contains(tag));
    }
    let tokens = match options.at {
        At::End => None,
        At::Tokens(asked) => Some(equalize(session, &mut view, asked).await?),
    };
    if session.format != Format::Table {
        if let Some(tokens) = tokens {
            print::note(&format!("`latest` holds the scores after {tokens} tokens."));
        }
        print::view(session.format, &view, |_| String::new())?;
        return Ok(ExitCode::SUCCESS);
    }
    let metrics = metrics(&view);
    let by = match &options.by {
        Some(asked) => Some(find(&metrics, asked)?),
        None => metrics.first().map(String::as_str),
    };
    let is_ranked = if tokens.is_some() { has_scores } else { is_final };
    print::result(&show(&view, &metrics, by, is_ranked))?;
    if let Some(tokens) = tokens {
        print::note(&format!(
            "\nCompared after {tokens} tokens, by the last score at or before; runs that have not come so \
             far are not ranked."
        ));
    }
    if let Some(by) = by {
        let better = if is_lower_better(by) { "lower" } else { "higher" };
        let others: Vec<_> =
            metrics.iter().map(String::as_str).filter(|name| *name != by).collect();
        print::note(&format!(
            "\nRanked by {by} ({better} is better), in brackets the difference to the baseline. \
             --by ranks by another: {}",
            others.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What runs can be ranked by: held-out bits per byte of whole sources, then task scores.
fn metrics(view: &SweepView) -> Vec<String> {
    let mut names: Vec<_> = view
        .runs
        .iter()
        .flat_map(|run| run.latest.keys())
        .filter(|name| {
            (name.starts_with("heldout/") && name.ends_with("/bits_per_byte"))
                || name.starts_with("task/")
        })
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

fn find<'a>(metrics: &'a [String], asked: &str) -> anyhow::Result<&'a str> {
    if let Some(exact) = metrics.iter().find(|name| *name == asked) {
        return Ok(exact);
    }
    let fitting: Vec<_> = metrics.iter().filter(|name| name.contains(asked)).collect();
    match fitting[..] {
        [one] => Ok(one),
        _ if metrics.is_empty() => {
            anyhow::bail!("no run has a metric to rank by yet: wait for the first evaluation")
        }
        _ => anyhow::bail!(
            "--by {asked} fits {} metrics: name one of {}",
            fitting.len(),
            metrics.join(", ")
        ),
    }
}

/// Of errors and of losses less is better, of right answers more.
fn is_lower_better(metric: &str) -> bool {
    let last = metric.rsplit('/').next().unwrap_or(metric);
    ["bits_per_byte", "loss", "perplexity"].iter().any(|word| last.ends_with(word))
}

/// The finished runs of one point.
#[derive(Debug, Default)]
struct Arm<'a> {
    runs: Vec<&'a RunRow>,
}

impl Arm<'_> {
    fn is_baseline(&self) -> bool {
        self.runs.iter().any(|run| run.is_baseline)
    }

    fn values(&self, metric: &str) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.latest.get(metric).copied()).collect()
    }

    fn mean(&self, metric: &str) -> Option<f64> {
        mean(&self.values(metric))
    }

    fn label(&self) -> String {
        let label = self.runs.first().map_or("", |run| run.label.as_str());
        if self.runs.len() == 1 {
            return label.to_owned();
        }
        let parts: Vec<_> = label.split(" · ").filter(|part| !part.starts_with("seed ")).collect();
        parts.join(" · ")
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    let n = f64::from(u32::try_from(values.len()).ok()?);
    (n > 0.0).then(|| values.iter().sum::<f64>() / n)
}

/// Of a sample: divided by n - 1.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let n = f64::from(u32::try_from(values.len()).ok()?);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (n > 1.0).then(|| (squares / (n - 1.0)).sqrt())
}

/// Whether a run takes part in the ranking.
type IsRanked = fn(&RunRow) -> bool;

fn is_final(run: &RunRow) -> bool {
    run.outcome == Some(Outcome::Succeeded) && is_compared(run)
}

/// At equal tokens only runs that have come so far keep any.
fn has_scores(run: &RunRow) -> bool {
    !run.latest.is_empty() && is_compared(run)
}

fn is_compared(run: &RunRow) -> bool {
    matches!(run.kind, RunKind::Train | RunKind::Evaluate)
        && (run.is_baseline || !run.axes.is_empty())
        && run.excluded.is_none()
}

/// The arms, best first; what has no value or none that compares comes last.
fn ranked<'a>(runs: &'a [RunRow], by: Option<&str>, is_ranked: IsRanked) -> Vec<Arm<'a>> {
    let mut arms: BTreeMap<String, Arm<'a>> = BTreeMap::new();
    for run in runs.iter().filter(|run| is_ranked(run)) {
        let point: BTreeMap<_, _> = run.axes.iter().filter(|(path, _)| *path != SEED).collect();
        let point = serde_json::to_string(&point).expect("axis values are plain JSON");
        arms.entry(point).or_default().runs.push(run);
    }
    let mut arms: Vec<_> = arms.into_values().collect();
    let key = |arm: &Arm<'_>| {
        let value = by.and_then(|by| Some((arm.mean(by)?, is_lower_better(by))));
        match value {
            Some((mean, _)) if mean.is_nan() => f64::INFINITY,
            Some((mean, true)) => mean,
            Some((mean, false)) => -mean,
            None => f64::INFINITY,
        }
    };
    arms.sort_by(|one, other| {
        key(one).total_cmp(&key(other)).then(one.runs[0].number.cmp(&other.runs[0].number))
    });
    arms
}

fn show(view: &SweepView, metrics: &[String], by: Option<&str>, is_ranked: IsRanked) -> String {
    let summary = &view.summary;
    let mut text = format!(
        "{}: {}, {}\n",
        summary.name,
        words::sweep_state(summary.state),
        words::counts(&summary.counts)
    );
    text.push_str(&words::limits(summary));
    for axis in &view.axes {
        text.push_str(&format!("  {}: {}\n", axis.label, words::values(&axis.values)));
    }
    let arms = ranked(&view.runs, by, is_ranked);
    if !arms.is_empty() {
        text.push_str(&format!("\n{}", arms_table(&arms, metrics, by)));
    }
    let others: Vec<_> = view.runs.iter().filter(|run| !is_ranked(run)).collect();
    if !others.is_empty() {
        let mut table = Table::new(&[">run", "kind", "point", "state", ">step", ""]);
        for run in others {
            table.row([
                run.number.to_string(),
                words::kind(run.kind).to_owned(),
                words::label(run),
                words::standing(run),
                words::progress(run),
                words::why(run).to_owned(),
            ]);
        }
        text.push_str(&format!("\n{}", table.text()));
    }
    text + &footnotes(&view.runs)
}

/// Why runs were left out, and who said so.
fn footnotes(runs: &[RunRow]) -> String {
    let excluded = runs.iter().filter_map(|run| Some((run, run.excluded.as_ref()?)));
    let lines: Vec<_> = excluded
        .map(|(run, why)| format!("  {} {}: {}", run.number, run.label, words::exclusion(why)))
        .collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!("\nexcluded from the ranking:\n{}\n", lines.join("\n")),
    }
}

fn arms_table(arms: &[Arm<'_>], metrics: &[String], by: Option<&str>) -> String {
    // The metric that ranks comes first.
    let first = metrics.iter().filter(|name| Some(name.as_str()) == by);
    let rest = metrics.iter().filter(|name| Some(name.as_str()) != by);
    let shown: Vec<&String> = first.chain(rest).take(METRICS_MAX).collect();
    let heads: Vec<_> = shown.iter().map(|name| format!(">{}", short(name))).collect();
    let mut columns = vec![">rank", ">run", "point"];
    columns.extend(heads.iter().map(String::as_str));
    let mut table = Table::new(&columns);
    let baseline = arms.iter().find(|arm| arm.is_baseline());
    for (rank, arm) in arms.iter().enumerate() {
        let numbers: Vec<_> = arm.runs.iter().map(|run| run.number.to_string()).collect();
        let mark = if arm.is_baseline() { " (baseline)" } else { "" };
        let mut cells = vec![(rank + 1).to_string(), numbers.join(","), arm.label() + mark];
        cells.extend(shown.iter().map(|metric| cell(arm, baseline, metric)));
        table.row(cells);
    }
    table.text()
}

/// `1.9340±0.0021 (-0.1203)`.
fn cell(arm: &Arm<'_>, baseline: Option<&Arm<'_>>, metric: &str) -> String {
    let values = arm.values(metric);
    let Some(value) = mean(&values) else { return "-".to_owned() };
    let spread = deviation(&values).map_or_else(String::new, |d| format!("±{d:.4}"));
    let base = baseline.filter(|_| !arm.is_baseline()).and_then(|arm| arm.mean(metric));
    let difference = base.map_or_else(String::new, |base| format!(" ({:+.4})", value - base));
    format!("{}{spread}{difference}", words::number(value))
}

/// `heldout/commerce/bits_per_byte` is a column of 30 characters: `commerce bits/byte`.
fn short(metric: &str) -> String {
    let name = metric.split_once('/').map_or(metric, |(_, name)| name);
    name.replace("bits_per_byte", "bits/byte").replacen('/', " ", 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture;
    use super::*;

    const LOSS: &str = "heldout/commerce/bits_per_byte";
    const SCORE: &str = "task/aspects/acc";

    fn run(number: u32, lr: &str, seed: u32, outcome: Option<&str>, values: [f64; 2]) -> RunRow {
        let ended = json!({
            "label": format!("lr {lr} · seed {seed}"),
            "state": if outcome.is_some() { "done" } else { "leased" },
            "outcome": outcome,
            "axes": {"train.lr.peak": lr, "train.seed": seed},
            "is_baseline": lr == "1e-3" && seed == 1,
            "latest": {LOSS: values[0], SCORE: values[1]},
        });
        fixture::run(number, ended)
    }

    fn sweep() -> Vec<RunRow> {
        vec![
            run(1, "1e-3", 1, Some("succeeded"), [2.0, 0.50]),
            run(2, "3e-3", 1, Some("succeeded"), [1.5, 0.25]),
            run(3, "1e-3", 2, Some("succeeded"), [2.2, 0.60]),
            run(4, "3e-3", 2, Some("succeeded"), [1.7, 0.35]),
            run(5, "1e-2", 1, Some("diverged"), [0.1, 0.9]),
            run(6, "1e-2", 2, None, [0.1, 0.9]),
        ]
    }

    fn labels(by: &str) -> Vec<String> {
        ranked(&sweep(), Some(by), is_final).iter().map(Arm::label).collect()
    }

    #[test]
    fn arms_are_ranked_by_what_is_better_and_only_finished_ones() {
        assert_eq!(labels(LOSS), ["lr 3e-3", "lr 1e-3"]);
        assert_eq!(labels(SCORE), ["lr 1e-3", "lr 3e-3"]);
    }

    #[test]
    fn at_equal_tokens_unfinished_runs_are_ranked_and_those_without_scores_are_not() {
        let mut runs = sweep();
        runs[0].latest.clear();
        let arms = ranked(&runs, Some(LOSS), has_scores);
        let numbers: Vec<Vec<u32>> =
            arms.iter().map(|arm| arm.runs.iter().map(|run| run.number).collect()).collect();
        assert_eq!(numbers, [vec![5, 6], vec![2, 4], vec![3]]);
    }

    #[test]
    fn runs_are_compared_at_the_end_or_at_a_count_of_tokens() {
        assert_eq!(at("end"), Ok(At::End));
        assert_eq!(at("equal"), Ok(At::Tokens(None)));
        assert_eq!(at("1.5M"), Ok(At::Tokens(Some(1_500_000))));
        for wrong in ["", "start", "-1", "0", "20%"] {
            assert!(at(wrong).unwrap_err().contains("such as 200k"), "{wrong}");
        }
    }

    #[test]
    fn an_excluded_run_is_in_no_arm_and_has_a_footnote() {
        let mut runs = sweep();
        let because = json!({"because": "the disk was failing", "author": "anna",
            "at": "2026-11-25T01:02:03Z"});
        runs[0].excluded = serde_json::from_value(because).unwrap();
        let arms = ranked(&runs, Some(LOSS), is_final);
        let numbers: Vec<Vec<u32>> =
            arms.iter().map(|arm| arm.runs.iter().map(|run| run.number).collect()).collect();
        assert_eq!(numbers, [vec![2, 4], vec![3]]);
        assert_eq!(
            cell(&arms[0], arms.iter().find(|arm| arm.is_baseline()), LOSS),
            "1.6000±0.1414"
        );
        assert_eq!(
            footnotes(&runs),
            "\nexcluded from the ranking:\n  1 lr 1e-3 · seed 1: the disk was failing (anna, 2026-11-25)\n"
        );
        assert_eq!(footnotes(&sweep()), "");
    }

    #[test]
    fn seeds_are_one_arm_with_mean_deviation_and_difference_to_the_baseline() {
        let runs = sweep();
        let arms = ranked(&runs, Some(LOSS), is_final);
        let baseline = arms.iter().find(|arm| arm.is_baseline());
        // Means 1.6 and 2.1; both spread by 0.1 around them, over n - 1 = 1: sqrt(0.02).
        assert_eq!(cell(&arms[0], baseline, LOSS), "1.6000±0.1414 (-0.5000)");
        assert_eq!(cell(&arms[1], baseline, LOSS), "2.1000±0.1414");
        assert_eq!(cell(&arms[0], baseline, "task/none/acc"), "-");
    }

    #[test]
    fn a_metric_is_found_by_any_part_that_only_it_has() {
        let metrics =
            [LOSS.to_owned(), SCORE.to_owned(), "heldout/general/bits_per_byte".to_owned()];
        assert_eq!(find(&metrics, "aspects").unwrap(), SCORE);
        assert_eq!(find(&metrics, LOSS).unwrap(), LOSS);
        let error = find(&metrics, "heldout").unwrap_err().to_string();
        assert!(error.contains("fits 2 metrics") && error.contains(LOSS), "{error}");
    }
}
