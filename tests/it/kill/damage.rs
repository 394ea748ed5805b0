//! Files that lose bits while nobody looks.

use std::fs;
use std::path::{Path, PathBuf};

use assay_tests::{Books, Corpus, Machine, signal, until};
use rustix::process::Signal;

use super::{check, sweep, until_ended};

/// The base of a sweep that is hurt: it has saved twice, and is far from done.
const SAVING: &str = "select run.run_id::text from run join sweep using (sweep_id)
    where name like 'hurt%' and label = 'base' and state = 'leased' and step < steps - 16
    and 2 <= (select count(*) from checkpoint saved where saved.run_id = run.run_id)";

/// The folder of the furthest complete checkpoint.
fn furthest(run_folder: &Path) -> PathBuf {
    let folders = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let attempts = folders(run_folder);
    let checkpoints = attempts.flat_map(|attempt| folders(&attempt.path())).map(|it| it.path());
    let complete = checkpoints.filter(|folder| folder.join("manifest.json").exists());
    complete.max_by_key(|folder| folder.file_name().unwrap().to_owned()).expect("it has saved")
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
        let saving = async || books.read(&machine, SAVING).await?.pop();
        let run = until("the base has saved", saving).await;
        machine.end_controller();
        for attempt in machine.attempts() {
            signal(attempt.parent, Signal::KILL);
            signal(attempt.worker, Signal::KILL);
        }
        let newest = furthest(&machine.storage().join("runs").join(&run));
        let mut bytes = fs::read(newest.join(file)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(newest.join(file), bytes).unwrap();
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
