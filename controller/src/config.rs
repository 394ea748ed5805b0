//! The command line and the environment, read once and parsed into what they mean.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use assay_api::kill_point::{self, Trap};
use assay_api::view::Role;
use axum::http::Uri;
use clap::{Args, Parser, Subcommand};

use crate::access::Access;
use crate::access::provider::{Provider, Settings};
use crate::access::rule::Rule;
use crate::retention::Retention;
use crate::webhook::address::Reach;

/// The control plane of Assay: HTTP, Postgres, the scheduling loop and its pools.
#[derive(Debug, Parser)]
#[command(name = "assay-controller", version)]
pub struct Config {
    #[command(subcommand)]
    pub command: Command,

    /// Where a test wants this process to die.
    #[arg(long, env = kill_point::ENV, hide = true)]
    pub trap: Option<Trap>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and the web view, and schedule runs.
    Serve(Box<Serve>),
    /// Bring the database to this version's schema.
    Migrate {
        /// The database, for example `postgres://user@host/assay`.
        #[arg(long, env = "ASSAY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
        database_url: String,
    },
    /// Make a token, past the API: the first admin's, for example. Prints its secret.
    Token(Token),
    /// Print the API as `OpenAPI` JSON.
    Openapi,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Folder of everything kept on this machine: the private Postgres, the installation's key,
    /// datasets, checkpoints and the output of workers.
    #[arg(long, env = "ASSAY_DATA", value_name = "FOLDER", default_value = ".assay")]
    pub data: PathBuf,

    /// Address to listen on. Only loopback is served without login: on any other, everybody needs a
    /// token, and `assay-controller token` makes the first. TLS is a proxy's or an ingress's to end.
    #[arg(long, env = "ASSAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8717",
        value_parser = address)]
    pub listen: SocketAddr,

    /// Ask for login on loopback as well: where a proxy stands before this controller, or others work
    /// on this machine.
    #[arg(long, env = "ASSAY_LOGIN")]
    pub login: bool,

    /// Where browsers find this controller, where that is not where it listens, for example
    /// `https://assay.example.com`.
    #[arg(long, env = "ASSAY_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub url: Option<String>,

    #[command(flatten)]
    pub provider: ProviderOptions,

    /// The database. Without it, a private Postgres is run in the data folder, from the `PostgreSQL`
    /// binaries of this machine, and migrated.
    #[arg(long, env = "ASSAY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Slots of the local pool: each run takes as many as it has `devices`. 0: there is no local pool.
    /// Default: the number of processors, or 0 with --pools.
    #[arg(long, env = "ASSAY_SLOTS", value_name = "N")]
    pub slots: Option<u32>,

    /// Pools on Kubernetes clusters: a YAML file, see docs/kubernetes.md.
    #[arg(long, env = "ASSAY_POOLS", value_name = "FILE")]
    pub pools: Option<PathBuf>,

    /// A second address, for workers alone: it answers whoever holds an attempt's secret, and nobody
    /// else. Pods need one, as they do not reach loopback.
    #[arg(long, env = "ASSAY_LISTEN_WORKERS", value_name = "ADDRESS")]
    pub listen_workers: Option<SocketAddr>,

    /// The worker's program. Default: `assay-worker` beside this one.
    #[arg(long, env = "ASSAY_WORKER", value_name = "FILE")]
    pub worker: Option<PathBuf>,

    /// Seconds that a worker may be silent before its attempt is given up.
    #[arg(long, env = "ASSAY_LEASE", value_name = "SECONDS", default_value = "60", value_parser = lease)]
    pub lease: Duration,

    /// Send webhooks to private addresses as well: this machine's, its network's, its cloud's. Without
    /// it they go to public ones alone, whatever a name leads to.
    #[arg(long, env = "ASSAY_WEBHOOKS_TO_PRIVATE")]
    pub webhooks_to_private: bool,

    #[command(flatten)]
    pub retention: Retention,

    /// Folder that relative paths of a sweep file start from, where a request names none. Default:
    /// where this program was started.
    #[arg(long, env = "ASSAY_FOLDER", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

impl Serve {
    /// Who is served.
    #[must_use]
    pub fn access(&self) -> Access {
        let needs_login = self.login || !self.listen.ip().is_loopback();
        Access { needs_login, url: self.url.clone() }
    }

