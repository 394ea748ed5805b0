//! Whose processes and files the server's are. `PostgreSQL` refuses root, so root lends them to
//! somebody else: who owns the cluster already, else the `postgres` user that Debian's package makes,
//! else `nobody`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::{Error, file};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Who runs this program.
    Myself,
    /// Root runs this program, and this user the server.
    Other { uid: u32, gid: u32 },
}

impl Owner {
    /// The owner of the cluster in `data`, or of the one that will be made there.
    pub(super) fn of(data: &Path) -> Result<Self, Error> {
        let me = geteuid();
        match fs::metadata(data) {
            Ok(found) if !me.is_root() && found.uid() == me.as_raw() => Ok(Self::Myself),
            Ok(found) if me.is_root() && found.uid() != 0 => {
                Ok(Self::Other { uid: found.uid(), gid: found.gid() })
            }
            Ok(found) => Err(Error::Foreign { folder: data.to_owned(), owner: found.uid() }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file("look at", data)(error))
            }
            Err(_) if me.is_root() => {
                ["postgres", "nobody"].into_iter().find_map(user).ok_or(Error::NoUser)
            }
            Err(_) => Ok(Self::Myself),
        }
    }

    /// A command that this owner will run, in a process group of its own, with nothing of the
    /// caller's terminal.
    pub(super) fn command(self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if let Self::Other { uid, gid } = self {
            // The supplementary groups of root go with it: see `CommandExt::uid`.
            command.uid(uid).gid(gid);
        }
        command
    }

    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Myself => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(file("change the owner of", path))
            }
        }
    }

    /// Every folder above must let the owner through: only trying tells.
    pub(super) fn can_enter(self, folder: &Path) -> bool {
        self == Self::Myself
            || self
                .command(Path::new("/bin/sh"))
                .args(["-c", r#"cd -- "$0""#])
                .arg(folder)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Myself => geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }
}

/// By `id`, which also knows users that are in no file.
fn user(name: &str) -> Option<Owner> {
    let id = |what: &str| -> Option<u32> {
        let output = Command::new("id").args([what, name]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    Some(Owner::Other { uid: id("-u")?, gid: id("-g")? })
}
