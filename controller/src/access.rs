//! Who may ask for what: nobody logs in where only this machine is served; everywhere else a token,
//! or a session that was opened with one, says who asks and in which role.

pub mod provider;
pub mod roles;
pub mod rule;

use assay_api::view::{ActorView, Role, TokenRequest, TokenSecret, TokenState, TokenView, Via};
use assay_api::{KillPoint, kill_point};
use axum::http::StatusCode;
use sqlx::PgPool;

use self::roles::Roles;
use crate::http::Error;
use crate::secret::{hash, make_secret};
use crate::store::audit::{self, Asked};
use crate::store::project::Project;
use crate::store::session::{self, Owner};
use crate::store::token::{self, Shown};

/// Tools that look for secrets in files know one by such a beginning.
const PREFIX: &str = "assay_";
/// What browsers hold; no token looks like it.
const SESSION_PREFIX: &str = "session_";
/// A day's work.
pub const SESSION_SECONDS: i32 = 12 * 3600;
pub(crate) const NAME_MAX: usize = 63;
const EXPIRES_MAX_S: u64 = 10 * 365 * 86_400;
const GRACE_MAX_S: u64 = 30 * 86_400;

/// Who is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whoever asks must show who they are.
    pub needs_login: bool,
    /// Where browsers find this controller, if it is not where it listens: `https://assay.example.com`.
    pub url: Option<String>,
}

impl Access {
    /// Cookies are sent back over TLS only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// What somebody shows: a secret, by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Token(Vec<u8>),
    Session(Vec<u8>),
}

impl Proof {
    #[must_use]
    pub fn token(secret: &str) -> Self {
        Self::Token(hash(secret))
    }

    #[must_use]
    pub fn session(secret: &str) -> Self {
        Self::Session(hash(secret))
    }
}

/// Who asks, and what they may do where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As its token or the identity provider names them.
    pub name: String,
    pub via: Via,
    pub roles: Roles,
}

impl Actor {
    /// None: they have no role anywhere.
    #[must_use]
    pub fn view(&self) -> Option<ActorView> {
        let role = self.roles.highest()?;
        Some(ActorView { name: self.name.clone(), role, via: self.via })
    }
}

/// Who asks.
///
/// # Errors
/// 401: it shows nothing that counts, and why.
pub async fn actor(db: &PgPool, access: &Access, proof: Option<&Proof>) -> Result<Actor, Error> {
    match proof {
        Some(Proof::Token(hash)) => {
            let Shown { token_id, name, roles, .. } = valid(db, hash).await?;
            token::used(db, token_id).await?;
            Ok(Actor { name, roles, via: Via::Token })
        }
        Some(Proof::Session(hash)) => match session::of_hash(db, hash).await? {
            Some((name, roles)) => Ok(Actor { name, roles, via: Via::Session }),
            None if access.needs_login => {
                Err(Error::LoggedOut("the session is over: log in again".to_owned()))
            }
            None => Ok(everybody()),
        },
        None if access.needs_login => Err(Error::LoggedOut(
            "who are you? Log in, or send a token: `authorization: Bearer assay_…` (`ctl` takes it \
             from ASSAY_TOKEN)"
                .to_owned(),
        )),
        None => Ok(everybody()),
    }
}

/// On loopback.
fn everybody() -> Actor {
    let roles = Roles::only(None, Role::Admin);
    Actor { name: "local".to_owned(), roles, via: Via::Loopback }
}

async fn valid(db: &PgPool, hash: &[u8]) -> Result<Shown, Error> {
    let unknown = || Error::LoggedOut("no such token: was all of it copied?".to_owned());
    let shown = token::of_hash(db, hash).await?.ok_or_else(unknown)?;
    let why = match (shown.state, shown.is_replaced) {
        (TokenState::Valid, false) => return Ok(shown),
        (TokenState::Valid, true) => "was rotated: take the secret that it got then",
        (TokenState::Expired, _) => "has expired: an admin makes another (`ctl token create`)",
        (TokenState::Revoked, _) => "was revoked",
    };
    Err(Error::LoggedOut(format!("the token `{}` {why}", shown.name)))
}

