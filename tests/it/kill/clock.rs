//! Clocks that jump.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use assay_tests::{Books, Corpus, Machine, program, until};

use super::{OPEN, check, sweep, until_ended};

/// What Debian's package `faketime` loads into a program.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];
const HOUR: &str = "3600";
const AGAIN: &str = "select text from run_event where 1 < attempt or event = 'lost'";
const STEPS: &str = "select coalesce(sum(step), 0)::text from run join sweep using (sweep_id)
    where name = 'hurt' and kind = 'train'";

/// A clock that some programs go by: seconds before or after the machine's, read anew at every look.
struct Clock {
    offset: PathBuf,
    folder: PathBuf,
}

impl Clock {
    fn new(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let clock = Self { offset: folder.join("offset"), folder: folder.to_owned() };
        clock.set("+0");
        clock
    }

    /// Renamed into its place, so that nobody reads half of it.
    fn set(&self, seconds: &str) {
        let beside = self.offset.with_extension("new");
        fs::write(&beside, format!("{seconds}\n")).unwrap();
        fs::rename(&beside, &self.offset).unwrap();
    }

    /// A program of the same name that goes by this clock. What measures durations is left alone.
    fn given_to(&self, program: &Path) -> PathBuf {
        let library = LIBRARIES.iter().find(|library| Path::new(library).exists());
        let library = library.expect("`faketime` is installed: apt-get install faketime");
        let (offset, path) = (self.offset.display(), program.display());
        let script = format!(
            "#!/bin/sh\nexec env LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={offset} \
             FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 {path} \"$@\"\n"
        );
        let wrapper = self.folder.join(program.file_name().unwrap());
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        wrapper
    }
}

/// The newest server that Debian's packages brought.
fn server() -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = folders.map(|folder| folder.path()).max_by_key(version);
    newest.expect("there is one").join("bin")
}

/// Goal: no clock that jumps costs an attempt or a point. Method: the database has a clock of its own,
/// and the workers have one; while they train, each is set forward by an hour, and back by two.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_jump_by_an_hour_cost_nothing() {
    let corpus = Corpus::make();
    let of_server = Clock::new(&corpus.path().join("server"));
    let of_workers = Clock::new(&corpus.path().join("workers"));
    let worker = of_workers.given_to(&program("assay-worker"));
    of_server.given_to(&server().join("postgres"));
    symlink(server().join("initdb"), of_server.folder.join("initdb")).unwrap();
    let path = format!("{}:/usr/bin:/bin", of_server.folder.display());

    let options = ["--slots", "1", "--worker", worker.to_str().unwrap()].map(str::to_owned);
    let mut machine = Machine::switched_off(corpus, options.to_vec());
    machine.set_environment("PATH", &path);
    machine.restart_controller();
    let mut books = Books::default();
    machine.apply(&sweep("calm", "8k")).await;
    until_ended(&mut machine, &mut books).await;

    machine.apply(&sweep("hurt", "8k")).await;
    let jumps = [
        (&of_server, format!("+{HOUR}")),
        (&of_workers, format!("-{HOUR}")),
        (&of_server, format!("-{HOUR}")),
        (&of_workers, format!("+{HOUR}")),
        (&of_server, "+0".to_owned()),
    ];
    for (nth, (clock, to)) in (1..).zip(jumps) {
        until("training goes on", async || {
            let steps: u64 = books.read(&machine, STEPS).await?.pop()?.parse().ok()?;
            (12 * nth <= steps).then_some(())
        })
        .await;
        clock.set(&to);
    }
    assert!(!books.ask(&machine, OPEN).await.is_empty(), "it was in the middle of it");
    until_ended(&mut machine, &mut books).await;
    assert_eq!(books.ask(&machine, AGAIN).await, [""; 0], "every run took one attempt");
    check(&machine, &mut books).await;
}
