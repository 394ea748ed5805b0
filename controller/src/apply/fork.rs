//! A new sweep from a stored one: its file under another name, about the same data.

use assay_api::SweepId;
use assay_api::sweep::renamed;
use assay_api::view::{ApplyAnswer, ApplyRequest, ForkRequest};

use super::{Onto, store_file};
use crate::app::App;
use crate::http::Error;
use crate::store;

/// # Errors
/// 409: there is a sweep of that name. 422: the file's errors, each with its place; nothing is stored
/// then.
pub async fn fork(app: &App, sweep: SweepId, asked: &ForkRequest) -> Result<ApplyAnswer, Error> {
    let stored = store::view::sweep_file(&app.store.db, sweep).await?;
    let (file, folder) = match &asked.file {
        Some(file) => (file.as_str(), asked.folder.clone()),
        None => (stored.file.as_str(), Some(stored.folder)),
    };
    let file = renamed(file, &asked.name).map_err(Error::File)?;
    let request = ApplyRequest { file, folder, prune: false, retry: Vec::new(), repin: false };
    store_file(app, &request, Onto::Nothing { pinned_as: sweep }).await
}
