//! Who is told: a real HTTP server on loopback, that keeps what it gets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub path: String,
    /// In the order of their names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Got {
    /// # Panics
    /// If it has none of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or_else(|| panic!("no {name}: {self:?}"), |(_, value)| value.as_str())
    }

    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// # Panics
    /// If the body is no JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("a message is JSON")
    }
}

/// What it says to one request.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    /// Nothing, for ever.
    Silence,
}

#[derive(Debug, Default)]
struct Kept {
    got: Vec<Got>,
    answers: VecDeque<Answer>,
}

#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// # Panics
    /// If loopback has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new().fallback(receive).with_state(kept.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until it is dropped");
        });
        Self { address, kept, serving }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it says to the next requests, in turn; to all others 204.
    pub fn answer_with(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.kept).answers.extend(answers);
    }

    /// Every request so far.
    #[must_use]
    pub fn got(&self) -> Vec<Got> {
        lock(&self.kept).got.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(
    State(kept): State<Arc<Mutex<Kept>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap) {
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("plain text").to_owned()))
        .collect();
    all.sort();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    let answer = {
        let mut kept = lock(&kept);
        kept.got.push(Got { path: uri.path().to_owned(), headers: all, body });
        kept.answers.pop_front().unwrap_or(Answer::Status(204))
    };
    let mut headers = HeaderMap::new();
    match answer {
        Answer::Status(status) => (StatusCode::from_u16(status).expect("a status"), headers),
        Answer::Redirect(to) => {
            headers.insert("location", to.parse().expect("a URL"));
            (StatusCode::TEMPORARY_REDIRECT, headers)
        }
        Answer::Silence => std::future::pending().await,
    }
}
