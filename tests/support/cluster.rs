//! A real Kubernetes cluster, and an installation of Assay that has a pool in it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use assay_api::view::{RunKind, RunRow, RunState, RunView, SweepView};
use serde_json::{Value, json};

use crate::{Corpus, Machine, port};

/// Where `tests/with-cluster` put the cluster that tests share.
const SHARED: &str = "ASSAY_CLUSTER";

/// Two nodes, unless said otherwise.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    is_own: bool,
}

impl Cluster {
    /// The one that tests share, each in a namespace of its own. Nobody breaks it.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the environment is how with-cluster says where")]
    pub fn shared() -> Self {
        let folder = std::env::var(SHARED).unwrap_or_else(|_| {
            panic!("{SHARED} names no cluster: `make test-kubernetes` makes one, ASSAY_SKIP_KUBERNETES=1 does without")
        });
        Self { folder: folder.into(), is_own: false }
    }

    /// One to break; gone with the test.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn own() -> Self {
        // memory, as a disk may take seconds to delete what a cluster leaves
        let folder =
            PathBuf::from(format!("/dev/shm/assay-cluster-{}", uuid::Uuid::now_v7().simple()));
        let cluster = Self { folder, is_own: true };
        cluster.script("up", &["2"]);
        for image in ["worker", "script"] {
            let path = root().join(format!("target/cluster/{image}.tar"));
            cluster.script("image", &[&path.to_string_lossy()]);
        }
        cluster
    }

    /// `tests/cluster/cluster VERB FOLDER ARGUMENT...`
    ///
    /// # Panics
    /// If it fails.
    pub fn script(&self, verb: &str, arguments: &[&str]) -> String {
        let program = root().join("tests/cluster/cluster");
        let output = Command::new(program).arg(verb).arg(&self.folder).args(arguments).output();
        succeeded(&format!("cluster {verb} {arguments:?}"), &output.expect("the script is there"))
    }

    /// The host as pods see it.
    fn host(&self) -> String {
        let host = std::fs::read_to_string(self.folder.join("host"));
        host.expect("the cluster is up").trim().to_owned()
    }

    /// What `kubectl` prints, as its administrator.
    ///
    /// # Panics
    /// If it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// # Panics
    /// If it fails.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(root().join("target/cluster/kube"))
            .args(["kubectl", "--kubeconfig"])
            .arg(self.folder.join("kubeconfig"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the cluster is built");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        succeeded(&format!("kubectl {arguments:?}"), &output)
    }

    /// Runs a command on a node until the answer is dropped.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn on(&self, node: &str, command: &[&str]) -> OnNode {
        let mut script = Command::new(root().join("tests/cluster/cluster"));
        script.arg("on").arg(&self.folder).arg(node).args(command);
        OnNode(script.process_group(0).spawn().expect("the script is there"))
    }

    /// A new namespace.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn namespace(&self) -> String {
        let name = format!("test-{}", uuid::Uuid::new_v4().simple());
        self.kubectl(&["create", "namespace", &name]);
        name
    }

    /// Applies an object.
    ///
    /// # Panics
    /// If the cluster refuses it.
    pub fn apply(&self, object: &Value) {
        self.kubectl_with(&["apply", "-f", "-"], &object.to_string());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_own {
            self.script("down", &[]);
        }
    }
}

/// A command that runs on a node.
#[derive(Debug)]
pub struct OnNode(std::process::Child);

impl Drop for OnNode {
    fn drop(&mut self) {
        // with everything that it started
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.0.wait());
    }
}

impl Drop for Installation {
    /// What still runs would hold what other tests ask for.
    fn drop(&mut self) {
        let gone = ["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"];
        self.cluster.kubectl(&gone);
    }
}

fn succeeded(what: &str, output: &std::process::Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}{err}", output.status);
    out.into_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in the workspace")
}

/// A namespace, and a controller whose pool is there. Its controller signs in with the rights of
/// manifests/pool and no others.
#[derive(Debug)]
pub struct Installation {
    pub namespace: String,
    pub machine: Machine,
    /// To clear up there.
    cluster: Cluster,
}

