//! The built program against a wire that answers what it is told: exit codes, and what goes where.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Answers every request with one status and body; returns its URL. Ends with the test.
fn controller(status: &'static str, body: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let body = body.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            read_request(&mut stream);
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("the client listens");
        }
    });
    url
}

/// To the end of the body: a client whose request was not read to its end sees a reset.
fn read_request(stream: &mut impl Read) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a request") == 1 {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    stream.read_exact(&mut vec![0; length]).expect("the body");
}

fn ctl(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctl"));
    command.args(arguments).env("ASSAY_URL", url).stdin(Stdio::null());
    command
}

fn output(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = ctl(url, arguments).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn sweeps(n: usize) -> Value {
    let counts = json!({"queued": 1, "leased": 0, "stopping": 0, "succeeded": 2, "diverged": 0,
        "failed": 0, "cancelled": 0, "stopped_early": 0});
    let sweep = |n: usize| {
        json!({"sweep_id": "00000000-0000-0000-0000-000000000000", "gpu_hours": {"used": 0.0},
                "priority": 0,
                "project": "default",
            "name": format!("grid-{n}"), "state": "running", "counts": counts,
            "tags": [], "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
    };
    (0..n).map(sweep).collect()
}

#[test]
fn a_table_is_for_people_and_json_is_the_view_itself() {
    let url = controller("200 OK", &sweeps(2));
    let (code, out, _) = output(&url, &["sweep", "ls"]);
    assert_eq!(code, Some(0));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("sweep   state    ended"), "{out}");
    assert!(lines[1].starts_with("grid-0  running    2/3"), "{out}");
    assert!(lines[1].ends_with("3 runs: 1 queued, 2 succeeded"), "{out}");

    let (code, out, err) = output(&url, &["sweep", "ls", "-o", "json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), sweeps(2));
}

#[test]
fn a_missing_name_is_3_and_says_what_the_controller_says() {
    let problem =
        json!({"error": "no sweep `nope`: `ctl sweep ls` lists them", "kind": "not_found"});
    let url = controller("404 Not Found", &problem);
    let (code, out, err) = output(&url, &["sweep", "get", "nope"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert_eq!(err, "error: no sweep `nope`: `ctl sweep ls` lists them\n");
}

#[test]
fn what_is_refused_is_1() {
    let url = controller("409 Conflict", &json!({"error": "it has ended", "kind": "conflict"}));
    let (code, _, err) = output(&url, &["sweep", "pause", "grid"]);
    assert_eq!((code, err.as_str()), (Some(1), "error: it has ended\n"));
}

#[test]
fn no_controller_is_4_and_says_how_to_start_one() {
    // Bound and dropped: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, out, err) = output(&format!("http://{free}"), &["sweep", "ls"]);
    assert_eq!((code, out.as_str()), (Some(4), ""));
    assert!(err.contains("ctl up") && err.contains("ASSAY_URL"), "{err}");
}

#[test]
fn a_wrong_command_line_is_2() {
    let (code, _, err) = output("http://127.0.0.1:1", &["run", "get", "17"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("like lr-and-mix/17"), "{err}");
}

#[test]
fn errors_in_the_file_are_5_each_at_its_place() {
    let file = std::env::temp_dir().join(format!("assay-ctl-{}.yaml", std::process::id()));
    std::fs::write(&file, "assay: v1\nswep: grid\n").unwrap();
    let problem = json!({"error": "the sweep file has 1 error", "kind": "invalid", "errors": [{
        "line": 2, "column": 1, "text": "swep: grid", "path": "swep",
        "message": "unknown key `swep`: did you mean `sweep`?"}]});
    let url = controller("422 Unprocessable Entity", &problem);
    let name = file.to_str().unwrap();
    let (code, out, err) = output(&url, &["sweep", "apply", name]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!((code, out.as_str()), (Some(5), ""));
    let place = format!(
        "{name}:2:1: unknown key `swep`: did you mean `sweep`?\n  |\n2 | swep: grid\n  | ^\n"
    );
    assert!(err.starts_with(&place), "{err}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    // More than a pipe holds, so that the write fails whenever the reader leaves.
    let url = controller("200 OK", &sweeps(2000));
    let mut child = ctl(&url, &["sweep", "ls", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));
}

/// Its address is one of many URLs here, and no option of the program itself.
#[test]
fn a_webhook_is_added_at_the_controller_and_not_where_it_leads() {
    let problem = json!({ "error": "there is a webhook `chat`", "kind": "conflict" });
    let url = controller("409 Conflict", &problem);
    let arguments = ["webhook", "add", "chat", "https://example.com/hook", "--on", "run.failed"];
    let output = ctl(&url, &arguments).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("there is a webhook `chat`"), "{told}");
}
