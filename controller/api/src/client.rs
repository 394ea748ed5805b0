//! The HTTP client: [`Client`] for people's programs, [`WorkerClient`] for one attempt's worker.

mod people;
mod projects;
mod schedules;
mod stream;
mod webhooks;
mod worker;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

pub use people::Client;
pub use stream::EventStream;
pub use worker::WorkerClient;

use crate::view::Problem;

/// A controller on the same machine or cluster answers within this, or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request is an apply of 10,000 points.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{url}` is no URL of a controller; it looks like http://127.0.0.1:8717")]
    Url { url: String },
    #[error(
        "the token holds characters that no token has: was all of it copied, and nothing else?"
    )]
    Token,
    #[error("cannot speak TLS with {url}: has this machine its certificates (`ca-certificates`)?")]
    Tls {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("no controller answers at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// It has taken what was asked for, and may have done it.
    #[error(
        "{url} has taken the request and not answered for {} s: it may be frozen, or its database away. \
         Whether it did what was asked shows once it answers again",
        TIMEOUT.as_secs()
    )]
    Silent { url: String },
    /// The controller understood and says no.
    #[error("{}", problem.error)]
    Refused { status: u16, problem: Box<Problem> },
    /// Something answers, and it is no controller, or a broken one.
    #[error("{url} answered {status}, which no controller would: {text}")]
    Strange { url: String, status: u16, text: String },
    #[error("the answer of {url} broke off")]
    Broken {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the answer is not what this program expects: are it and the controller of one version?"
    )]
    Answer(#[from] serde_json::Error),
}

impl Error {
    /// The attempt is not current any more, or another process runs it.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// It may go better a moment later: nothing answers, or the controller itself is in trouble.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } | Self::Strange { status, .. } => {
                *status >= 500 || *status == 429 || *status == 408
            }
            Self::Url { .. } | Self::Tls { .. } | Self::Token | Self::Answer(_) => false,
        }
    }
}

/// An address with a connection pool.
#[derive(Clone, Debug)]
struct Connection {
    /// Without a slash at the end.
    url: String,
    /// What is asked for is of this one. None: of what the controller takes for it.
    project: Option<String>,
    http: reqwest::Client,
}

impl Connection {
    fn new(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let url = url.trim_end_matches('/').to_owned();
        let is_url = reqwest::Url::parse(&url).is_ok_and(|url| url.has_host());
        if !is_url {
            return Err(Error::Url { url });
        }
        // a second one would be the same
        let _is_first = rustls::crypto::ring::default_provider().install_default();
        let headers =
            token.map(bearer).transpose()?.into_iter().map(|value| (AUTHORIZATION, value));
        let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
        let builder = builder.default_headers(headers.collect());
        // a container need not have certificates where no TLS is spoken
        let is_tls = url.starts_with("https://");
        let builder = if is_tls { builder } else { builder.tls_certs_only([]) };
        let http = builder.build().map_err(|source| Error::Tls { url: url.clone(), source })?;
        Ok(Self { url, project: None, http })
    }

    fn path(&self, path: &str) -> String {
        let project = self.project.as_ref().map(|project| {
            let first = if path.contains('?') { '&' } else { '?' };
            format!("{first}project={}", people::escaped(project))
        });
        format!("{}/api/v1{path}{}", self.url, project.unwrap_or_default())
    }

    /// Sends, and reads a good answer; a bad one becomes the error that it tells of.
    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let response = self.begin(request.timeout(TIMEOUT)).await?;
        let broken = |source| Error::Broken { url: self.url.clone(), source };
        Ok(response.bytes().await.map_err(broken)?.to_vec())
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.send(request).await?)?)
    }

    async fn begin(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| unreachable(&self.url, source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(self.refusal(status, text))
    }

    fn refusal(&self, status: StatusCode, text: String) -> Error {
        let status = status.as_u16();
        match serde_json::from_str(&text) {
            Ok(problem) => Error::Refused { status, problem: Box::new(problem) },
            Err(_) => Error::Strange { url: self.url.clone(), status, text },
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(url: &str, source: reqwest::Error) -> Error {
    let url = url.to_owned();
    if source.is_timeout() && !source.is_connect() {
        return Error::Silent { url };
    }
    Error::Unreachable { url, source }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What comes of a request that nobody answers in time.
    fn failed(url: &str) -> Error {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let connection = Connection::new(url, None).expect("it is a URL");
        let request = connection.http.get(url).timeout(Duration::from_millis(20));
        runtime
            .expect("one thread")
            .block_on(connection.begin(request))
            .expect_err("nobody answers")
    }

    #[test]
    fn who_takes_a_request_and_is_silent_is_told_apart_from_who_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        // the system takes connections for it; it answers none
        assert!(matches!(failed(&url), Error::Silent { .. }));
        drop(listener);
        assert!(matches!(failed(&url), Error::Unreachable { .. }));
    }
}
