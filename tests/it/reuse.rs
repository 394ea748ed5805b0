//! What another sweep has trained is not trained again.

mod linked;
mod shown;
mod trained;

use assay_api::view::{RunKind, RunState, SweepView};
use assay_api::worker::Finish;
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
