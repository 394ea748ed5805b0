//! Everything real, on this machine: the controller's program, its private Postgres, its workers.

mod faults;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use assay_api::RunId;
use assay_api::client::Client;
use assay_api::kill_point;
use assay_api::process::{PROCESS_FILE, ProcessFile};
use assay_api::view::{ApplyRequest, RunRow, RunState, SeriesQuery, StreamEvent, SweepView};
use assay_controller::secret::InstallationKey;
use rustix::process::Signal;

use crate::{Corpus, port};

pub use faults::{Processes, signal};

/// A data folder, and the controller that serves it.
#[derive(Debug)]
pub struct Machine {
    pub corpus: Arc<Corpus>,
    data: PathBuf,
    /// The same for every controller of this folder: living workers know no other.
    address: SocketAddr,
    /// What else the controller is told.
    options: Vec<String>,
    /// Where the next controller, or a worker that it starts, is to die.
    trap: Option<String>,
    /// Beside this process's own.
    environment: Vec<(String, String)>,
    controller: Option<Child>,
    /// What controllers have said since they listened.
    log: Arc<Mutex<Vec<String>>>,
    /// Of what the last one says.
    listener: Option<JoinHandle<()>>,
    pub client: Client,
}

impl Machine {
    /// # Panics
    /// If the programs are not built (`cargo build --bins`), or do not start.
    #[must_use]
    pub fn start() -> Self {
        Self::serving(Corpus::make(), vec!["--slots".to_owned(), "2".to_owned()])
    }

    /// With these options.
    ///
    /// # Panics
    /// If the programs are not built (`cargo build --bins`), or do not start.
    #[must_use]
    pub fn serving(corpus: Corpus, options: Vec<String>) -> Self {
        let mut machine = Self::switched_off(corpus, options);
        machine.restart_controller();
        machine
    }

    /// With these options, and nothing started yet.
    ///
    /// # Panics
    /// If loopback has no free port.
    #[must_use]
    pub fn switched_off(corpus: Corpus, options: Vec<String>) -> Self {
        let data = corpus.path().join("data");
        Self::of(Arc::new(corpus), data, options)
    }

    /// One that has started nothing, with an address of its own.
    fn of(corpus: Arc<Corpus>, data: PathBuf, options: Vec<String>) -> Self {
        let (address, client) = address();
        let (trap, environment, controller) = (None, Vec::new(), None);
        let (log, listener) = Default::default();
        Self {
            corpus,
            data,
            address,
            options,
            trap,
            environment,
            controller,
            log,
            listener,
            client,
        }
    }

    /// Where its controller listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What its controllers have said since they listened; the last one has ended.
    ///
    /// # Panics
    /// If what it said could not be read.
    pub fn log(&mut self) -> Vec<String> {
        let read = self.listener.take().map_or(Ok(()), JoinHandle::join);
        read.expect("it does not panic");
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an attempt's worker shows that it is.
    ///
    /// # Panics
    /// If no controller has made the installation's key.
    #[must_use]
    pub fn secret(&self, run: RunId, attempt: u32) -> String {
        let key = InstallationKey::read_or_make(&self.data.join("installation.key"));
        key.expect("the controller made it").secret(run, attempt)
    }

    /// Kills the controller, and starts the next one on the same folder.
    ///
    /// # Panics
    /// If it cannot be killed or started.
    pub fn kill_controller(&mut self) {
        self.end_controller();
        self.restart_controller();
    }

    /// Kills the controller, and leaves it at that.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn end_controller(&mut self) {
        let mut controller = self.controller.take().expect("it was started");
        controller.kill().expect("it is our child");
        controller.wait().expect("it is our child");
    }

    /// Kills a run's worker.
    ///
    /// # Panics
    /// If it has none.
    pub fn kill_worker(&self, run: &RunRow) {
        let file = self.data.join(format!("attempts/{}/{}", run.run_id, run.attempt));
        let text = fs::read(file.join(PROCESS_FILE)).expect("the worker runs");
        let file: ProcessFile = serde_json::from_slice(&text).expect("a whole file");
        let status = Command::new("kill").args(["-9", &file.worker.pid.to_string()]).status();
        assert!(status.expect("there is `kill`").success());
    }

    /// SIGTERM, as Ctrl-C would, and waits for its end. True: it ended well.
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn stop_controller(&mut self) -> bool {
        let mut controller = self.controller.take().expect("it was started");
        let sent = Command::new("kill").args(["-TERM", &controller.id().to_string()]).status();
        assert!(sent.expect("there is `kill`").success());
        controller.wait().expect("it is our child").success()
    }

