//! The installation's key, and the secrets of attempts and webhooks made with it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use assay_api::{KillPoint, RunId, kill_point};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::webhook::signature::WebhookKey;

/// 256 bits: as long as the hash's output, which is as strong as HMAC-SHA-256 gets (RFC 2104).
const KEY_BYTES: usize = 32;

/// Makes the secrets of attempts and webhooks; never stored in the database, only its fingerprint is.
#[derive(Clone)]
pub struct InstallationKey([u8; KEY_BYTES]);

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(…)")
    }
}

impl InstallationKey {
    /// Reads the key, or makes it where there is none (mode 0600).
    ///
    /// # Errors
    /// The file cannot be read or made, or holds something else.
    pub fn read_or_make(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .with_context(|| format!("{} holds no installation key", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn make(path: &Path) -> anyhow::Result<Self> {
        let key = random();
        // beside, then named: half a key would be no key for ever
        let beside = path.with_extension("key.partial");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let what = || format!("cannot make the installation key {}", path.display());
        let mut file = options.open(&beside).with_context(what)?;
        file.write_all(hex(&key).as_bytes()).with_context(what)?;
        file.sync_all().with_context(what)?;
        kill_point(KillPoint::KeyWrittenNamed);
        fs::rename(&beside, path).with_context(what)?;
        Ok(Self(key))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        anyhow::ensure!(text.is_ascii() && text.len() == 2 * KEY_BYTES, "not 64 hex digits");
        let mut key = [0; KEY_BYTES];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits)?;
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(Self(key))
    }

    /// What the database remembers of the key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.0))
    }

    /// The bearer token of one attempt, good for no other.
    #[must_use]
    pub fn secret(&self, run: RunId, attempt: u32) -> String {
        hex(&self.mac(run, attempt).finalize().into_bytes())
    }

    /// In constant time.
    #[must_use]
    pub fn is_secret_of(&self, run: RunId, attempt: u32, secret: &str) -> bool {
        let bytes = (0..secret.len() / 2)
            .map(|i| u8::from_str_radix(secret.get(2 * i..2 * i + 2)?, 16).ok())
            .collect::<Option<Vec<u8>>>();
        bytes.is_some_and(|bytes| self.mac(run, attempt).verify_slice(&bytes).is_ok())
    }

    /// What the deliveries of one webhook are signed with.
    #[must_use]
    pub fn webhook_secret(&self, secret_id: Uuid) -> WebhookKey {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(b"assay webhook");
        mac.update(secret_id.as_bytes());
        WebhookKey::new(mac.finalize().into_bytes().into())
    }

    fn mac(&self, run: RunId, attempt: u32) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(b"assay attempt");
        mac.update(run.0.as_bytes());
        mac.update(&attempt.to_be_bytes());
        mac
    }
}

/// 244 bits of chance.
fn random() -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes
}

/// What a token or a cookie holds: shown to whoever it is for, and remembered by its hash alone.
#[must_use]
pub fn make_secret(prefix: &str) -> String {
    format!("{prefix}{}", hex(&random()))
}

/// What the database remembers of such a secret.
#[must_use]
pub fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_good_for_one_attempt_of_one_run() {
        let key = InstallationKey([7; KEY_BYTES]);
        let (run, other) = (RunId(Uuid::from_u128(1)), RunId(Uuid::from_u128(2)));
        let secret = key.secret(run, 1);
        assert!(key.is_secret_of(run, 1, &secret));
        assert!(!key.is_secret_of(run, 2, &secret));
        assert!(!key.is_secret_of(other, 1, &secret));
        assert!(!InstallationKey([8; KEY_BYTES]).is_secret_of(run, 1, &secret));
        assert!(!key.is_secret_of(run, 1, ""));
        assert!(!key.is_secret_of(run, 1, &secret[..62]));
        assert!(!key.is_secret_of(run, 1, "ümlaut"));
    }
}
