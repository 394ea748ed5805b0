//! A new sweep from a stored one: its file under another name, about the same data.

use assay_api::SweepId;
use assay_api::sweep::{renamed, unscheduled};
use assay_api::view::{ApplyAnswer, ApplyRequest, ForkRequest};

use super::{Onto, read, store_file};
use crate::app::App;
use crate::http::Error;
use crate::store;
use crate::store::project::Project;

/// # Errors
/// 409: there is a sweep of that name. 422: the file's errors, each with its place; nothing is stored
/// then.
pub async fn fork(
    app: &App,
    project: &Project,
    sweep: SweepId,
    asked: &ForkRequest,
) -> Result<ApplyAnswer, Error> {
    let stored = store::view::sweep_file(&app.store.db, sweep).await?;
    let (file, folder) = match &asked.file {
        Some(file) => (file.as_str(), asked.folder.clone()),
        None => (stored.file.as_str(), Some(stored.folder)),
    };
    let file = unscheduled(file).and_then(|file| renamed(&file, &asked.name));
    let file = file.map_err(Error::File)?;
    let request = ApplyRequest { file, folder, prune: false, retry: Vec::new(), repin: false };
    let expansion = read(app, &request)?;
    store_file(app, project, (&request, &expansion), Onto::Nothing { pinned_as: sweep }).await
}
