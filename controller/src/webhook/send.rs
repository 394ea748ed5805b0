//! One request to one receiver.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Url};

use super::address::{self, PublicOnly, Reach};

/// With all that belongs to it, from the name to the status. A receiver that has more to do answers
/// first, and works then.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

const AGENT: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// A message as it goes out.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) url: String,
    pub(super) id: String,
    pub(super) at_s: i64,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// What sends them. It follows no redirect, and asks no proxy: either would send what is signed to where
/// nobody looked at the address.
#[derive(Clone, Debug)]
pub struct Sender {
    reach: Reach,
    plain: Client,
    /// None: this machine has no certificates, and nothing is sent by `https`.
    tls: Option<Client>,
}

impl Sender {
    /// # Panics
    /// If a client without TLS cannot be made.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        // a second one would be the same
        let _is_first = rustls::crypto::ring::default_provider().install_default();
        let plain = builder(reach).tls_certs_only([]).build().expect("it needs nothing");
        Self { reach, plain, tls: builder(reach).build().ok() }
    }

    /// The status of the answer. Its body is not read: it is nobody's here.
    ///
    /// # Errors
    /// There is no answer, and why.
    pub(super) async fn send(&self, letter: Letter) -> anyhow::Result<u16> {
        let url = Url::parse(&letter.url).context("the URL is none")?;
        // the controller may have been told otherwise since it was added
        address::check(&url, self.reach)?;
        let client = match url.scheme() {
            "https" => self.tls.as_ref().context(
                "cannot speak TLS: has the controller's machine its certificates (`ca-certificates`)?",
            )?,
            _ => &self.plain,
        };
        let request = client.post(url).body(letter.body);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request =
            request.header("webhook-id", letter.id).header("webhook-timestamp", letter.at_s);
        let sent = request.header("webhook-signature", letter.signature).send().await;
        // the path of a URL may be a secret
        let answer = sent.map_err(reqwest::Error::without_url)?;
        Ok(answer.status().as_u16())
    }
}

fn builder(reach: Reach) -> ClientBuilder {
    let builder = Client::builder().timeout(TIMEOUT).user_agent(AGENT).no_proxy();
    let builder = builder.redirect(Policy::none()).referer(false);
    match reach {
        Reach::Public => builder.dns_resolver(Arc::new(PublicOnly)),
        Reach::Anywhere => builder,
    }
}
