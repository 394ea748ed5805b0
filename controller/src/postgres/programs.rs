//! Finds the server's programs: on PATH, and where Debian and Red Hat put them, off PATH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, MAJOR_MIN};

/// One installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    /// None: PATH knows them.
    folder: Option<PathBuf>,
    major: u32,
}

impl Programs {
    /// The programs that can serve a cluster of version `wanted`, or a new one.
    pub(super) fn find(data: &Path, wanted: Option<u32>) -> Result<Self, Error> {
        choose(installed(), data, wanted)
    }

    pub(super) fn initdb(&self) -> PathBuf {
        program(self.folder.as_deref(), "initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        program(self.folder.as_deref(), "postgres")
    }
}

fn program(folder: Option<&Path>, name: &str) -> PathBuf {
    folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

/// PATH first, since somebody chose it; then the newest.
fn choose(installed: Vec<Programs>, data: &Path, wanted: Option<u32>) -> Result<Programs, Error> {
    let newest =
        installed.iter().map(|programs| programs.major).max().ok_or(Error::NotInstalled)?;
    let fits = |programs: &Programs| match wanted {
        Some(major) => programs.major == major,
        None => programs.major >= MAJOR_MIN,
    };
    let (on_path, mut elsewhere): (Vec<_>, Vec<_>) =
        installed.into_iter().filter(fits).partition(|programs| programs.folder.is_none());
    elsewhere.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    on_path.into_iter().chain(elsewhere).next().ok_or_else(|| match wanted {
        Some(wanted) => Error::OtherVersion { folder: data.to_owned(), wanted },
        None => Error::TooOld { found: newest },
    })
}

fn installed() -> Vec<Programs> {
    let folders = entries(Path::new("/usr/lib/postgresql"))
        .chain(entries(Path::new("/usr")).filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgsql-"))
        }))
        .map(|version| Some(version.join("bin")));
    std::iter::once(None)
        .chain(folders)
        .filter_map(|folder| {
            // Both: client packages bring some programs of a server, but not all.
            version(&program(folder.as_deref(), "initdb"))?;
            let major = version(&program(folder.as_deref(), "postgres"))?;
            Some(Programs { folder, major })
        })
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| parse_major(&String::from_utf8_lossy(&output.stdout)))?
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` is 15, `17beta1` is 17.
fn parse_major(text: &str) -> Option<u32> {
    let (_, number) = text.split_once("(PostgreSQL) ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_path(major: u32) -> Programs {
        Programs { folder: None, major }
    }

    fn debian(major: u32) -> Programs {
        Programs { folder: Some(format!("/usr/lib/postgresql/{major}/bin").into()), major }
    }

    fn chosen(installed: &[Programs], wanted: Option<u32>) -> Result<Programs, String> {
        choose(installed.to_vec(), Path::new("here"), wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_version_is_read_from_what_the_program_says() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("initdb (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(parse_major("postgres: command not found"), None);
    }

    #[test]
    fn a_new_cluster_takes_path_first_and_then_the_newest() {
        assert_eq!(chosen(&[debian(17), on_path(15)], None), Ok(on_path(15)));
        assert_eq!(chosen(&[debian(15), debian(17), debian(16)], None), Ok(debian(17)));
        assert_eq!(chosen(&[on_path(13), debian(15)], None), Ok(debian(15)));
    }

    #[test]
    fn a_cluster_is_served_by_the_version_that_made_it() {
        assert_eq!(chosen(&[on_path(17), debian(15)], Some(15)), Ok(debian(15)));
        let error = chosen(&[debian(17)], Some(15)).unwrap_err();
        assert!(error.contains("apt-get install postgresql-15"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let error = chosen(&[], None).unwrap_err();
        assert!(error.contains("apt-get install postgresql"), "{error}");
        let error = chosen(&[debian(12), on_path(13)], None).unwrap_err();
        assert!(error.contains("PostgreSQL 13 is too old"), "{error}");
    }
}
