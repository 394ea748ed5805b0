//! `ctl token` and `ctl audit`: who may ask for what, and who did.

use std::process::ExitCode;

use assay_api::quantity::Seconds;
use assay_api::view::{
    AuditRow, Role, RotateRequest, TokenRequest, TokenSecret, TokenState, TokenView,
};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::Session;
use crate::print::{self, Format, Table};
use crate::words;

const HELP: &str = "\
Roles: a viewer looks at sweeps and runs; an editor changes them as well; an admin also
makes tokens and reads the audit log. With `--project` a token is for that project alone;
without, if you are an admin of all projects, for all.

Examples:
  ctl token create ci --role editor --expires 90d    prints the secret, once
  ASSAY_TOKEN=assay_... ctl sweep ls                 asks with it
  ctl token rotate ci --grace 1d                     a new secret; the last one works for a day
  ctl token revoke ci                                ends it, and the sessions opened with it

The first admin's token, and one where all are lost:
  assay-controller token anna --database-url postgres://...";

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
pub(crate) enum Command {
    /// Make a token, and print its secret: it is shown this once.
    Create {
        /// Who or what it is for: 1 to 63 letters, digits and `-_.@`.
        name: String,
        /// viewer, editor or admin.
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// How long it is valid, for example 12h or 90d. Without it: until it is revoked.
        #[arg(long, value_name = "TIME", value_parser = Seconds::parse)]
        expires: Option<Seconds>,
    },
    /// List all tokens: role, by whom, last use, end.
    Ls,
    /// Give a token another secret, and print it.
    Rotate {
        name: String,
        /// How long the last secret is still taken. Without it: it ends now.
        #[arg(long, value_name = "TIME", value_parser = Seconds::parse)]
        grace: Option<Seconds>,
    },
    /// Take a token back at once.
    Revoke { name: String },
}

/// Who asked for what that may have changed something, the newest first.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Those before this number, which each row begins with.
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    match command {
        Command::Create { name, role, expires } => {
            let expires_in_s = expires.map(|time| time.0);
            let made = client.create_token(&TokenRequest { name, role, expires_in_s }).await?;
            secret(session.format, &made)?;
        }
        Command::Ls => {
            let tokens = client.tokens().await?;
            if tokens.is_empty() {
                print::note("No token yet: `ctl token create NAME --role editor` makes one.");
            }
            print::view(session.format, &tokens, |tokens| table(tokens, Utc::now()))?;
        }
        Command::Rotate { name, grace } => {
            let asked = RotateRequest { grace_s: grace.map_or(0, |time| time.0) };
            secret(session.format, &client.rotate_token(&name, &asked).await?)?;
        }
        Command::Revoke { name } => {
            client.revoke_token(&name).await?;
            print::note(&format!("{name} is revoked; sessions opened with it are over."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Alone on standard output, so that a program can take it.
fn secret(format: Format, made: &TokenSecret) -> anyhow::Result<()> {
    if format == Format::Table {
        print::note(&format!(
            "The secret of {} ({}, {}). It is not shown again:",
            made.token.name,
            made.token.role,
            place(&made.token)
        ));
    }
    print::view(format, made, |made| made.secret.clone())
}

/// Where its role is one.
fn place(token: &TokenView) -> String {
    token.project.clone().unwrap_or_else(|| "all projects".to_owned())
}

fn table(tokens: &[TokenView], now: DateTime<Utc>) -> String {
    let mut table = Table::new(&["token", "role", "in", "state", "by", "used", "made"]);
    let ago = |at: DateTime<Utc>| format!("{} ago", words::duration(now - at));
    for token in tokens {
        table.row([
            token.name.clone(),
            token.role.to_string(),
            place(token),
            state(token, now),
            token.created_by.clone(),
            token.last_used_at.map_or_else(|| "never".to_owned(), ago),
            ago(token.created_at),
        ]);
    }
    table.text()
}

fn state(token: &TokenView, now: DateTime<Utc>) -> String {
    let left = |at: DateTime<Utc>| words::duration(at - now);
    let end = match (token.state, token.expires_at) {
        (TokenState::Revoked, _) => return "revoked".to_owned(),
        (TokenState::Expired, _) => return "expired".to_owned(),
        (TokenState::Valid, Some(at)) => format!("valid for {}", left(at)),
        (TokenState::Valid, None) => "valid".to_owned(),
    };
    let replaced = token.previous_until.filter(|until| now < *until);
    let replaced = replaced.map(|until| format!(", last secret for {}", left(until)));
    end + &replaced.unwrap_or_default()
}

pub(crate) async fn audit(session: &Session, options: &Audit) -> anyhow::Result<ExitCode> {
    let page = session.client.audit(options.before, options.limit).await?;
    print::view(session.format, &page, |page| log(&page.rows))?;
    if let Some(before) = page.before {
        print::note(&format!("There are others: `ctl audit --before {before}`."));
    }
    Ok(ExitCode::SUCCESS)
}

fn log(rows: &[AuditRow]) -> String {
    let mut table =
        Table::new(&[">number", "at", "who", "project", "asked for", ">answer", "what"]);
    for row in rows {
        let what = row.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        table.row([
            row.audit_id.to_string(),
            row.at.format("%Y-%m-%d %H:%M:%S").to_string(),
            row.actor.clone(),
            row.project.clone().unwrap_or_else(|| "-".to_owned()),
            row.action.clone(),
            row.status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
            format!("{}{what}", row.path),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_how_long_it_and_its_last_secret_are_valid() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let hours = |n| Some(now + chrono::TimeDelta::hours(n));
        let token = TokenView {
            token_id: serde_json::from_str("\"00000000-0000-0000-0000-000000000000\"").unwrap(),
            name: "ci".to_owned(),
            role: Role::Editor,
            project: None,
            created_at: now,
            created_by: "anna".to_owned(),
            expires_at: hours(48),
            last_used_at: None,
            previous_until: hours(1),
            state: TokenState::Valid,
        };
        assert_eq!(state(&token, now), "valid for 2d 0h, last secret for 1h 00m");
        let text = table(&[TokenView { state: TokenState::Expired, ..token }], now);
        assert!(text.contains("expired") && text.contains("never"), "{text}");
    }
}
