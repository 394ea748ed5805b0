//! What another sweep has trained is not trained again.

mod held;
mod linked;
mod shown;
mod trained;

use assay_api::view::{RunKind, RunState, SweepView};
use assay_api::worker::{CheckpointSaved, Evaluation, Finish, LogLevel, LogLine, layout};
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};

/// A sweep of two `prepare` runs and four that train, which takes results that there are.
fn reusing(name: &str) -> String {
    format!("{}reuse: true\n", sweep(name))
}

/// Lets a leased `prepare` run leave data.
async fn prepare(app: &mut TestApp, name: &str, number: u32, fingerprint: &str) {
    let worker = app.worker(name, number).await;
    worker.start(&[]).await.unwrap();
    let (path, fingerprint) = (format!("datasets/{number}"), fingerprint.to_owned());
    worker.finish(Finish::Succeeded { step: 0, path, fingerprint, tokens: 4096 }).await.unwrap();
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
}

/// Lets all that is placed of a sweep succeed, until nothing is.
async fn finish(app: &mut TestApp, name: &str) -> SweepView {
    app.settle().await;
    loop {
        let view = app.sweep(name).await;
        match view.runs.iter().find(|run| run.state == RunState::Leased) {
            Some(run) => app.succeed(name, run.number).await,
            None => break view,
        }
    }
}

/// Applies a file and lets its data be prepared; what follows is placed or linked.
async fn prepared(app: &mut TestApp, name: &str, file: &str) -> SweepView {
    app.apply(file).await.unwrap();
    app.settle().await;
    let view = app.sweep(name).await;
    for run in view.runs.iter().filter(|run| run.kind == RunKind::Prepare) {
        app.succeed(name, run.number).await;
    }
    app.sweep(name).await
}

/// Of each run that trains, the run that it is linked to.
fn links(view: &SweepView) -> Vec<Option<&str>> {
    let trained = view.runs.iter().filter(|run| run.kind == RunKind::Train);
    trained.map(|run| run.reused.as_deref()).collect()
}

fn score(step: u64, task: &str, value: f64) -> Evaluation {
    let (metric, stderr) = ("acc".to_owned(), None);
    Evaluation { step, task: task.to_owned(), metric, value, stderr, n: 20 }
}

/// Lets a leased run report the beginning of a curve, scores, a line and a checkpoint, and succeed.
async fn train(app: &mut TestApp, name: &str, number: u32, tasks: &[&str]) {
    let mut worker = app.worker(name, number).await;
    let answer = worker.start(&[]).await.unwrap();
    let n = f64::from(number);
    let mut reports = vec![
        worker.points("train/loss", &[(1, n), (2, n / 2.0)]),
        worker.points("heldout/general/bits_per_byte", &[(0, n), (16, n / 4.0)]),
    ];
    for task in tasks {
        reports.push(worker.points(&format!("task/{task}/acc"), &[(0, 0.1), (16, n / 100.0)]));
    }
    let mut all = tasks.iter().map(|task| score(16, task, n / 100.0)).collect::<Vec<_>>();
    all.push(score(16, "heldout/general", n / 4.0));
    let run = worker.key.run;
    let saved = CheckpointSaved { step: 13, path: layout::checkpoint(run, 1, 13), bytes: 1000 };
    let last = reports.last_mut().unwrap();
    (last.evaluations, last.checkpoints) = (all, vec![saved]);
    last.logs = vec![LogLine { time: 0, level: LogLevel::Info, text: format!("it is {number}") }];
    let seq = u64::try_from(reports.len()).unwrap();
    let stored = worker.send(None, reports).await.unwrap().seq_stored;
    assert_eq!(stored, seq);
    worker.succeed_with(&answer).await;
    let key = worker.key;
    app.pool.end(key, Exit::Code(0));
    app.settle().await;
}

async fn train_all(app: &mut TestApp, name: &str, tasks: &[&str]) {
    while let Some(run) =
        app.sweep(name).await.runs.into_iter().find(|run| run.state == RunState::Leased)
    {
        train(app, name, run.number, tasks).await;
    }
}
