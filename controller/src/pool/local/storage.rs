//! What runs left in the local pool's folders, and how it goes.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use assay_api::worker::layout;
use assay_api::{KillPoint, kill_point};
use uuid::Uuid;

use super::LocalPool;
use crate::pool::Left;

/// Where things lie on their way out; in the storage, so that moving them there is a rename.
const TRASH: &str = "trash";

impl LocalPool {
    /// Moves what is left of a run, or a dataset, to where nobody looks for it. What is not there any
    /// more was moved before.
    pub(super) fn move_aside(&self, left: &Left, name: Uuid) -> anyhow::Result<()> {
        let aside = self.storage.join(TRASH).join(name.to_string());
        fs::create_dir_all(&aside).with_context(|| format!("cannot make {}", aside.display()))?;
        match left {
            Left::Run(run) => {
                rename(&self.storage.join(layout::run(*run)), &aside.join("storage"))?;
                kill_point(KillPoint::StorageAsideOutput);
                // output of its processes
                rename(&self.ended.join(run.to_string()), &aside.join("ended"))?;
                // of the last one, if it was not forgotten yet
                rename(&self.attempts.join(run.to_string()), &aside.join("attempts"))
            }
            Left::Dataset(point) => {
                rename(&self.storage.join(layout::dataset(point)), &aside.join("dataset"))
            }
        }
    }

    pub(super) fn remove_aside(&self, name: Uuid) -> anyhow::Result<()> {
        let aside = self.storage.join(TRASH).join(name.to_string());
        match fs::remove_dir_all(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.with_context(|| format!("cannot delete {}", aside.display())),
        }
    }
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot move {} away", from.display())),
    }
}
