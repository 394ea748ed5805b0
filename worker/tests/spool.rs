//! The spool's file, damaged at random: what was whole before the damage is kept, nothing is made up, and
//! the worker goes on from there.

#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::fs;
use std::path::Path;

use assay_api::worker::{LogLevel, LogLine, MetricBatch, Report};
use assay_worker::spool::{Spool, SpoolError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const HEADER: usize = 8;

/// What can happen to a file.
#[derive(Clone, Debug)]
enum Damage {
    /// A write that was not finished.
    Cut(Index),
    Flip(Index, u8),
    /// A block of something else.
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    /// A file that had grown, and was not written yet.
    Zeros(usize),
    /// A frame stands there once more, behind itself.
    Double(Index),
    /// A frame is gone.
    Lose(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    prop_oneof![
        index().prop_map(Damage::Cut),
        (index(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (index(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        (index(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (1..100_usize).prop_map(Damage::Zeros),
        index().prop_map(Damage::Double),
        index().prop_map(Damage::Lose),
    ]
}

/// Where each whole frame begins, and the end.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let (mut bounds, mut at) = (vec![0], 0);
    while let Some(head) = bytes.get(at..at + 4) {
        at += HEADER + u32::from_le_bytes(head.try_into().unwrap()) as usize;
        bounds.push(at);
    }
    bounds
}

impl Damage {
    /// The file afterwards, and how many of its first bytes are as they were.
    fn of(&self, whole: &[u8]) -> (Vec<u8>, usize) {
        let bounds = bounds(whole);
        let frame = |index: &Index| {
            let at = index.index(bounds.len() - 1);
            (bounds[at], bounds[at + 1])
        };
        let mut bytes = whole.to_vec();
        let kept = match self {
            Self::Cut(at) => {
                bytes.truncate(at.index(whole.len()));
                bytes.len()
            }
            Self::Flip(at, bit) => {
                let at = at.index(whole.len());
                bytes[at] ^= 1 << bit;
                at
            }
            Self::Overwrite(at, with) => {
                let at = at.index(whole.len());
                for (old, new) in bytes[at..].iter_mut().zip(with) {
                    *old = *new;
                }
                at
            }
            Self::Insert(at, with) => {
                let at = at.index(whole.len());
                bytes.splice(at..at, with.iter().copied());
                at
            }
            Self::Zeros(count) => {
                bytes.extend(vec![0; *count]);
                whole.len()
            }
            Self::Double(index) => {
                let (begin, end) = frame(index);
                bytes.splice(end..end, whole[begin..end].iter().copied());
                end
            }
            Self::Lose(index) => {
                let (begin, end) = frame(index);
                bytes.drain(begin..end);
                begin
            }
        };
        (bytes, kept)
    }
}

fn report() -> impl Strategy<Value = Report> {
    let value = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY)];
    (".{0,20}", vec(value, 0..3)).prop_map(|(text, values)| {
        let steps = (1..).take(values.len()).collect();
        let times = vec![0; values.len()];
        let metrics = vec![MetricBatch { name: "train/loss".to_owned(), steps, values, times }];
        Report {
            logs: vec![LogLine { time: 1, level: LogLevel::Info, text }],
            metrics,
            ..Report::default()
        }
    })
}

/// Reports as text: NaN is equal to itself there.
fn texts(spool: &Spool) -> Vec<String> {
    let reports = spool.oldest(usize::MAX).unwrap();
    reports.iter().map(|report| serde_json::to_string(report).unwrap()).collect()
}

fn write(path: &Path, reports: &[Report]) -> (Vec<u8>, Vec<String>) {
    let mut spool = Spool::open(path).unwrap();
    for report in reports {
        spool.append(report.clone()).unwrap();
    }
    (fs::read(path).unwrap(), texts(&spool))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn what_was_whole_before_the_damage_is_kept_and_nothing_else_is_read(
        reports in vec(report(), 1..6),
        damage in damage(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.spool");
        let (whole, expected) = write(&path, &reports);
        let (bytes, kept) = damage.of(&whole);
        fs::write(&path, &bytes).unwrap();

        let mut spool = Spool::open(&path).unwrap();
        let found = texts(&spool);
        let untouched = bounds(&whole).iter().filter(|end| **end <= kept).count() - 1;
        prop_assert!(untouched <= found.len(), "{damage:?} lost some of {expected:?}: {found:?}");
        // a block of reports may begin later, but has no gap and nothing twice
        let first = expected.iter().position(|report| Some(report) == found.first()).unwrap_or(0);
        let rest = expected.get(first..first + found.len());
        prop_assert_eq!(Some(&found[..]), rest, "{:?}", damage);

        // the next report is kept as well, whatever lies behind it
        let next = spool.append(Report::default()).unwrap();
        let again = Spool::open(&path).unwrap();
        prop_assert_eq!(&texts(&again)[..found.len()], &found[..]);
        prop_assert_eq!(again.len(), found.len() + 1);
        prop_assert_eq!(again.oldest(usize::MAX).unwrap().last().unwrap().seq, next);
    }

    #[test]
    fn any_bytes_are_no_spool_or_one_without_reports(bytes in vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reports.spool");
        fs::write(&path, &bytes).unwrap();
        prop_assert!(Spool::open(&path).unwrap().is_empty());
    }
}

/// What has the right checksum was written whole: by something else.
#[test]
fn what_was_written_by_something_else_is_an_error_that_names_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.spool");
    let (whole, _) = write(&path, &[Report::default()]);
    let number = serde_json::to_string(&Report { seq: u64::MAX, ..Report::default() }).unwrap();
    for (body, problem) in [
        ("", None),
        ("{}", Some("missing field `seq`")),
        ("[]", Some("")),
        ("{\"seq\": -1}", Some("-1")),
        (number.as_str(), Some("over the limit of 9007199254740992")),
    ] {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(body.as_bytes()).to_le_bytes());
        bytes.extend_from_slice(body.as_bytes());
        fs::write(&path, bytes).unwrap();
        match (Spool::open(&path), problem) {
            (Ok(spool), None) => assert_eq!(spool.len(), 1),
            (Err(error @ SpoolError::Report { .. }), Some(problem)) => {
                let text = error.to_string();
                assert!(text.contains(problem), "{text}");
                assert!(text.contains(&format!("at byte {}", whole.len())), "{text}");
            }
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}