/// Opens a session with a token; what the browser's cookie holds.
///
/// # Errors
/// 401: no such token counts.
pub async fn log_in(db: &PgPool, token: &str) -> Result<(String, Actor), Error> {
    let Shown { token_id, name, roles, .. } = valid(db, &hash(token.trim())).await?;
    let actor = Actor { name, roles, via: Via::Session };
    let secret = open(db, (&actor, &Owner::Token(token_id)), "/session").await?;
    Ok((secret, actor))
}

/// Opens a session, as the audit log has it first: the guard lets whoever logs in pass, as nobody yet.
///
/// # Errors
/// The database does not answer.
pub async fn open(
    db: &PgPool,
    (actor, owner): (&Actor, &Owner),
    path: &str,
) -> Result<String, Error> {
    let asked = Asked { actor: &actor.name, via: actor.via, project: None, action: "log_in", path };
    let audit = audit::insert(db, asked).await?;
    kill_point(KillPoint::AskedHandled);
    let secret = make_secret(SESSION_PREFIX);
    session::open(db, &hash(&secret), owner, SESSION_SECONDS).await?;
    kill_point(KillPoint::HandledNoted);
    let answer = (StatusCode::OK.as_u16(), actor.roles.highest().map(Role::word));
    audit::answered(db, audit, answer).await?;
    Ok(secret)
}

/// Makes a token for a project, or for all. Its secret is in the answer and nowhere else.
///
/// # Errors
/// 409: a token has that name. 422: no token is called so, or lives so long.
pub async fn create(
    db: &PgPool,
    project: Option<&Project>,
    asked: &TokenRequest,
    by: &str,
) -> Result<TokenSecret, Error> {
    let name = &asked.name;
    if !is_name(name) {
        return Err(Error::Invalid(format!(
            "`{}` is no name of a token: it has 1 to {NAME_MAX} letters, digits and `-_.@`",
            name.escape_debug()
        )));
    }
    if let Some(seconds) = asked.expires_in_s
        && !(1..=EXPIRES_MAX_S).contains(&seconds)
    {
        return Err(Error::Invalid(format!(
            "`expires_in_s` is {seconds}; it must be 1 to {EXPIRES_MAX_S} (ten years)"
        )));
    }
    let secret = make_secret(PREFIX);
    let taken = || {
        Error::Conflict(format!(
            "there is a token `{name}`: rotate it, or revoke it and make it anew"
        ))
    };
    let token = token::insert(db, project, asked, (&hash(&secret), by)).await?.ok_or_else(taken)?;
    Ok(TokenSecret { secret, token })
}

/// Of a token or a webhook.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || "-_.@".contains(letter);
    (1..=NAME_MAX).contains(&name.chars().count()) && name.chars().all(is_letter)
}

/// Gives a token another secret. One of a project's, or any.
///
/// # Errors
/// 404: no valid token has that name. 422: no grace is so long.
pub async fn rotate(
    db: &PgPool,
    project: Option<&Project>,
    name: &str,
    grace_s: u64,
) -> Result<TokenSecret, Error> {
    if GRACE_MAX_S < grace_s {
        return Err(Error::Invalid(format!(
            "`grace_s` is {grace_s}; it must be 0 to {GRACE_MAX_S} (30 days)"
        )));
    }
    let missing = || Error::NotFound(format!("no valid token `{name}`: `ctl token ls` lists them"));
    if !is_name(name) {
        return Err(missing());
    }
    let secret = make_secret(PREFIX);
    let token = token::rotate(db, (project, name), (&hash(&secret), grace_s)).await?;
    let token = token.ok_or_else(missing)?;
    Ok(TokenSecret { secret, token })
}

/// Of a project, or all.
///
/// # Errors
/// The database does not answer.
pub async fn tokens(db: &PgPool, project: Option<&Project>) -> Result<Vec<TokenView>, Error> {
    Ok(token::list(db, project).await?)
}

/// Takes a token back, and ends every session that was opened with it.
///
/// # Errors
/// 404: no token has that name.
pub async fn revoke(db: &PgPool, project: Option<&Project>, name: &str) -> Result<(), Error> {
    let missing = || {
        Error::NotFound(format!("no token `{name}` that is not revoked: `ctl token ls` lists them"))
    };
    let is_revoked = is_name(name) && token::revoke(db, project, name).await?;
    is_revoked.then_some(()).ok_or_else(missing)
}
