//! Schemathesis draws requests from web/openapi.json, good ones and bad ones, for a real controller
//! with real workers: whatever it is sent, it answers as its document says, and has no fault.
//!
//! It draws the same each time but for the ids, which are new each time. It is told some names and ids
//! that there are, or nearly every request would end in 404; and the secret of a worker that stands
//! still, so that reports are stored and later answers tell of them.

use std::fmt::Write as _;
use std::fs;

use assay_api::view::{Role, RunRow, TokenRequest, WebhookEvent, WebhookRequest};
use assay_api::worker::{HEADER_ATTEMPT, HEADER_RUN};
use assay_api::{KillPoint, RunId};
use assay_tests::{Books, Corpus, Machine, until};

use super::{outside, root};

/// One source and two runs, whose `prepare` is held: the sweep stays as it is for as long as it takes.
const HELD: &str = "
assay: v1
sweep: held
base:
  model: {preset: llama-300k}
  tokenizer: bytes
  data: {heldout: {share: 5%, tokens: 1k}, sources: {general: {path: general.jsonl}}}
  train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
axes: {lr: [1e-3, 3e-3]}
";

/// Everything that a run can have: points, scores, slices, checkpoints.
const WHOLE: &str = "
assay: v1
sweep: whole
base:
  model: {preset: llama-300k}
  tokenizer: bytes
  data:
    heldout: {share: 5%, tokens: 1k}
    sources: {commerce: {path: commerce.jsonl, slices: [language]}}
  train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
  eval: {tasks: {color: {path: color.yaml, every: 50%}}}
";

/// A schedule, which is not due while this is asked.
const NIGHTLY: &str = "
assay: v1
sweep: nightly
schedule: 0 0 29 2 *
base:
  model: {preset: llama-300k}
  data: {sources: {general: {path: general.jsonl}}}
  train: {tokens: 4k, context: 64, batch: 256, lr: {peak: 1e-3, warmup: 2 steps}}
";

/// What is asked, round after round: an operation that takes something away leaves the others nothing to
/// ask about.
const ROUNDS: [&[&str]; 3] = [
    &[
        "--exclude-operation-id=finish_worker",
        "--exclude-operation-id=cancel_run",
        "--exclude-operation-id=cancel_sweep",
        "--exclude-operation-id=delete_sweep",
        "--exclude-operation-id=revoke_token",
        "--exclude-operation-id=remove_webhook",
        "--exclude-operation-id=remove_schedule",
        "--exclude-operation-id=delete_project",
    ],
    &["--include-operation-id=finish_worker"],
    &[],
];

/// What there is to ask about.
struct Known {
    runs: Vec<RunId>,
    folder: String,
    /// The worker that stands still.
    held: RunId,
    secret: String,
    instance: String,
    token: String,
}

/// Goal: no request makes a fault, or an answer that the document does not know. Method: schemathesis,
/// first with everything that leaves its objects in place, at last with everything: what was stored in
/// between is shown, ended and deleted as well.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_the_answer_is_one_of_the_documents() {
    let options = ["--slots", "2", "--lease", "3600"].map(str::to_owned);
    let mut machine = Machine::switched_off(Corpus::make(), options.to_vec());
    machine.set_hold(KillPoint::AnsweredWorks);
    machine.restart_controller();
    let known = fill(&machine).await;
    let settings = machine.corpus.path().join("schemathesis.toml");
    fs::write(&settings, settings_for(&known)).unwrap();

    for round in ROUNDS {
        let mut schemathesis = outside("schemathesis");
        schemathesis.current_dir(machine.corpus.path());
        schemathesis.arg("--config-file").arg(&settings).arg("run");
        schemathesis.arg(root().join("web/openapi.json"));
        schemathesis.args(["--url", &machine.url()]);
        schemathesis.args(round);
        let run = tokio::task::spawn_blocking(move || schemathesis.output()).await;
        let output = run.expect("it does not panic").expect("it was found");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(machine.has_controller(), "the controller died\n{said}");
    }
    machine.let_go(KillPoint::AnsweredWorks);
    assert!(machine.stop_controller(), "it ends well");
    let mut faults = machine.log();
    faults.retain(|line| is_fault(line));
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A panic, or what the log calls an error.
fn is_fault(line: &str) -> bool {
    line.contains("panicked at") || line.contains(" ERROR ")
}

/// A sweep that waits for a held worker, one that has ended, and a token.
async fn fill(machine: &Machine) -> Known {
    machine.apply(HELD).await;
    machine.apply(NIGHTLY).await;
    until("a worker is held", async || machine.is_sprung(KillPoint::AnsweredWorks).then_some(()))
        .await;
    machine.apply(WHOLE).await;
    let whole = machine.until_ended("whole").await;
    let waits = machine.client.sweep("held").await.unwrap();
    let held = waits.runs.iter().find(|run| run.attempt == 1).expect("it was leased").run_id;
    let instance = "select instance::text from attempt join run using (run_id)
        join sweep using (sweep_id) where name = 'held' and attempt.ended_at is null";
    let instance = Books::default().ask(machine, instance).await.pop().expect("it has started");
    let asked = TokenRequest { name: "ci".to_owned(), role: Role::Editor, expires_in_s: None };
    let url = "https://receiver.invalid/hook".to_owned();
    let events = vec![WebhookEvent::RunSucceeded, WebhookEvent::RunCancelled];
    let webhook = WebhookRequest { name: "ci".to_owned(), url, events };
    machine.client.add_webhook(&webhook).await.unwrap();
    machine.client.test_webhook("ci").await.unwrap();
    let ids = |runs: &[RunRow]| runs.iter().map(|run| run.run_id).collect::<Vec<_>>();
    Known {
        runs: [ids(&waits.runs), ids(&whole.runs)].concat(),
        folder: machine.corpus.folder().to_owned(),
        held,
        secret: machine.secret(held, 1),
        instance,
        token: machine.client.create_token(&asked).await.unwrap().secret,
    }
}

