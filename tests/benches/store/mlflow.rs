//! The peer of ingest: `MLflow`'s server, by its batch call with as many metrics as it takes.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::{Client, post};
use crate::ingest::{SERIES, STEPS, WORKERS, send_all};
use crate::{loss, time};

/// Of each client: its rounds are as long as ours.
const REQUESTS: u64 = 4;

pub(crate) struct Mlflow {
    process: Child,
    folder: std::path::PathBuf,
    address: SocketAddr,
    experiment: String,
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        // its workers are its children, and leave with it when asked
        let pid = self.process.id().to_string();
        drop(Command::new("kill").arg(pid).status());
        drop(self.process.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Mlflow {
    /// None without `ASSAY_MLFLOW`. `ASSAY_MLFLOW_STORE` is the URL of its backend store, `SQLite` in a
    /// folder of its own where nothing is said; `ASSAY_MLFLOW_WORKERS` its processes.
    pub(crate) async fn start() -> Option<Self> {
        let program = std::env::var("ASSAY_MLFLOW").ok()?;
        let folder = std::env::temp_dir().join(format!("assay-mlflow-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let store = std::env::var("ASSAY_MLFLOW_STORE")
            .unwrap_or_else(|_| format!("sqlite:///{}/mlflow.db", folder.display()));
        let workers = std::env::var("ASSAY_MLFLOW_WORKERS").unwrap_or_else(|_| "2".to_owned());
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let process = Command::new(program)
            .args(["server", "--backend-store-uri", &store, "--workers", &workers])
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .current_dir(&folder)
            // a connection for each client, so that none waits for one of its 15
            .env("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", WORKERS.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ASSAY_MLFLOW is MLflow's program");
        let mut peer = Self { process, folder, address, experiment: String::new() };
        while TcpStream::connect(address).await.is_err() {
            let ended = peer.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "MLflow's server does not start");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let made = peer.ask("experiments/create", &json!({"name": "bench"})).await;
        peer.experiment = made["experiment_id"].as_str().expect("an id").to_owned();
        Some(peer)
    }

    async fn ask(&self, what: &str, body: &Value) -> Value {
        let request = self.request(what, body);
        let answer = Client::connect(self.address).await.ask(&request).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    fn request(&self, what: &str, body: &Value) -> Vec<u8> {
        post(&format!("/api/2.0/mlflow/{what}"), &[], body.to_string().as_bytes())
    }

    /// Points a second; each client has a run of its own, as ours do.
    pub(crate) async fn round(&mut self) -> f64 {
        let mut clients = Vec::new();
        for client in 0..u64::from(WORKERS) {
            let run = json!({"experiment_id": self.experiment, "start_time": time(0)});
            let run = self.ask("runs/create", &run).await;
            let run = run["run"]["info"]["run_id"].as_str().expect("an id").to_owned();
            clients.push((0..REQUESTS).map(|at| self.batch(&run, client, at)).collect());
        }
        let took = send_all(self.address, clients).await;
        (u64::from(WORKERS) * REQUESTS * SERIES * STEPS) as f64 / took.as_secs_f64()
    }

    fn batch(&self, run: &str, client: u64, at: u64) -> Vec<u8> {
        let point = |series: u64, step: u64| {
            json!({
                "key": format!("train/series_{series:02}"),
                "value": loss(client << 8 | series, step),
                "timestamp": time(step),
                "step": step,
            })
        };
        let steps = at * STEPS..(at + 1) * STEPS;
        let metrics: Vec<Value> = (0..SERIES)
            .flat_map(|series| steps.clone().map(move |step| point(series, step)))
            .collect();
        self.request("runs/log-batch", &json!({"run_id": run, "metrics": metrics}))
    }
}
