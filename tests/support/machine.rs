//! Everything real, on this machine: the controller's program, its private Postgres, its workers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assay_api::client::Client;
use assay_api::process::{PROCESS_FILE, ProcessFile};
use assay_api::view::{ApplyRequest, RunRow, RunState, SeriesQuery, StreamEvent, SweepView};

use crate::Corpus;

/// A data folder, and the controller that serves it.
#[derive(Debug)]
pub struct Machine {
    pub corpus: Corpus,
    data: PathBuf,
    /// The same for every controller of this folder: living workers know no other.
    address: SocketAddr,
    /// What else the controller is told.
    options: Vec<String>,
    controller: Child,
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
        let data = corpus.path().join("data");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("loopback has free ports");
        let (controller, client) = serve(&data, address, &options);
        Self { corpus, data, address, options, controller, client }
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
        self.controller.kill().expect("it is our child");
        self.controller.wait().expect("it is our child");
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
        let pid = self.controller.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("there is `kill`").success());
        self.controller.wait().expect("it is our child").success()
    }

    /// Starts the next controller on the same folder.
    pub fn restart_controller(&mut self) {
        (self.controller, self.client) = serve(&self.data, self.address, &self.options);
    }

    /// # Panics
    /// If the file is refused.
    pub async fn apply(&self, file: &str) {
        let request = ApplyRequest {
            file: file.to_owned(),
            folder: Some(self.corpus.folder().to_owned()),
            prune: false,
            retry: Vec::new(),
        };
        self.client.apply(&request).await.expect("a good file");
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
        if self.controller.try_wait().is_ok_and(|ended| ended.is_none()) {
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

/// Starts a controller; returns once it listens.
fn serve(data: &Path, address: SocketAddr, options: &[String]) -> (Child, Client) {
    let mut child = Command::new(program("assay-controller"))
        .args(["serve", "--listen", &address.to_string(), "--data"])
        .arg(data)
        .args(options)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the programs are built: cargo build --bins");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut log = Vec::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else { panic!("it does not start:\n{}", log.join("\n")) };
        if let Some((_, rest)) = line.split_once(" listening on ") {
            break rest.split([',', ' ']).next().unwrap_or_default().to_owned();
        }
        log.push(line);
    };
    // read to its end, or it would wait for a reader
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| tell(&line)));
    (child, Client::new(&url).expect("it said a URL"))
}

#[expect(clippy::print_stderr, reason = "a test that fails shows what its controller said")]
fn tell(line: &str) {
    eprintln!("{line}");
}

/// A program of this workspace, beside the tests' own.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let folder = own.parent().and_then(Path::parent).expect("target/debug/deps");
    folder.join(name)
}