impl Installation {
    /// With a pool `gpus` of CPU slots, its settings changed by `settings`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(cluster: &Cluster, settings: Value) -> Self {
        Self::beside(cluster, &cluster.namespace(), &[("gpus", settings)], &[])
    }

    /// In a namespace that exists, with these pools and options.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn beside(
        cluster: &Cluster,
        namespace: &str,
        pools: &[(&str, Value)],
        options: &[&str],
    ) -> Self {
        let corpus = Corpus::make();
        let storage = corpus.path().join("storage");
        std::fs::create_dir(&storage).expect("the folder was just made");
        // workers are nobody in particular
        for (folder, mode) in [(corpus.path(), "755"), (&storage, "777")] {
            let status = Command::new("chmod").arg(mode).arg(folder).status();
            assert!(status.expect("there is `chmod`").success());
        }
        // every cluster has an address of its own for this machine
        let port = port::free();
        let kubeconfig = corpus.path().join("kubeconfig");
        std::fs::write(&kubeconfig, sign_in(cluster, namespace)).expect("the folder was just made");
        let pools: serde_json::Map<String, Value> = pools
            .iter()
            .map(|(name, settings)| {
                let mut pool = json!({
                    "kubeconfig": kubeconfig,
                    "namespace": namespace,
                    "slots": 2,
                    "device": "cpu",
                    "controller": cluster.host(),
                    "image": "assay.test/worker:1",
                    "image_pull_policy": "IfNotPresent",
                    "memory": "300Mi",
                    "memory_max": "1Gi",
                    "storage": {"mount": storage, "volume": {"hostPath": {"path": storage}}},
                    "volumes": {"corpus": {
                        "mount": corpus.path(), "read_only": true,
                        "volume": {"hostPath": {"path": corpus.path()}},
                    }},
                    // a machine of two cores has no room for whole ones
                    "template": {"spec": {"containers": [
                        {"name": "worker", "resources": {"requests": {"cpu": "100m"}}},
                    ]}},
                    "grace": "20s",
                    "keep_finished": "10m",
                });
                merge(&mut pool, settings);
                let host = pool["controller"].as_str().expect("it is set").to_owned();
                pool["controller"] = format!("http://{host}:{port}").into();
                ((*name).to_owned(), pool)
            })
            .collect();
        let file = corpus.path().join("pools.yaml");
        std::fs::write(&file, Value::Object(pools).to_string()).expect("the folder was just made");
        let mut all = vec![
            "--pools".to_owned(),
            file.to_string_lossy().into_owned(),
            "--listen-workers".to_owned(),
            format!("0.0.0.0:{port}"),
        ];
        all.extend(options.iter().map(|option| (*option).to_owned()));
        let cluster = Cluster { folder: cluster.folder.clone(), is_own: false };
        Self { namespace: namespace.to_owned(), machine: Machine::serving(corpus, all), cluster }
    }

    /// Settings of a pool in another cluster than the installation's own.
    ///
    /// # Panics
    /// If nobody can sign in there.
    #[must_use]
    pub fn abroad(cluster: &Cluster, namespace: &str) -> Value {
        let path = cluster.folder.join(format!("{namespace}.kubeconfig"));
        std::fs::write(&path, sign_in(cluster, namespace)).expect("the folder is the cluster's");
        json!({"kubeconfig": path, "namespace": namespace, "controller": cluster.host()})
    }

    /// `kubectl --namespace ...` in this installation's namespace.
    pub fn kubectl(&self, cluster: &Cluster, arguments: &[&str]) -> String {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        cluster.kubectl(&all)
    }

    /// Objects of a kind in the namespace, as JSON.
    ///
    /// # Panics
    /// If the cluster does not answer.
    pub fn objects(&self, cluster: &Cluster, kind: &str) -> Vec<Value> {
        let text = self.kubectl(cluster, &["get", kind, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the container of a run's attempt runs.
    ///
    /// # Panics
    /// If it does not.
    pub async fn running(&self, cluster: &Cluster, sweep: &str, number: u32) -> RunRow {
        let is_placed = |view: &SweepView| {
            let run = view.runs.iter().find(|run| run.number == number);
            run.filter(|run| run.state == RunState::Leased).cloned()
        };
        let view = self.machine.until(sweep, |view| is_placed(view).is_some()).await;
        let run = is_placed(&view).expect("it was found");
        let labels = self.labels(&run);
        let exists = ["wait", "pod", "-l", &labels, "--for=create", "--timeout=60s"];
        self.kubectl(cluster, &exists);
        let runs = "--for=jsonpath={.status.containerStatuses[0].state.running}";
        self.kubectl(cluster, &["wait", "pod", "-l", &labels, runs, "--timeout=60s"]);
        run
    }

    /// The pod of a run's current attempt.
    ///
    /// # Panics
    /// If there is none.
    pub fn pod(&self, cluster: &Cluster, run: &RunRow) -> Value {
        let text = self.kubectl(cluster, &["get", "pods", "-l", &self.labels(run), "-o", "json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        list["items"][0].clone()
    }

    /// Asks the cluster to evict a run's pod, as `kubectl drain` does.
    ///
    /// # Panics
    /// If it refuses.
    pub fn evict(&self, cluster: &Cluster, run: &RunRow) {
        let pod = self.pod(cluster, run);
        let name = pod["metadata"]["name"].as_str().expect("pods have names");
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.namespace},
        });
        let path = format!("/api/v1/namespaces/{}/pods/{name}/eviction", self.namespace);
        cluster.kubectl_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
    }

    /// A selector of what belongs to a run's current attempt.
    #[must_use]
    pub fn labels(&self, run: &RunRow) -> String {
        format!("assay.dev/run-id={},assay.dev/attempt={}", run.run_id, run.attempt)
    }

    /// Signals the first process of a run's current attempt, from outside its container.
    ///
    /// # Panics
    /// If it has none.
    pub fn signal(&self, run: &RunRow, signal: &str) {
        let pid = processes(run).first().expect("its process runs on this machine").to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(status.expect("there is `kill`").success());
    }

    /// Whether a process of a run's attempt is alive on this machine.
    #[must_use]
    pub fn has_process(&self, run: &RunRow) -> bool {
        !processes(run).is_empty()
    }

    /// A sweep of one run and the `prepare` run that it needs, in pool `gpus`: some seconds of work.
    /// `resources` and `train` are what stands in these sections beside the usual.
    #[must_use]
    pub fn sweep(name: &str, resources: &str, tokens: &str) -> String {
        format!(
            "assay: v1
sweep: {name}
resources: {{pool: gpus{}{resources}}}
base:
  model: {{preset: llama-300k}}
  tokenizer: bytes
  data:
    heldout: {{share: 5%, tokens: 1k}}
    sources: {{general: {{path: general.jsonl}}}}
  train: {{tokens: {tokens}, context: 64, batch: 256, lr: {{peak: 1e-3, warmup: 2 steps}}}}
limits: {{epochs: 100}}
",
            if resources.is_empty() { "" } else { ", " },
        )
    }

    /// # Panics
    /// If the controller does not answer.
    pub async fn run(&self, sweep: &str, number: u32) -> RunView {
        self.machine.client.run_of(sweep, number).await.expect("it exists")
    }

    /// Waits until attempt 1 of a run has ended, and looks at it.
    pub async fn end_of(&self, sweep: &str, number: u32) -> RunView {
        let has_ended = |run: &RunRow| match run.state {
            RunState::Queued => 1 <= run.attempt,
            RunState::Leased | RunState::Stopping => 2 <= run.attempt,
            RunState::Done => true,
        };
        let of_view = |view: &SweepView| view.runs.iter().find(|run| run.number == number).cloned();
        self.machine.until(sweep, |view| of_view(view).is_some_and(|run| has_ended(&run))).await;
        self.run(sweep, number).await
    }

    /// Waits until the sweep's first run says that it waits for something like this.
    pub async fn first_waits(&self, sweep: &str, words: &str) -> RunView {
        let waits = |run: &RunRow| run.waiting.as_ref().is_some_and(|why| why.contains(words));
        self.machine.until(sweep, |view| view.runs.first().is_some_and(waits)).await;
        self.run(sweep, 1).await
    }

    /// Waits until the run of the sweep that trains is as wished.
    pub async fn until_training(&self, sweep: &str, is_so: impl Fn(&RunRow) -> bool) -> RunRow {
        let trains =
            |view: &SweepView| view.runs.iter().find(|run| run.kind == RunKind::Train).cloned();
        let view =
            self.machine.until(sweep, |view| trains(view).is_some_and(|run| is_so(&run))).await;
        trains(&view).expect("it was found")
    }
}

/// Processes whose environment names a run's attempt, the first one first.
fn processes(run: &RunRow) -> Vec<u32> {
    let wanted = [format!("ASSAY_RUN={}", run.run_id), format!("ASSAY_ATTEMPT={}", run.attempt)];
    let is_its = |pid: &str| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let variables: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
        wanted.iter().all(|text| variables.contains(&text.as_bytes()))
    };
    let all = std::fs::read_dir("/proc").expect("Linux has it");
    let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && is_its(name));
    let mut pids: Vec<u32> = pids.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// A kubeconfig of the namespace's service account, with the project's own manifests.
fn sign_in(cluster: &Cluster, namespace: &str) -> String {
    let manifests = root().join("manifests");
    let (pool, nodes) = (manifests.join("pool"), manifests.join("nodes.yaml"));
    cluster.kubectl(&["apply", "--namespace", namespace, "-k", &pool.to_string_lossy()]);
    // all tests have the role in common: two clients that both find none would both create it
    cluster.kubectl(&["apply", "--server-side", "-f", &nodes.to_string_lossy()]);
    cluster.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("assay-nodes-{namespace}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "assay-nodes"},
        "subjects": [{"kind": "ServiceAccount", "name": "assay-controller", "namespace": namespace}],
    }));
    let token = cluster.kubectl(&["--namespace", namespace, "create", "token", "assay-controller"]);
    let text = cluster.kubectl(&["config", "view", "--raw", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
    config["users"][0]["user"] = json!({"token": token.trim()});
    config.to_string()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}
