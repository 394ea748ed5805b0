//! What a request holds, or the [`Problem`](assay_api::view::Problem) that says why it does not:
//! axum's own extractors would answer in plain text.

use std::convert::Infallible;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Error;
use super::guard::Caller;
use super::limits::Limited;
use crate::store::project::Project;

/// A body of JSON: an answer, or a request no larger than its type may be.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + Limited, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let message = format!("the body is `{kind}`; send `content-type: application/json`");
            return Err(Error::Malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let limit = T::BYTES_MAX;
        let said =
            request.headers().get("content-length").and_then(|n| n.to_str().ok()?.parse().ok());
        if said.is_some_and(|said: u64| (limit as u64) < said) {
            return Err(too_large(limit));
        }
        let body = axum::body::to_bytes(request.into_body(), limit).await;
        // the connection may have broken off as well: then nobody reads this
        let body = body.map_err(|_| too_large(limit))?;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn too_large(limit: usize) -> Error {
    Error::TooLarge(format!("the body is over the limit of {limit} bytes: send it in parts"))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Error::Invalid(format!("the body: {error}")),
        Category::Io | Category::Syntax | Category::Eof => {
            Error::Malformed(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}"))
        }
    })
}

/// What a path names. A path that cannot be read names nothing that there is.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let why = |error: PathRejection| {
            Error::NotFound(format!("nothing is at {}: {}", parts.uri.path(), error.body_text()))
        };
        found.map(|axum::extract::Path(value)| Self(value)).map_err(why)
    }
}

/// The project that a request is about.
pub(super) struct InProject(pub(super) Project);

impl<S: Sync> FromRequestParts<S> for InProject {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().expect("the guard lets nobody else pass");
        Ok(Self(caller.project().clone()))
    }
}

/// What stands behind the `?`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let found = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        let why =
            |error: axum::extract::rejection::QueryRejection| Error::Invalid(error.body_text());
        found.map(|axum::extract::Query(value)| Self(value)).map_err(why)
    }
}
