//! The browser's files, built into the binary. A path that is no file is a page of the app.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../web/dist"]
#[allow_missing = true]
struct Dist;

/// Vite names these by their content: they never change.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) fn file(uri: &Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    match Dist::get(path) {
        Some(file) if path.starts_with("assets/") => answer(path, file, FOREVER),
        Some(file) if !path.is_empty() => answer(path, file, ASK_AGAIN),
        _ => page(),
    }
}

fn page() -> Response {
    match Dist::get("index.html") {
        Some(file) => answer("index.html", file, ASK_AGAIN),
        None => (
            StatusCode::NOT_FOUND,
            "This controller was built without its web view: `make web`, then build it again.\n",
        )
            .into_response(),
    }
}

fn answer(path: &str, file: EmbeddedFile, cache: HeaderValue) -> Response {
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, cache)];
    (headers, file.data.into_owned()).into_response()
}
