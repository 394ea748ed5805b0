//! Files that lose bits while nobody looks.

use std::fs;
use std::path::{Path, PathBuf};

use assay_api::view::{ApplyRequest, Outcome};
use assay_tests::{Books, Corpus, Machine, signal, until};
use rustix::process::Signal;

use super::{check, sweep, until_ended};

/// The base of a sweep that is hurt: it has saved twice, and is far from done.
const SAVING: &str = "select run.run_id::text from run join sweep using (sweep_id)
    where name like 'hurt%' and label = 'base' and state = 'leased' and step < steps - 16
    and 2 <= (select count(*) from checkpoint saved where saved.run_id = run.run_id)";

/// Waits for the base of a sweep that is hurt; returns its run.
async fn kill_everything_once_saved(machine: &mut Machine, books: &mut Books) -> String {
    let saving = async || books.read(machine, SAVING).await?.pop();
    let run = until("the base has saved", saving).await;
    machine.end_controller();
    for attempt in machine.attempts() {
        signal(attempt.parent, Signal::KILL);
        signal(attempt.worker, Signal::KILL);
    }
    run
}

/// Files of a name, in a folder and those below.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path, name),
        false if path.file_name().is_some_and(|found| found == name) => vec![path],
        false => Vec::new(),
    };
    entries.flat_map(below).collect()
}

/// Changes one bit.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// The folder of the furthest complete checkpoint.
fn furthest(run_folder: &Path) -> PathBuf {
    let manifests = files(run_folder, "manifest.json");
    let folders = manifests.iter().map(|manifest| manifest.parent().unwrap().to_owned());
    folders.max_by_key(|folder| folder.file_name().unwrap().to_owned()).expect("it has saved")
}

/// Goal: a checkpoint that is damaged costs the steps since the one before it and nothing else. Method:
/// everything is killed once a run has saved, and a file of its newest checkpoint is changed before the
/// next controller starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_passed_over_for_the_one_before_it() {
    let options = vec!["--slots".to_owned(), "1".to_owned()];
    let mut machine = Machine::switched_off(Corpus::make(), options);
    machine.restart_controller();
    let mut books = Books::default();
    machine.apply(&sweep("calm", "20k")).await;
    until_ended(&mut machine, &mut books).await;

    for (name, file) in [("hurt-1", "model.safetensors"), ("hurt-2", "carried")] {
        machine.apply(&sweep(name, "20k")).await;
        let run = kill_everything_once_saved(&mut machine, &mut books).await;
        let newest = furthest(&machine.storage().join("runs").join(&run));
        damage(&newest.join(file));
        machine.start_controller();
        until_ended(&mut machine, &mut books).await;

        let base = machine.client.run(run.parse().unwrap()).await.unwrap();
        let [_, damaged, last] = base.attempts.as_slice() else { panic!("{:?}", base.attempts) };
        let reason = damaged.reason.as_deref().unwrap();
        let step = newest.file_name().unwrap().to_str().unwrap();
        let told = format!("{step} is damaged: {file} is not what the manifest says");
        assert!(reason.contains(&told), "{reason}");
        assert!(0 < last.resumed_from.unwrap() && last.resumed_from < damaged.resumed_from);
    }
    check(&machine, &mut books).await;
}

/// Goal: damaged data is an error that says what to do, and doing it mends everything. Method: everything
/// is killed once a run has saved, and a byte of each dataset is changed before the next controller starts.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_is_prepared_again_where_a_person_says_so() {
    let options = vec!["--slots".to_owned(), "1".to_owned()];
    let mut machine = Machine::switched_off(Corpus::make(), options);
    machine.restart_controller();
    let mut books = Books::default();
    machine.apply(&sweep("calm", "20k")).await;
    until_ended(&mut machine, &mut books).await;

    machine.apply(&sweep("hurt", "20k")).await;
    let run = kill_everything_once_saved(&mut machine, &mut books).await;
    let datasets = files(&machine.storage().join("datasets"), "train.tokens");
    assert_eq!(datasets.len(), 2, "{datasets:?}");
    for tokens in datasets {
        damage(&tokens);
    }
    machine.start_controller();
    until_ended(&mut machine, &mut books).await;
    let base = machine.client.run(run.parse().unwrap()).await.unwrap();
    assert_eq!(base.row.outcome, Some(Outcome::Failed));
    let reason = base.row.reason.unwrap();
    assert!(reason.contains("the content of train.tokens has changed"), "{reason}");
    assert!(reason.contains("ctl sweep apply FILE --repin"), "{reason}");

    let request = ApplyRequest {
        repin: true,
        retry: vec![Outcome::Failed],
        ..machine.request(&sweep("hurt", "20k"))
    };
    machine.client.apply(&request).await.unwrap();
    until_ended(&mut machine, &mut books).await;
    let base = machine.client.run(run.parse().unwrap()).await.unwrap();
    assert!(base.attempts.last().unwrap().resumed_from.is_some(), "the data is the same");
    until("nothing is left", async || machine.leftovers().is_empty().then_some(())).await;
    let differences = books.differences(&machine).await;
    assert!(differences.is_empty(), "{differences}");
}

/// Goal: what was trained on data that was given up is not gone on with, however many checkpoints there
/// are. Method: a sweep is paused and killed once a run has saved, and a source gets another document.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_had_begun_begins_anew_with_other_data() {
    let options = vec!["--slots".to_owned(), "1".to_owned()];
    let mut machine = Machine::switched_off(Corpus::make(), options);
    machine.restart_controller();
    let mut books = Books::default();
    machine.apply(&sweep("hurt", "20k")).await;
    let saving = async || books.read(&machine, SAVING).await?.pop();
    until("the base has saved", saving).await;
    machine.client.pause("hurt").await.unwrap();
    let run = kill_everything_once_saved(&mut machine, &mut books).await;
    let source = machine.corpus.path().join("general.jsonl");
    let mut text = fs::read_to_string(&source).unwrap();
    text.push_str("{\"text\": \"A document that came later.\"}\n");
    fs::write(&source, text).unwrap();
    machine.start_controller();
    until("its attempt is given up", async || {
        let queued = "select run_id::text from run where label = 'base' and state = 'queued'";
        books.read(&machine, queued).await?.pop()
    })
    .await;

    let request = ApplyRequest { repin: true, ..machine.request(&sweep("hurt", "20k")) };
    machine.client.apply(&request).await.unwrap();
    machine.client.resume("hurt").await.unwrap();
    until_ended(&mut machine, &mut books).await;
    let base = machine.client.run(run.parse().unwrap()).await.unwrap();
    assert_eq!(base.row.outcome, Some(Outcome::Succeeded));
    let [_, other, last] = base.attempts.as_slice() else { panic!("{:?}", base.attempts) };
    assert!(other.reason.as_deref().unwrap().contains("trained on other data"), "{other:?}");
    assert_eq!(last.resumed_from, None);
}