    /// Where webhooks may lead.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        if self.webhooks_to_private { Reach::Anywhere } else { Reach::Public }
    }
}

/// Where people log in as themselves, by `OpenID` Connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity provider")]
pub struct ProviderOptions {
    /// The provider's issuer, for example `https://id.example.com/realms/ml`. It must send browsers
    /// back to `/auth/callback` of --url.
    #[arg(long, env = "ASSAY_OIDC_ISSUER", value_name = "URL", requires_all = ["url", "oidc_client", "oidc_role"])]
    pub oidc_issuer: Option<String>,

    /// The id that the provider knows this installation by.
    #[arg(long, env = "ASSAY_OIDC_CLIENT", value_name = "ID", requires = "oidc_issuer")]
    pub oidc_client: Option<String>,

    /// A file that holds the client's secret. Without it: a public client.
    #[arg(long, env = "ASSAY_OIDC_SECRET_FILE", value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_secret_file: Option<PathBuf>,

    /// Who gets which role, by what the provider says of them: `groups=ml-platform:admin`,
    /// `email=anna@example.com:editor`, or `*:viewer` for everybody; `groups=nlp:editor@nlp` is about the
    /// project `nlp` alone. The highest counts; whoever matches none is not let in. May be given several times, or separated by commas.
    #[arg(
        long,
        env = "ASSAY_OIDC_ROLES",
        value_name = "RULE",
        value_delimiter = ',',
        requires = "oidc_issuer"
    )]
    pub oidc_role: Vec<Rule>,

    /// What else to ask the provider for, for example `groups`.
    #[arg(
        long,
        env = "ASSAY_OIDC_SCOPES",
        value_name = "SCOPE",
        value_delimiter = ',',
        requires = "oidc_issuer"
    )]
    pub oidc_scope: Vec<String>,

    /// What people call the provider.
    #[arg(long, env = "ASSAY_OIDC_NAME", value_name = "NAME", default_value = "single sign-on")]
    pub oidc_name: String,
}

impl ProviderOptions {
    /// The provider, if one is named.
    ///
    /// # Errors
    /// The file of the secret cannot be read, or a URL is none.
    pub fn provider(self, public_url: Option<&str>) -> anyhow::Result<Option<Provider>> {
        let (Some(issuer), Some(client_id), Some(url)) =
            (self.oidc_issuer, self.oidc_client, public_url)
        else {
            return Ok(None);
        };
        let read = |path: PathBuf| {
            let secret = std::fs::read_to_string(&path);
            secret.with_context(|| format!("cannot read the secret in {}", path.display()))
        };
        let secret = self.oidc_secret_file.map(read).transpose()?;
        let settings = Settings {
            name: self.oidc_name,
            issuer,
            client_id,
            client_secret: secret.map(|secret| secret.trim().to_owned()),
            scopes: self.oidc_scope,
            rules: self.oidc_role,
        };
        Ok(Some(Provider::new(settings, url)?))
    }
}

/// Makes a token on the machine of the database: the first one, or one where all are lost.
#[derive(Debug, Args)]
pub struct Token {
    /// Its name.
    pub name: String,

    /// viewer, editor or admin.
    #[arg(long, value_name = "ROLE", default_value = "admin")]
    pub role: Role,

    /// The database, for example `postgres://user@host/assay`. Default: the private one of `--data`,
    /// which runs while its controller does.
    #[arg(long, env = "ASSAY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// Folder of a controller that runs here with a private Postgres.
    #[arg(long, env = "ASSAY_DATA", value_name = "FOLDER", default_value = ".assay")]
    pub data: PathBuf,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, like 127.0.0.1:8717".into())
}

/// As browsers name the origin of a page: without a path.
fn public_url(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let is_origin = text.parse().is_ok_and(|uri: Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    let has_path = text.split_once("://").is_none_or(|(_, rest)| rest.contains('/'));
    if !is_origin || has_path {
        return Err("expected a URL without a path, like https://assay.example.com".into());
    }
    Ok(text.to_owned())
}

/// Shorter than this, a busy machine would lose leases for nothing; longer, a dead worker's slot
/// would lie idle for an hour.
fn lease(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected whole seconds, 1 to 3600".into()),
    }
}
