//! What people say about runs and sweeps: checked, stored, and told to open streams.

use assay_api::view::{ExcludeRequest, NoteRequest, NoteView};
use assay_api::{RunId, SweepId};

use crate::app::App;
use crate::http::Error;
use crate::store::{exclusion, note, tag};

/// A sentence or two: it stands under every table that lacks the run. As the table's CHECK.
const BECAUSE_MAX: usize = 1_000;
/// A paragraph. As the table's CHECK.
const NOTE_MAX: usize = 2_000;
/// Of one run; its page lists them all.
const NOTES_MAX: i64 = 1_000;
/// Of one run or sweep; its row shows them all.
const TAGS_MAX: i64 = 20;
/// Like any other name. As the table's CHECK.
const TAG_MAX: usize = 63;
const AUTHOR_MAX: usize = 100;

/// # Errors
/// 404: there is no such run. 422: a text is empty or over its limit.
pub async fn exclude(app: &App, run: RunId, why: &ExcludeRequest) -> Result<(), Error> {
    let because = text("because", &why.because, BECAUSE_MAX)?;
    let author = author(why.author.as_deref())?;
    let is_known = exclusion::put(&app.store.db, run, because, author).await?;
    known(run, is_known)
}

/// # Errors
/// 409: it is not excluded.
pub async fn include(app: &App, run: RunId) -> Result<(), Error> {
    let was_out = exclusion::remove(&app.store.db, run).await?;
    let stands =
        || Error::Conflict("the run is not excluded: there is nothing to take back".into());
    was_out.then_some(()).ok_or_else(stands)
}

/// # Errors
/// 404: there is no such run. 422: a text is empty or over its limit.
pub async fn write_note(app: &App, run: RunId, asked: NoteRequest) -> Result<NoteView, Error> {
    if asked.step.is_some_and(|step| i64::try_from(step).is_err()) {
        return Err(Error::Invalid("`step` is no step of a run".into()));
    }
    let text = text("text", &asked.text, NOTE_MAX)?.to_owned();
    let author = author(asked.author.as_deref())?.map(str::to_owned);
    let asked = NoteRequest { text, author, ..asked };
    let written = note::insert(&app.store.db, run, &asked, NOTES_MAX).await?;
    written.ok_or_else(|| {
        Error::NotFound(format!("no run {run} that has fewer than {NOTES_MAX} notes"))
    })
}

/// # Errors
/// 404: the run has no such note.
pub async fn remove_note(app: &App, run: RunId, number: i64) -> Result<(), Error> {
    let missing = || Error::NotFound(format!("no note {number} at this run"));
    note::remove(&app.store.db, run, number).await?.then_some(()).ok_or_else(missing)
}

/// # Errors
/// 404: there is no such run, or it has as many tags as may be. 422: no tag looks like this.
pub async fn tag_run(app: &App, run: RunId, name: &str) -> Result<(), Error> {
    let done = tag::put_on_run(&app.store.db, run, checked(name)?, TAGS_MAX).await?;
    let missing =
        || Error::NotFound(format!("no run {run} that has fewer than {TAGS_MAX} other tags"));
    done.then_some(()).ok_or_else(missing)
}

/// # Errors
/// 404: it does not have it. 422: no tag looks like this.
pub async fn untag_run(app: &App, run: RunId, name: &str) -> Result<(), Error> {
    had(name, tag::remove_from_run(&app.store.db, run, checked(name)?).await?)
}

/// # Errors
/// 404: it has as many tags as may be. 422: no tag looks like this.
pub async fn tag_sweep(app: &App, sweep: SweepId, name: &str) -> Result<(), Error> {
    let done = tag::put_on_sweep(&app.store.db, sweep, checked(name)?, TAGS_MAX).await?;
    let full = || Error::Conflict(format!("the sweep has {TAGS_MAX} tags: take another away"));
    done.then_some(()).ok_or_else(full)
}

/// # Errors
/// 404: it does not have it. 422: no tag looks like this.
pub async fn untag_sweep(app: &App, sweep: SweepId, name: &str) -> Result<(), Error> {
    had(name, tag::remove_from_sweep(&app.store.db, sweep, checked(name)?).await?)
}

fn known(run: RunId, is_known: bool) -> Result<(), Error> {
    is_known.then_some(()).ok_or_else(|| Error::NotFound(format!("no run {run}")))
}

fn had(tag: &str, had: bool) -> Result<(), Error> {
    had.then_some(()).ok_or_else(|| Error::NotFound(format!("it is not tagged `{tag}`")))
}

/// A text of people, without white space around it.
fn text<'t>(name: &str, text: &'t str, max: usize) -> Result<&'t str, Error> {
    let text = text.trim();
    let n = text.chars().count();
    if n == 0 || max < n || text.contains('\0') {
        return Err(Error::Invalid(format!(
            "`{name}` has {n} characters; it must have 1 to {max}, none of them NUL"
        )));
    }
    Ok(text)
}

fn author(name: Option<&str>) -> Result<Option<&str>, Error> {
    name.map(|name| text("author", name, AUTHOR_MAX)).transpose()
}

/// One word, so that a filter can name it: `tag=keep`.
fn checked(tag: &str) -> Result<&str, Error> {
    let is_letter = |letter: char| letter.is_alphanumeric() || "-_.:".contains(letter);
    if (1..=TAG_MAX).contains(&tag.chars().count()) && tag.chars().all(is_letter) {
        return Ok(tag);
    }
    Err(Error::Invalid(format!(
        "`{tag}` is no tag: it has 1 to {TAG_MAX} letters, digits and `-_.:`, and no blank"
    )))
}
