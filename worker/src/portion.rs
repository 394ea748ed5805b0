//! What the trainer says, made to fit into messages: a report that is too large becomes several, a
//! text that is too long is cut, so that no run fails for what it measured or printed.

use assay_api::worker::limits::{
    BATCHES_MAX, CHECKPOINTS_MAX, EVALUATIONS_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX,
    NAME_BYTES_MAX, POINTS_MAX, REASON_BYTES_MAX,
};
use assay_api::worker::{Finish, MetricBatch, Report};
use sha2::{Digest, Sha256};

/// Stands where a text was cut.
const CUT: &str = " … (cut)";
/// Hexadecimal digits that tell names apart which begin alike.
const DIGITS: usize = 8;

/// The report in as few parts as the limits allow, in order; its progress comes with the last.
#[must_use]
pub fn portions(report: Report) -> Vec<Report> {
    let Report { seq: _, progress, metrics, logs, checkpoints, evaluations } = report;
    let mut parts = vec![Report::default()];
    divide(metrics, &mut parts);
    for (index, line) in logs.into_iter().enumerate() {
        let text = text(&line.text, LOG_LINE_BYTES_MAX);
        at(&mut parts, index / LOG_LINES_MAX)
            .logs
            .push(assay_api::worker::LogLine { text, ..line });
    }
    for (index, saved) in checkpoints.into_iter().enumerate() {
        at(&mut parts, index / CHECKPOINTS_MAX).checkpoints.push(saved);
    }
    for (index, score) in evaluations.into_iter().enumerate() {
        at(&mut parts, index / EVALUATIONS_MAX).evaluations.push(score);
    }
    let last = parts.len() - 1;
    parts[last].progress = progress;
    parts
}

fn at(parts: &mut Vec<Report>, index: usize) -> &mut Report {
    if parts.len() <= index {
        parts.resize_with(index + 1, Report::default);
    }
    &mut parts[index]
}

fn divide(metrics: Vec<MetricBatch>, parts: &mut Vec<Report>) {
    let (mut index, mut room) = (0, POINTS_MAX);
    for mut batch in metrics {
        loop {
            if room == 0 || at(parts, index).metrics.len() == BATCHES_MAX {
                (index, room) = (index + 1, POINTS_MAX);
            }
            let n = batch.steps.len().min(room);
            let rest = MetricBatch {
                name: batch.name.clone(),
                steps: batch.steps.split_off(n),
                values: batch.values.split_off(n),
                times: batch.times.split_off(n),
            };
            at(parts, index).metrics.push(batch);
            room -= n;
            if rest.steps.is_empty() {
                break;
            }
            batch = rest;
        }
    }
}

/// A name within the limit: one that is cut ends in digits of its hash, so that two stay two.
#[must_use]
pub fn name(whole: &str) -> String {
    let clean = whole.replace('\0', "\u{fffd}");
    if clean.len() <= NAME_BYTES_MAX {
        return clean;
    }
    let digest = Sha256::digest(whole);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = clean.floor_char_boundary(NAME_BYTES_MAX - DIGITS - 1);
    format!("{}~{}", &clean[..kept], &digits[..DIGITS])
}

/// A text within a limit, marked where it was cut.
#[must_use]
pub fn text(whole: &str, bytes: usize) -> String {
    let clean = whole.replace('\0', "\u{fffd}");
    if clean.len() <= bytes {
        return clean;
    }
    format!("{}{CUT}", &clean[..clean.floor_char_boundary(bytes - CUT.len())])
}

/// The end as it can be recorded.
#[must_use]
pub fn finish(finish: Finish) -> Finish {
    let said = |words: String| match text(&words, REASON_BYTES_MAX) {
        empty if empty.is_empty() => "no reason was given".to_owned(),
        said => said,
    };
    match finish {
        Finish::Diverged { step, reason } => Finish::Diverged { step, reason: said(reason) },
        Finish::Error { step, message, is_final } => {
            Finish::Error { step, message: said(message), is_final }
        }
        whole @ (Finish::Succeeded { .. } | Finish::Preempted { .. }) => whole,
    }
}

#[cfg(test)]
mod tests {
    use assay_api::worker::{Evaluation, LogLevel, LogLine, Progress};

    use super::*;

    fn batch(name: &str, n: u64) -> MetricBatch {
        MetricBatch {
            name: name.to_owned(),
            steps: (0..n).collect(),
            values: vec![1.0; usize::try_from(n).unwrap()],
            times: vec![1; usize::try_from(n).unwrap()],
        }
    }

    #[test]
    fn a_report_over_every_limit_becomes_parts_that_hold_all_of_it() {
        let line = |text: &str| LogLine { time: 1, level: LogLevel::Info, text: text.to_owned() };
        let score = |step| Evaluation {
            step,
            task: "t".to_owned(),
            metric: "acc".to_owned(),
            value: 0.5,
            stderr: None,
            n: 1,
        };
        let small = (0..1_500).map(|i| batch(&format!("small/{i}"), 3));
        let report = Report {
            seq: 0,
            progress: Some(Progress { step: 9, steps: 9, tokens: 9, phase: "training".to_owned() }),
            metrics: std::iter::once(batch("large", 250_001)).chain(small).collect(),
            logs: (0..2_500).map(|_| line(&"ü\0".repeat(5_000))).collect(),
            checkpoints: Vec::new(),
            evaluations: (0..1_001).map(score).collect(),
        };
        let parts = portions(report.clone());
        let progress: Vec<bool> = parts.iter().map(|part| part.progress.is_some()).collect();
        assert_eq!(progress.iter().filter(|is_told| **is_told).count(), 1);
        assert_eq!(progress.last(), Some(&true));
        for (seq, part) in (1..).zip(&parts) {
            Report { seq, ..part.clone() }.check().unwrap();
        }
        let points = |name: &str| -> Vec<u64> {
            let batches = parts.iter().flat_map(|part| &part.metrics);
            batches
                .filter(|batch| batch.name == name)
                .flat_map(|batch| batch.steps.clone())
                .collect()
        };
        assert_eq!(points("large"), report.metrics[0].steps);
        assert!((0..1_500).all(|i| points(&format!("small/{i}")) == [0, 1, 2]));
        assert_eq!(parts.iter().map(|part| part.logs.len()).sum::<usize>(), 2_500);
        assert!(parts[0].logs[0].text.ends_with(CUT));
        assert_eq!(parts.iter().flat_map(|part| &part.evaluations).count(), 1_001);
    }

    #[test]
    fn names_that_begin_alike_stay_two_when_they_are_cut() {
        let (one, two) =
            (name(&format!("{}1", "ü".repeat(300))), name(&format!("{}2", "ü".repeat(300))));
        assert_ne!(one, two);
        assert!(one.len() <= NAME_BYTES_MAX && two.len() <= NAME_BYTES_MAX);
        assert_eq!(name("train/loss"), "train/loss");
        assert_eq!(name("a\0b"), "a\u{fffd}b");
    }

    #[test]
    fn an_end_says_something_however_long_its_reason_is() {
        for message in [String::new(), "x".repeat(1 << 20), "\0".to_owned()] {
            finish(Finish::Error { step: 0, message, is_final: true }).check().unwrap();
        }
    }
}
