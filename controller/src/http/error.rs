//! Every error that a client sees: precise inside, kind outside.

use assay_api::view::{FileError, Problem};
use assay_api::worker::limits::Unfit;
use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sqlx::error::DatabaseError;
use tracing::{error, warn};

/// Seconds. A server of Postgres that restarts takes a few.
const AWAY_SECONDS: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    /// What is wanted is illegal in the state that it is in.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    /// It cannot be read at all: no JSON, another content type, another method.
    #[error("{1}")]
    Malformed(StatusCode, String),
    /// Over a limit, which the text names.
    #[error("{0}")]
    Limit(String),
    /// The body as a whole is.
    #[error("{0}")]
    TooLarge(String),
    /// So many at a time, and no more.
    #[error("{0}")]
    Busy(String),
    /// A sweep file, with every error and its place.
    #[error("the sweep file has {} error{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    File(Vec<FileError>),
    #[error("the attempt's secret is missing or wrong")]
    Unauthorized,
    /// Nobody that is known asks, and nobody else may.
    #[error("{0}")]
    LoggedOut(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// The database is not there now. What was asked for may have been stored, if it went in the middle.
    #[error("the database does not answer: ask again once it does")]
    Away(#[source] anyhow::Error),
    /// The log has it all, the client nothing.
    #[error("internal error: see the controller's log")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Invalid(_) | Self::File(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Malformed(status, _) => (*status, "malformed"),
            Self::Limit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "limit"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, "busy"),
            Self::Unauthorized | Self::LoggedOut(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Internal(source) = &self {
            error!(error = format!("{source:#}"), "a request failed: {source:#}");
        }
        if let Self::Away(source) = &self {
            warn!(error = format!("{source:#}"), "no database for a request: {source:#}");
        }
        let (status, kind) = self.kind();
        let error = self.to_string();
        let errors = if let Self::File(errors) = self { errors } else { Vec::new() };
        let problem = Json(Problem { error, kind: kind.to_owned(), errors });
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 11.6.1: how to show who one is
            return (status, [(WWW_AUTHENTICATE, "Bearer")], problem).into_response();
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return (status, [(RETRY_AFTER, AWAY_SECONDS.to_string())], problem).into_response();
        }
        (status, problem).into_response()
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        let text = unfit.to_string();
        if unfit.is_over_a_limit() { Self::Limit(text) } else { Self::Invalid(text) }
    }
}

/// A path of the API that there is not.
pub(super) async fn unknown_path(uri: Uri) -> Error {
    Error::NotFound(format!("the API has no {}: web/openapi.json lists its paths", uri.path()))
}

pub(super) async fn unknown_method(method: Method, uri: Uri) -> Error {
    let message = format!("{} does not take {method}", uri.path());
    Error::Malformed(StatusCode::METHOD_NOT_ALLOWED, message)
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation) {
            warn!(%error, "something was deleted under a request: {error}");
            let text = "what this was to belong to has been deleted meanwhile: look again";
            return Self::NotFound(text.to_owned());
        }
        Self::from(anyhow::Error::from(error))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        let is_away = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_away);
        if is_away { Self::Away(error) } else { Self::Internal(error) }
    }
}

/// No fault of a query: there is no server, or none that takes queries now.
fn is_away(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(error) = error {
        // PostgreSQL's classes of errors: 08, the connection; 57P, an operator's intervention
        return error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"));
    }
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
}
