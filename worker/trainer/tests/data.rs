//! From a file to sequences: what is prepared, what is held out, what a run sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use assay_api::spec::{Heldout, PrepareSpec, Source, Tokenizer};
use assay_trainer::data::{
    DataError, Dataset, END_OF_DOCUMENT, HeldoutSequence, IGNORED, Prepared, decode, prepare,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn spec(path: &Path, share: f64) -> PrepareSpec {
    PrepareSpec {
        source: "notes".to_owned(),
        tokenizer: Tokenizer::Bytes,
        files: Source {
            path: path.to_string_lossy().into_owned(),
            field: "text".to_owned(),
            group_by: None,
            slices: Vec::new(),
        },
        heldout: Heldout { share, tokens: 1000 },
    }
}

fn run(spec: &PrepareSpec, folder: &Path) -> Result<Prepared, DataError> {
    prepare(spec, folder, &mut |_| ControlFlow::Continue(()))
}

/// A folder with one file in it.
fn with_file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file in it");
    (folder, path)
}

/// Documents `document 0`, `document 1`, …, three to a group, in two languages.
fn documents(n: u64) -> String {
    let line = |i: u64| {
        let (group, language) = (i / 3, if i.is_multiple_of(2) { "en" } else { "de" });
        format!(r#"{{"text": "document {i}", "group": {group}, "language": "{language}"}}"#) + "\n"
    };
    (0..n).map(line).collect()
}

/// The documents of the training side, read back through a mixture of windows of one token.
fn training_documents(dataset: &Dataset) -> BTreeSet<String> {
    let datasets = BTreeMap::from([("notes".to_owned(), dataset)]);
    let shares = BTreeMap::from([("notes".to_owned(), 1.0)]);
    let length = u32::try_from(dataset.tokens_train()).expect("a short stream");
    let mixture =
        assay_trainer::data::Mixture::new(&datasets, &shares, 1, length).expect("one window");
    let stream = mixture.sequence(0).targets;
    let documents = stream.split(|token| *token == END_OF_DOCUMENT);
    let texts = documents.map(|tokens| decode(Tokenizer::Bytes, tokens));
    texts.filter(|text| !text.is_empty()).collect()
}

/// The text that each held-out document is scored on.
fn heldout_documents(sequences: &[HeldoutSequence]) -> BTreeMap<u64, String> {
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    for it in sequences {
        let scored = it.sequence.targets.iter().copied().filter(|target| *target != IGNORED);
        let scored: Vec<u32> = scored.collect();
        texts.entry(it.document).or_default().push_str(&decode(Tokenizer::Bytes, &scored));
    }
    texts
}

fn message(result: Result<Prepared, DataError>) -> String {
    let error = result.expect_err("bad input");
    assert!(error.is_final(), "{error}");
    error.to_string()
}

#[test]
fn the_training_stream_is_the_documents_each_followed_by_its_end() {
    let (folder, path) = with_file("notes.txt", "One.\nStill one.\n\n\n  \nZwölf.\r\n\n");
    let out = folder.path().join("dataset");
    let prepared = run(&spec(&path, 0.0), &out).unwrap();
    // `One.` 4, line break 1, `Still one.` 10; `Zwölf.` 7 bytes; two ends.
    assert_eq!((prepared.documents, prepared.bytes, prepared.tokens), (2, 22, 24));

    let dataset = Dataset::open(&out).unwrap();
    let datasets = BTreeMap::from([("notes".to_owned(), &dataset)]);
    let shares = BTreeMap::from([("notes".to_owned(), 1.0)]);
    let mixture = assay_trainer::data::Mixture::new(&datasets, &shares, 7, 24).unwrap();
    let sequence = mixture.sequence(0);
    let expected: Vec<u32> = "One.\nStill one.\0Zwölf.\0"
        .bytes()
        .map(|byte| if byte == 0 { END_OF_DOCUMENT } else { byte.into() })
        .collect();
    assert_eq!(sequence.targets, expected);
    assert_eq!(sequence.inputs[0], END_OF_DOCUMENT);
    assert_eq!(sequence.inputs[1..], expected[..23]);
    // The end of the first document, as an input, opens the second.
    assert_eq!(sequence.inputs[16], END_OF_DOCUMENT);
    let borders: Vec<u32> = [vec![0; 16], vec![1; 8]].concat();
    assert_eq!(sequence.documents, borders);
}

#[test]
fn a_document_is_held_out_by_its_hash_whatever_stands_around_it() {
    let (folder, path) = with_file("notes.jsonl", documents(600));
    let out = folder.path().join("dataset");
    let prepared = run(&spec(&path, 0.2), &out).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    assert_eq!(dataset.documents_train() + dataset.documents_heldout(), 600);
    // The rule, worked out here: the first 8 bytes of the text's SHA-256 below share * 2^64.
    let line = 0.2 * 2_f64.powi(64);
    let is_held_out = |text: &str| {
        let digest = Sha256::digest(text);
        (u64::from_be_bytes(digest[..8].try_into().unwrap()) as f64) < line
    };
    let texts: BTreeSet<String> = (0..600).map(|i| format!("document {i}")).collect();
    let (held, trained): (BTreeSet<String>, BTreeSet<String>) =
        texts.into_iter().partition(|text| is_held_out(text));
    assert_eq!(prepared.documents_heldout, held.len() as u64);
    assert_eq!(training_documents(&dataset), trained);
    let scored = heldout_documents(&dataset.heldout(64, 1_000_000).unwrap());
    assert_eq!(scored.into_values().collect::<BTreeSet<_>>(), held);
}

#[test]
fn documents_of_one_group_stay_on_one_side() {
    let (folder, path) = with_file("notes.jsonl", documents(600));
    let mut spec = spec(&path, 0.3);
    spec.files.group_by = Some("group".to_owned());
    let out = folder.path().join("dataset");
    run(&spec, &out).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    let group = |text: &String| {
        text.rsplit(' ').next().expect("a word").parse::<u64>().expect("a document's number") / 3
    };
    let trained: BTreeSet<u64> = training_documents(&dataset).iter().map(group).collect();
    let scored = heldout_documents(&dataset.heldout(64, 1_000_000).unwrap());
    let held: BTreeSet<u64> = scored.values().map(group).collect();
    assert!(trained.is_disjoint(&held));
    assert_eq!(trained.len() + held.len(), 200);
    // 200 groups at 0.3: 60 expected, standard deviation 6.5.
    assert!((40..80).contains(&held.len()), "{} groups held out", held.len());
}

#[test]
fn a_small_source_still_gets_one_document_on_each_side() {
    for share in [1e-9, 0.5] {
        for n in 2..12 {
            let (folder, path) = with_file("notes.jsonl", documents(n));
            let prepared = run(&spec(&path, share), &folder.path().join("dataset")).unwrap();
            assert_eq!(prepared.documents, n);
            assert!((1..n).contains(&prepared.documents_heldout), "{n} documents, {share}");
        }
    }
}

#[test]
fn what_cannot_be_split_is_refused() {
    let (folder, path) = with_file("notes.jsonl", "{\"text\": \"a\"}\n{\"text\": \"a\"}\n");
    let error = message(run(&spec(&path, 0.1), &folder.path().join("dataset")));
    assert!(error.contains("all documents are the same"), "{error}");
    run(&spec(&path, 0.0), &folder.path().join("dataset")).unwrap();
}

#[test]
fn the_fingerprint_is_of_the_content_alone() {
    let (first, path) = with_file("notes.jsonl", documents(50));
    let (second, copy) = with_file("copy.jsonl", documents(50));
    let (third, other) = with_file("notes.jsonl", documents(51));
    let one = run(&spec(&path, 0.1), &first.path().join("a")).unwrap();
    assert_eq!(run(&spec(&copy, 0.1), &second.path().join("b")).unwrap(), one);
    let changed = run(&spec(&other, 0.1), &third.path().join("a")).unwrap();
    assert_ne!(changed.fingerprint, one.fingerprint);
    let split = run(&spec(&path, 0.4), &first.path().join("c")).unwrap();
    assert_ne!(split.fingerprint, one.fingerprint);
    let mut sliced = spec(&path, 0.1);
    sliced.files.slices = vec!["language".to_owned()];
    let sliced = run(&sliced, &first.path().join("d")).unwrap();
    assert_ne!(sliced.fingerprint, one.fingerprint);
}

#[test]
fn preparing_again_changes_nothing_and_a_changed_file_is_a_version_beside() {
    let (folder, path) = with_file("notes.jsonl", documents(50));
    let out = folder.path().join("dataset");
    let first = run(&spec(&path, 0.1), &out).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    let listing = || {
        let entries = fs::read_dir(&out).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = (listing(), fs::metadata(out.join("manifest.json")).unwrap().modified().unwrap());
    assert_eq!(run(&spec(&path, 0.1), &out).unwrap(), first);
    let after = (listing(), fs::metadata(out.join("manifest.json")).unwrap().modified().unwrap());
    assert_eq!(before, after);

    fs::write(&path, documents(60)).unwrap();
    let second = run(&spec(&path, 0.1), &out).unwrap();
    assert_eq!(Dataset::open(&out).unwrap().fingerprint(), second.fingerprint);
    let pinned = Dataset::open_pinned(&out, &first.fingerprint).unwrap();
    assert_eq!(pinned.tokens_train(), dataset.tokens_train());
    dataset.verify_content().unwrap();

    let error = Dataset::open_pinned(&out, "0123456789abcdef0123").unwrap_err();
    assert!(matches!(error, DataError::Fingerprint { .. }) && error.is_final(), "{error}");
}

#[test]
fn a_stopped_or_abandoned_draft_leaves_no_dataset() {
    let (folder, path) = with_file("notes.jsonl", documents(5000));
    let out = folder.path().join("dataset");
    let stopped = prepare(&spec(&path, 0.1), &out, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(DataError::Stopped)));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    assert!(Dataset::open(&out).unwrap_err().to_string().contains("no manifest.json"));

    // What a killed process leaves: a draft whose lock nobody holds.
    fs::create_dir(out.join("writing-1-0")).unwrap();
    fs::write(out.join("writing-1-0/lock"), "").unwrap();
    fs::write(out.join("writing-1-0/train.tokens"), "half").unwrap();
    run(&spec(&path, 0.1), &out).unwrap();
    assert!(!out.join("writing-1-0").exists());
    Dataset::open(&out).unwrap();
}

#[test]
fn damage_is_seen() {
    let (folder, path) = with_file("notes.jsonl", documents(50));
    let out = folder.path().join("dataset");
    let prepared = run(&spec(&path, 0.1), &out).unwrap();
    let tokens = out.join(&prepared.fingerprint[..16]).join("train.tokens");
    let mut content = fs::read(&tokens).unwrap();
    content[4] ^= 1;
    fs::write(&tokens, &content).unwrap();
    let error = Dataset::open(&out).unwrap().verify_content().unwrap_err();
    assert!(error.to_string().contains("train.tokens has changed"), "{error}");
    fs::write(&tokens, &content[..content.len() - 2]).unwrap();
    let error = Dataset::open(&out).unwrap_err();
    assert!(error.to_string().contains("prepares it again"), "{error}");
}

#[test]
fn every_heldout_byte_is_scored_once_with_as_much_context_as_fits() {
    let text = "abcdefghij";
    let (folder, path) =
        with_file("notes.jsonl", format!("{{\"text\": \"{text}\"}}\n{{\"text\": \"a\"}}\n"));
    let out = folder.path().join("dataset");
    run(&spec(&path, 0.5), &out).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    let sequences = dataset.heldout(4, 1_000_000).unwrap();
    let held = heldout_documents(&sequences);
    assert_eq!(held.len(), 1);
    // SHA-256 begins with 72 for this text and with ca for the other: below and above one half.
    assert_eq!(held[&0], text);
    // Windows of 4: abcd, efgh, and ij with gh before it.
    let windows: Vec<(String, Vec<u32>)> = sequences
        .iter()
        .map(|it| (decode(Tokenizer::Bytes, &it.sequence.inputs), it.sequence.targets.clone()))
        .collect();
    let ids = |text: &str| text.bytes().map(u32::from).collect::<Vec<_>>();
    assert_eq!(windows[0], ("\nabc".to_owned(), ids("abcd")));
    assert_eq!(windows[1], ("defg".to_owned(), ids("efgh")));
    assert_eq!(windows[2], ("fghi".to_owned(), [vec![IGNORED; 2], ids("ij")].concat()));
    assert_eq!(sequences.iter().map(|it| it.bytes).collect::<Vec<_>>(), [4, 4, 2]);
}

#[test]
fn the_heldout_subset_depends_on_the_tokens_and_not_on_the_context() {
    let (folder, path) = with_file("notes.jsonl", documents(900));
    let mut spec = spec(&path, 0.3);
    spec.files.slices = vec!["language".to_owned()];
    let out = folder.path().join("dataset");
    run(&spec, &out).unwrap();
    let dataset = Dataset::open(&out).unwrap();
    let short = dataset.heldout(5, 400).unwrap();
    let long = dataset.heldout(512, 400).unwrap();
    assert_eq!(heldout_documents(&short), heldout_documents(&long));
    assert_eq!(short.iter().map(|it| it.bytes).sum::<u64>(), 400);
    assert_eq!(long.iter().map(|it| it.bytes).sum::<u64>(), 400);
    for it in &long {
        let text = &heldout_documents(&long)[&it.document];
        let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap_or(1);
        if text.len() == "document 000".len() {
            let language = if number.is_multiple_of(2) { "en" } else { "de" };
            assert_eq!(it.slices["language"], language, "{text}");
        }
    }
    let in_file_order = long.windows(2).all(|pair| pair[0].document < pair[1].document);
    assert!(!in_file_order, "a sorted file must not decide what is scored");
}

#[test]
fn no_document_is_the_whole_measurement() {
    let book = "x".repeat(10_000);
    let content = format!("{{\"text\": \"{book}\"}}\n") + &documents(400);
    let (folder, path) = with_file("notes.jsonl", content);
    let out = folder.path().join("dataset");
    run(&spec(&path, 0.5), &out).unwrap();
    let sequences = Dataset::open(&out).unwrap().heldout(64, 800).unwrap();
    assert!(heldout_documents(&sequences).values().all(|text| text.len() <= 100));
}

#[test]
fn bad_input_is_named_by_its_line() {
    let good = "{\"text\": \"a\", \"id\": 1}\n";
    for (content, expected) in [
        (format!("{good}{{\"text\": \"b\"\n"), "notes.jsonl:2: not valid JSON"),
        (format!("{good}\n[1]\n"), "notes.jsonl:3: a list where an object was expected"),
        (format!("{good}{{\"txt\": \"b\"}}\n"), "notes.jsonl:2: no field `text`"),
        (format!("{good}{{\"txt\": \"b\"}}\n"), "did you mean `txt`?"),
        (format!("{good}{{\"text\": 3}}\n"), "notes.jsonl:2: field `text` is a number"),
        (String::new(), "notes.jsonl: the file is empty"),
        ("{\"text\": \"\"}\n".to_owned(), "no document with text"),
    ] {
        let (folder, path) = with_file("notes.jsonl", content);
        let error = message(run(&spec(&path, 0.0), &folder.path().join("dataset")));
        assert!(error.contains(expected), "{error}");
    }
    let (folder, path) = with_file("notes.jsonl", b"{\"text\": \"a\"}\n{\"text\": \"\xff\"}\n");
    let error = message(run(&spec(&path, 0.0), &folder.path().join("dataset")));
    assert!(error.contains("notes.jsonl:2: not UTF-8 at byte 11"), "{error}");
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one() {
    let (folder, path) = with_file("general.jsonl", documents(3));
    let out = folder.path().join("dataset");
    let missing = path.with_file_name("genral.jsonl");
    let error = message(run(&spec(&missing, 0.0), &out));
    assert!(error.contains("no such file") && error.contains("general.jsonl"), "{error}");
    let nowhere = folder.path().join("no/such/general.jsonl");
    let error = message(run(&spec(&nowhere, 0.0), &out));
    assert!(error.contains("no folder"), "{error}");
    let (_other, parquet) = with_file("general.parquet", "PAR1");
    let error = message(run(&spec(&parquet, 0.0), &out));
    assert!(error.contains(".jsonl"), "{error}");

    let mut grouped = spec(&path, 0.1);
    grouped.files.group_by = Some("gruop".to_owned());
    let error = message(run(&grouped, &out));
    assert!(error.contains("did you mean `group`?"), "{error}");
    let (_text, text) = with_file("notes.txt", "a\n\nb\n");
    let error = message(run(
        &PrepareSpec {
            files: Source { path: text.to_string_lossy().into(), ..grouped.files },
            ..grouped
        },
        &out,
    ));
    assert!(error.contains("plain text has no field `gruop`"), "{error}");
}