    /// Starts the next controller on the same folder.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_controller(&mut self) {
        let started = self.try_to_serve();
        started.unwrap_or_else(|log| panic!("it does not start:\n{log}"));
    }

    /// Starts a controller; returns once it listens, or with its log if it ends before.
    fn try_to_serve(&mut self) -> Result<(), String> {
        let mut command = Command::new(program("assay-controller"));
        command.args(["serve", "--listen", &self.address.to_string(), "--data"]);
        command.arg(&self.data).args(&self.options).stderr(Stdio::piped());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.trap.as_ref().map(|trap| (kill_point::ENV, trap)));
        let mut child = command.spawn().expect("the programs are built: cargo build --bins");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut log = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                child.wait().expect("it is our child");
                return Err(log.join("\n"));
            };
            if line.contains(" listening on http") {
                break;
            }
            log.push(line);
        }
        // read to its end, or it would wait for a reader
        let kept = self.log.clone();
        self.listener = Some(std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                tell(&line);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }));
        self.controller = Some(child);
        // the last one kept connections to the controller before
        self.client = Client::new(&self.url(), None).expect("it is a URL");
        Ok(())
    }

    /// # Panics
    /// If the file is refused.
    pub async fn apply(&self, file: &str) {
        self.try_to_apply(file).await.expect("a good file");
    }

    /// # Errors
    /// The file is refused, or the controller does not answer.
    pub async fn try_to_apply(&self, file: &str) -> Result<(), assay_api::client::Error> {
        self.client.apply(&self.request(file)).await.map(drop)
    }

    /// The file, in the corpus's folder, and nothing else asked for.
    #[must_use]
    pub fn request(&self, file: &str) -> ApplyRequest {
        ApplyRequest {
            file: file.to_owned(),
            folder: Some(self.corpus.folder().to_owned()),
            prune: false,
            retry: Vec::new(),
            repin: false,
        }
    }

    /// Deletes a sweep that has ended.
    ///
    /// # Errors
    /// It is refused, or the controller does not answer.
    pub async fn try_to_delete(&self, sweep: &str) -> Result<(), assay_api::client::Error> {
        self.client.delete_sweep(sweep, false).await.map(drop)
    }

    /// Follows the sweep's stream until it is as wished.
    ///
    /// # Panics
    /// If the stream or the sweep ends before.
    pub async fn until(&self, sweep: &str, is_so: impl Fn(&SweepView) -> bool) -> SweepView {
        loop {
            let mut view = self.client.sweep(sweep).await.expect("the sweep exists");
            let mut stream = self.client.stream(sweep, &view.cursor).await.expect("it exists");
            loop {
                if is_so(&view) {
                    return view;
                }
                let has_ended = view.runs.iter().all(|run| run.state == RunState::Done);
                assert!(!has_ended, "it ended, and never was as wished: {view:?}");
                match stream.next().await.expect("the controller lives") {
                    Some((_, StreamEvent::Runs { runs, .. })) => merge(&mut view, runs),
                    Some((_, StreamEvent::Points { .. })) => (),
                    Some((_, StreamEvent::Reset)) => break,
                    None => panic!("the stream ended"),
                }
            }
        }
    }

    /// Until every run has ended.
    pub async fn until_ended(&self, sweep: &str) -> SweepView {
        self.until(sweep, |view| view.runs.iter().all(|run| run.state == RunState::Done)).await
    }

    /// Every point of the named series of a run, values as bits.
    ///
    /// # Panics
    /// If the controller does not answer.
    pub async fn points(&self, run: &RunRow, names: &[&str]) -> Vec<(String, u64, u64)> {
        let query = SeriesQuery {
            runs: vec![run.run_id],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            from: None,
            to: None,
            buckets: 1000,
        };
        let series = self.client.series(&query).await.expect("it answers").series;
        let points = series.into_iter().flat_map(|series| {
            assert_eq!(series.width, 1, "every point is there");
            let values = series.values.into_iter().map(f64::to_bits);
            let name = series.name;
            series
                .steps
                .into_iter()
                .zip(values)
                .map(move |(step, value)| (name.clone(), step, value))
        });
        points.collect()
    }

    /// Processes that run from this machine's data folder.
    ///
    /// # Panics
    /// If processes cannot be listed.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let output = Command::new("ps").args(["-eo", "args"]).output().expect("there is `ps`");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let data = self.data.to_string_lossy().into_owned();
        text.lines().filter(|line| line.contains(&data)).map(str::to_owned).collect()
    }

    /// Folders of attempts that are not forgotten.
    ///
    /// # Panics
    /// If the folder is not there.
    #[must_use]
    pub fn open_attempts(&self) -> usize {
        let runs = fs::read_dir(self.data.join("attempts")).expect("the pool made it");
        let attempts = runs.filter_map(|run| fs::read_dir(run.ok()?.path()).ok());
        attempts.map(Iterator::count).sum()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let controller = self.controller.as_mut().map(Child::try_wait);
        if controller.is_some_and(|ended| ended.is_ok_and(|ended| ended.is_none())) {
            // a test that failed may have left it frozen, or held
            signal(self.controller(), Signal::CONT);
            self.let_all_go();
            self.stop_controller();
        }
    }
}

fn merge(view: &mut SweepView, runs: Vec<RunRow>) {
    for run in runs {
        match view.runs.iter_mut().find(|known| known.number == run.number) {
            Some(known) => *known = run,
            None => view.runs.push(run),
        }
    }
}

/// Where a controller will listen, and who speaks to it.
fn address() -> (SocketAddr, Client) {
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    (address, Client::new(&format!("http://{address}"), None).expect("it is a URL"))
}

#[expect(clippy::print_stderr, reason = "a test that fails shows what its controller said")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

/// A program of this workspace, beside the tests' own.
///
/// # Panics
/// If the tests run from nowhere.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let folder = own.parent().and_then(Path::parent).expect("target/debug/deps");
    folder.join(name)
}
