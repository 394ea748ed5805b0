//! A disk that is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use assay_api::view::{Outcome, RunView};
use assay_tests::{Books, Corpus, Machine, until};

use super::{NO_BACK_OFF, sweep, until_ended};

/// Room for both sweeps: a checkpoint has some 4 MB, and there are never more than a dozen.
const SIZE: &str = "size=100m";

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    /// By root alone: only a file system can be full, and nobody else may mount one.
    fn mount(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "assay-test"]).arg(&folder);
        let output = mount.output().expect("there is `mount`");
        assert!(
            output.status.success(),
            "this test mounts a small disk, which only root may: run it as root, or leave it out with \
             `--skip a_full_disk` ({})",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Self(folder)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// To the last byte.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
        assert_eq!(file.write(&[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

async fn base(machine: &Machine) -> RunView {
    let view = machine.client.sweep("hurt").await.unwrap();
    let run = view.runs.into_iter().find(|run| run.label == "base").unwrap();
    machine.client.run(run.run_id).await.unwrap()
}

/// The step of the furthest checkpoint in a folder of checkpoints.
fn furthest(run_folder: &Path) -> Option<u64> {
    let folders = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let attempts = folders(run_folder);
    let checkpoints = attempts.flat_map(|attempt| folders(&attempt.path()));
    let step = |name: String| name.strip_prefix("step-")?.parse().ok();
    checkpoints.filter_map(|entry| step(entry.file_name().into_string().ok()?)).max()
}

/// Goal: a full disk is an error that says so and costs nothing that was saved. Method: workers save on
/// a small disk, which is filled in the middle of a run until it has failed, and emptied for a retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_a_run_which_goes_on_from_its_last_checkpoint_once_there_is_room() {
    let options = vec!["--slots".to_owned(), "1".to_owned()];
    let mut machine = Machine::switched_off(Corpus::make(), options);
    let disk = Disk::mount(machine.storage());
    machine.restart_controller();
    let mut books = Books::default();
    machine.apply(&sweep("calm", "20k")).await;
    until_ended(&mut machine, &mut books).await;

    machine.apply(&sweep("hurt", "20k")).await;
    until("the base has saved", async || {
        let saved =
            "select path from checkpoint join run using (run_id) join sweep using (sweep_id)
            where name = 'hurt' and label = 'base'";
        books.read(&machine, saved).await?.pop()
    })
    .await;
    disk.fill();
    until("the base fails", async || {
        books.read(&machine, NO_BACK_OFF).await?;
        (base(&machine).await.row.outcome == Some(Outcome::Failed)).then_some(())
    })
    .await;

    let failed = base(&machine).await;
    let reason = failed.row.reason.unwrap();
    assert!(reason.contains("No space left on device"), "{reason}");
    until("it is cleared away", async || machine.leftovers().is_empty().then_some(())).await;
    let run_folder = machine.storage().join(format!("runs/{}", failed.row.run_id));
    let saved = furthest(&run_folder).expect("what was saved stays");

    disk.empty();
    machine.client.retry_run(failed.row.run_id).await.unwrap();
    until_ended(&mut machine, &mut books).await;
    let mended = base(&machine).await;
    assert_eq!(mended.row.outcome, Some(Outcome::Succeeded));
    assert_eq!(mended.attempts.last().unwrap().resumed_from, Some(saved));
    until("nothing is left", async || machine.leftovers().is_empty().then_some(())).await;
    let differences = books.differences(&machine).await;
    assert!(differences.is_empty(), "{differences}");
}
