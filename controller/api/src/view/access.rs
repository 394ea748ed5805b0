//! Who may ask for what.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at everything but tokens and the audit log.
    Viewer,
    /// Change sweeps and runs.
    Editor,
    /// Make and revoke tokens, and read the audit log.
    Admin,
}

impl Role {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let named = [Self::Viewer, Self::Editor, Self::Admin].into_iter();
        let mut named = named.filter(|role| role.word() == word);
        named.next().ok_or_else(|| format!("expected viewer, editor or admin, found `{word}`"))
    }
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Nobody logs in where only this machine is served.
    Loopback,
    Token,
    /// A browser that has logged in.
    Session,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// As its token or the identity provider names them.
    pub name: String,
    /// The highest that they have in any project.
    pub role: Role,
    pub via: Via,
}

/// What somebody may do in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectRole {
    pub project: String,
    pub role: Role,
}

/// `GET /api/v1/session`: who asks, and how to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// None: nobody that is known.
    pub actor: Option<ActorView>,
    /// Where an identity provider is asked, and its name for people.
    pub provider: Option<String>,
    /// Those that whoever asks may look at, by name.
    pub projects: Vec<ProjectRole>,
    /// The one that is meant where a request names none: `default`, or the only one that they may look at.
    pub project: Option<String>,
}

/// `POST /api/v1/session`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub token: String,
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginRequest(…)")
    }
}

/// A token, without its secret: that is shown once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    pub token_id: Uuid,
    pub name: String,
    pub role: Role,
    /// None: in all of them.
    pub project: Option<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    /// None: until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// Exact to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// It was rotated, and until then its last secret is still taken.
    pub previous_until: Option<DateTime<Utc>>,
    pub state: TokenState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    Valid,
    Expired,
    Revoked,
}

/// `POST /api/v1/tokens`: for the project that the request names; else, if whoever asks is an admin of all,
/// for all.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// 1 to 63 letters, digits and `-_.@`; no other valid token has it.
    pub name: String,
    pub role: Role,
    /// Seconds from now, at most ten years. None: until it is revoked.
    pub expires_in_s: Option<u64>,
}

/// `POST /api/v1/tokens/{name}/rotate`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// For so many seconds the last secret is still taken, at most 30 days. 0: it ends now.
    pub grace_s: u64,
}

/// The one time that a secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenSecret {
    pub secret: String,
    pub token: TokenView,
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSecret").field("token", &self.token).finish_non_exhaustive()
    }
}

/// One request that may have changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    pub audit_id: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub via: Via,
    /// None: in none of them, or in all.
    pub project: Option<String>,
    /// As this document names the operation.
    pub action: String,
    /// Without `/api/v1`.
    pub path: String,
    /// None: the controller died before it answered, or is still at it.
    pub status: Option<u16>,
    /// What the path does not say.
    pub detail: Option<String>,
}

/// The newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    pub rows: Vec<AuditRow>,
    /// Asks for the rows before these; none: there are no others.
    pub before: Option<i64>,
}
