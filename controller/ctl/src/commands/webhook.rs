//! `ctl webhook`: who is told of what happens, and how that went.

use std::process::ExitCode;

use assay_api::view::{
    DeliveryState, DeliveryView, WebhookEvent, WebhookRequest, WebhookSecret, WebhookView,
};
use chrono::{DateTime, Utc};
use clap::Subcommand;

use super::Session;
use crate::print::{self, Format, Table};
use crate::words;

const HELP: &str = "\
Events: sweep.finished, sweep.paused, run.succeeded, run.diverged, run.failed,
run.cancelled, run.stopped_early. docs/webhooks.md says what is sent, and how a
receiver makes sure that it comes from here.

Examples:
  ctl webhook add chat https://example.com/hook --on sweep.finished,run.failed
  ctl webhook test chat              sends a ping
  ctl webhook deliveries chat        how it went
  ctl webhook repeat 17              sends delivery 17 again
  ctl webhook rotate chat            signs with another secret from now on";

#[derive(Debug, Subcommand)]
#[command(after_help = HELP)]
pub(crate) enum Command {
    /// Add a webhook, and print the secret that its deliveries are signed with.
    Add {
        /// 1 to 63 letters, digits and `-_.@`.
        name: String,
        /// Where to send to, by http or https.
        #[arg(value_name = "URL")]
        to: String,
        /// What to tell of, separated by commas.
        #[arg(long, value_name = "EVENTS", value_delimiter = ',', required = true)]
        on: Vec<WebhookEvent>,
    },
    /// List all webhooks: what they wait for, and where they lead.
    Ls,
    /// Remove a webhook with its deliveries.
    Remove { name: String },
    /// Print the secret of a webhook.
    Secret { name: String },
    /// Give a webhook another secret, and print it. The last one ends now.
    Rotate { name: String },
    /// Tell a webhook nothing for now. What happens meanwhile it never hears of.
    Disable { name: String },
    /// Tell a webhook of what happens again.
    Enable { name: String },
    /// Send a ping.
    Test { name: String },
    /// List what was told to a webhook or is to be, the newest first.
    Deliveries {
        name: String,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 100,
            value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Those before this number, which each row begins with.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
    },
    /// Send a delivery again, with the same id.
    Repeat {
        #[arg(value_name = "DELIVERY")]
        delivery: i64,
    },
}

pub(crate) async fn run(session: &Session, command: Command) -> anyhow::Result<ExitCode> {
    let client = &session.client;
    let format = session.format;
    match command {
        Command::Add { name, to: url, on: events } => {
            secret(format, &client.add_webhook(&WebhookRequest { name, url, events }).await?)?;
        }
        Command::Ls => {
            let webhooks = client.webhooks().await?;
            if webhooks.is_empty() {
                print::note("No webhook yet: `ctl webhook add NAME URL --on sweep.finished`.");
            }
            print::view(format, &webhooks, |webhooks| table(webhooks))?;
        }
        Command::Remove { name } => {
            client.remove_webhook(&name).await?;
            print::note(&format!("{name} is removed, with its deliveries."));
        }
        Command::Secret { name } => secret(format, &client.webhook_secret(&name).await?)?,
        Command::Rotate { name } => secret(format, &client.rotate_webhook(&name).await?)?,
        Command::Disable { name } => {
            client.disable_webhook(&name).await?;
            print::note(&format!("{name} is told nothing until `ctl webhook enable {name}`."));
        }
        Command::Enable { name } => {
            client.enable_webhook(&name).await?;
            print::note(&format!("{name} is told of what happens from now on."));
        }
        Command::Test { name } => {
            sent(format, &client.test_webhook(&name).await?)?;
            print::note(&format!("`ctl webhook deliveries {name}` shows how it went."));
        }
        Command::Deliveries { name, limit, before } => {
            let page = client.deliveries(&name, (before, limit)).await?;
            print::view(format, &page, |page| deliveries(&page.rows, Utc::now()))?;
            if let Some(before) = page.before {
                print::note(&format!(
                    "There may be others: `ctl webhook deliveries {name} --before {before}`."
                ));
            }
        }
        Command::Repeat { delivery } => sent(format, &client.repeat_delivery(delivery).await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Alone on standard output, so that a program can take it.
fn secret(format: Format, shown: &WebhookSecret) -> anyhow::Result<()> {
    if format == Format::Table {
        let name = &shown.webhook.name;
        print::note(&format!("Deliveries of {name} are signed with this secret:"));
    }
    print::view(format, shown, |shown| shown.secret.clone())
}

fn sent(format: Format, delivery: &DeliveryView) -> anyhow::Result<()> {
    print::view(format, delivery, |delivery| {
        format!("Delivery {} ({}) is on its way.", delivery.delivery_id, delivery.event)
    })
}

fn table(webhooks: &[WebhookView]) -> String {
    let mut table = Table::new(&["webhook", "state", ">waiting", "by", "leads to", "on"]);
    for webhook in webhooks {
        let events: Vec<&str> = webhook.events.iter().map(|event| event.word()).collect();
        table.row([
            webhook.name.clone(),
            if webhook.is_enabled { "enabled" } else { "disabled" }.to_owned(),
            webhook.waiting.to_string(),
            webhook.created_by.clone(),
            webhook.url.clone(),
            events.join(","),
        ]);
    }
    table.text()
}

fn deliveries(rows: &[DeliveryView], now: DateTime<Utc>) -> String {
    let mut table =
        Table::new(&[">number", "at", "event", "about", "state", ">tries", "last answer", "next"]);
    for row in rows {
        table.row([
            row.delivery_id.to_string(),
            row.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            row.event.word().to_owned(),
            row.about.clone(),
            state(row.state).to_owned(),
            row.tries.to_string(),
            answer(row),
            row.next_at.map_or_else(String::new, |at| next(at, now)),
        ]);
    }
    table.text()
}

const fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "waiting",
        DeliveryState::Delivered => "delivered",
        DeliveryState::GivenUp => "given up",
    }
}

fn answer(row: &DeliveryView) -> String {
    match (row.status, &row.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => error.clone(),
        (None, None) => "none".to_owned(),
    }
}

fn next(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if at <= now { "now".to_owned() } else { format!("in {}", words::duration(at - now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_says_how_its_last_try_ended_and_when_the_next_is() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let waiting = DeliveryView {
            delivery_id: 17,
            message_id: serde_json::from_str("\"00000000-0000-0000-0000-000000000000\"").unwrap(),
            event: WebhookEvent::RunFailed,
            about: "grid/3".to_owned(),
            state: DeliveryState::Waiting,
            tries: 2,
            status: Some(500),
            error: None,
            created_at: now,
            tried_at: Some(now),
            next_at: Some(now + chrono::TimeDelta::seconds(30)),
        };
        let error = Some("no route to it".to_owned());
        let given_up = DeliveryView {
            state: DeliveryState::GivenUp,
            status: None,
            error,
            next_at: None,
            ..waiting.clone()
        };
        let text = deliveries(&[waiting, given_up], now);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].ends_with("run.failed  grid/3  waiting       2  500             in 30s"),
            "{text}"
        );
        assert!(lines[2].ends_with("given up      2  no route to it"), "{text}");
    }
}