/// What schemathesis is told. It learns nothing from answers, which are not the same each time.
fn settings_for(known: &Known) -> String {
    let runs: Vec<String> = known.runs.iter().map(RunId::to_string).collect();
    let runs: Vec<&str> = runs.iter().map(String::as_str).collect();
    let third = WHOLE.replace("whole", "third");
    let files = [HELD.to_owned(), WHOLE.to_owned(), third, NIGHTLY.to_owned()];
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let words: [(&str, &[&str], &[&str]); 15] = [
        ("sweeps", &["held", "whole", "third"], &["path.name"]),
        ("runs", &runs, &["path.run_id", "body.runs[*]"]),
        ("notes", &["1", "2", "3", "4"], &["path.note_id"]),
        ("tags", &["best", "a b", "ü"], &["path.tag"]),
        ("series", &["train/loss", "train/lr", "x"], &["body.names[*]"]),
        ("files", &files, &["body.file"]),
        ("folders", &[&known.folder, "/nowhere"], &["body.folder"]),
        ("secrets", &[&known.token], &["body.token"]),
        ("tokens", &["ci", "robot"], &["body.name"]),
        ("instances", &[&known.instance], &["body.instance"]),
        ("hosts", &["node-1"], &["body.host"]),
        ("projects", &["default", "side"], &["path.project"]),
        ("pools", &["local"], &["path.pool"]),
        // nobody answers there
        ("urls", &["https://receiver.invalid/hook", "http://10.0.0.1/"], &["body.url"]),
        ("events", &["run.failed", "sweep.finished"], &["body.events[*]"]),
    ];
    let mut text = GENERAL.to_owned();
    let mut places = "[parameters]\n".to_owned();
    for (name, values, bound) in words {
        let values = serde_json::to_string(values).expect("texts are JSON, and JSON's texts TOML");
        writeln!(text, "[dictionaries.{name}]\nvalues = {values}").expect("a string grows");
        for place in bound {
            let bound = format!("\"{place}\" = {{ dictionary = \"{name}\", probability = 0.7 }}");
            writeln!(places, "{bound}").expect("a string grows");
        }
    }
    // of a project that there is not, nothing more is asked
    places += "\"query.project\" = { dictionary = \"project\", probability = 0.95 }\n";
    text += "[dictionaries.project]\nvalues = [\"default\"]\n";
    let Known { held, secret, .. } = known;
    text + &places
        + OPERATIONS
        + &format!(
            "[[operations]]\ninclude-tag = \"worker\"\n[operations.headers]\n\
             Authorization = \"Bearer {secret}\"\n{HEADER_RUN} = \"{held}\"\n{HEADER_ATTEMPT} = \"1\"\n"
        )
}

const GENERAL: &str = r#"
seed = 7
continue-on-failure = true
warnings = false
request-timeout = 30

[generation]
deterministic = true
max-examples = 40
no-shrink = true

# Not whether good requests succeed: of names and sums the document does not tell what is good.
[checks]
enabled = false
not_a_server_error = { enabled = true }
status_code_conformance = { enabled = true }
content_type_conformance = { enabled = true }
response_headers_conformance = { enabled = true }
response_schema_conformance = { enabled = true }
negative_data_rejection = { enabled = true }
unsupported_method = { enabled = true }

[phases.examples]
enabled = false
[phases.stateful]
enabled = false
[phases.coverage]
operation-ordering = "none"
extra-data-sources = { responses = false }
[phases.fuzzing]
operation-ordering = "none"
extra-data-sources = { responses = false }
error-feedback = { enabled = false }
"#;

const OPERATIONS: &str = r#"
# Its paths name tokens, which are called as the webhooks are, and no sweeps.
[[operations]]
include-tag = "access"
[operations.parameters]
"path.name" = { dictionary = "tokens", probability = 0.7 }

# And so do those of webhooks.
[[operations]]
include-tag = "webhooks"
[operations.parameters]
"path.name" = { dictionary = "tokens", probability = 0.7 }

# And those of schedules are their own.
[dictionaries.schedules]
values = ["nightly"]
[[operations]]
include-tag = "schedules"
[operations.parameters]
"path.name" = { dictionary = "schedules", probability = 0.7 }

# Numbers, which the words above are not.
[dictionaries.deliveries]
values = [1, 2, 3]
[[operations]]
include-operation-id = "repeat_delivery"
[operations.parameters]
"path.delivery_id" = { dictionary = "deliveries", probability = 0.7 }

# A stream has no end: of each, what comes first is read.
[[operations]]
include-operation-id = "stream_sweep"
max-stream-events = 2
request-timeout = 1
[operations.generation]
max-examples = 10
# The document says what the data of an event is: it has no words for the event around it.
[operations.checks]
response_schema_conformance = { enabled = false }
"#;
