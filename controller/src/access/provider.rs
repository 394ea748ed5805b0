//! Logging in as a person of an identity provider: `OpenID` Connect, authorization code with PKCE
//! (RFC 6749, RFC 7636; `OpenID` Connect Core 1.0, section 3.1).

use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse,
    TokenResponse, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::rule::{Claims, Rule};

/// A provider that does not answer keeps a person waiting, and a connection busy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// As it is configured.
#[derive(Clone)]
pub struct Settings {
    /// For people.
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    /// None: a public client, which PKCE alone protects.
    pub client_secret: Option<String>,
    /// Beyond `openid`, `profile` and `email`.
    pub scopes: Vec<String>,
    pub rules: Vec<Rule>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Settings({} at {})", self.client_id, self.issuer)
    }
}

/// Whatever a provider says of a person.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct All(Claims);

impl AdditionalClaims for All {}

type Fields = IdTokenFields<
    All,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Client = openidconnect::Client<
    All,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Our own client, as the library asks for one.
#[derive(Debug)]
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = BoxFuture<'c, Result<HttpResponse, Self::Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok(response)
        })
    }
}

/// An identity provider. It is asked what it can do when somebody first logs in: one that is away
/// keeps nobody from starting.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    /// Where it sends browsers back to.
    redirect: RedirectUrl,
    http: Http,
    metadata: OnceCell<CoreProviderMetadata>,
}

/// Where a browser is sent, and what it must come back with.
#[derive(Debug)]
pub struct Begun {
    pub url: String,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

impl Provider {
    /// # Errors
    /// A URL is none.
    pub fn new(settings: Settings, public_url: &str) -> anyhow::Result<Self> {
        // a second one would be the same
        let _is_first = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().timeout(TIMEOUT);
        // a redirect could lead a secret to another place
        let http = builder.redirect(reqwest::redirect::Policy::none()).build()?;
        let http = Http(http);
        IssuerUrl::new(settings.issuer.clone()).context("the issuer is no URL")?;
        let redirect = RedirectUrl::new(format!("{public_url}/auth/callback"))?;
        Ok(Self { settings, redirect, http, metadata: OnceCell::new() })
    }

    /// For people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.settings.rules
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let Settings { issuer, client_id, client_secret, .. } = &self.settings;
        let discover = async || {
            let issuer = IssuerUrl::new(issuer.clone())?;
            anyhow::Ok(CoreProviderMetadata::discover_async(issuer, &self.http).await?)
        };
        let metadata = self.metadata.get_or_try_init(discover).await;
        let metadata =
            metadata.with_context(|| format!("cannot find out what {issuer} can do"))?.clone();
        let secret = client_secret.clone().map(ClientSecret::new);
        let client =
            Client::from_provider_metadata(metadata, ClientId::new(client_id.clone()), secret);
        Ok(client.set_redirect_uri(self.redirect.clone()))
    }

    /// # Errors
    /// The provider does not answer, or not as one.
    pub async fn begin(&self) -> anyhow::Result<Begun> {
        let client = self.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = ["profile", "email"].map(str::to_owned).into_iter();
        let scopes = scopes.chain(self.settings.scopes.iter().cloned()).map(Scope::new);
        let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        Ok(Begun {
            url: url.to_string(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// What the provider says of whoever came back with this code: signed by it, for this client and
    /// for this login.
    ///
    /// # Errors
    /// It takes the code for none of its own, or its answer is not to be trusted.
    pub async fn finish(
        &self,
        code: String,
        (nonce, verifier): (String, String),
    ) -> anyhow::Result<Claims> {
        let client = self.client().await?;
        let request = client.exchange_code(AuthorizationCode::new(code))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let tokens = request.request_async(&self.http).await.context("the code is not taken")?;
        let id_token = tokens.id_token().context("the provider sent no ID token")?;
        let verified = id_token.claims(&client.id_token_verifier(), &Nonce::new(nonce));
        let verified = verified.context("the ID token is not to be trusted")?;
        let mut claims = plain(verified)?;
        // many say only there which groups somebody is in
        if let Ok(request) =
            client.user_info(tokens.access_token().clone(), Some(verified.subject().clone()))
        {
            let more: UserInfoClaims<All, CoreGenderClaim> =
                request.request_async(&self.http).await?;
            for (claim, value) in plain(&more)? {
                claims.entry(claim).or_insert(value);
            }
        }
        Ok(claims)
    }
}

fn plain(claims: &impl Serialize) -> anyhow::Result<Claims> {
    Ok(serde_json::from_value(serde_json::to_value(claims)?)?)
}
