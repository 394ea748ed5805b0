//! The loop that tells. Every controller may: what one has taken, the others leave alone.
//!
//! **Invariant:** a delivery is told at least once, and by one id. Whoever tries takes it for a while
//! first, without a transaction open meanwhile; whoever dies before it is noted how that ended, leaves it
//! to be tried again.

use std::collections::HashMap;
use std::time::Duration;

use assay_api::view::{DeliveryState, WebhookMessage};
use assay_api::{KillPoint, kill_point};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};
use uuid::Uuid;

use super::send::{Letter, Sender, TIMEOUT};
use crate::app::App;
use crate::store::delivery::{self, Ended, Try};

/// Nobody waits for a webhook by the second.
const POLL: Duration = Duration::from_secs(1);
/// Tries at one webhook at a time. Of 20 webhooks (`WEBHOOKS_MAX`) that makes 80 connections.
const AT_ONCE: i64 = 4;
/// A delivery is whoever's takes it for so long: far over what a try takes, and how that ended is noted.
const HELD: Duration = Duration::from_secs(60);
const _: () = assert!(TIMEOUT.as_secs() * 3 < HELD.as_secs());
/// Before each further try. With the last of nine a receiver has been away for a day, less an hour.
const WAITS: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(12),
];
/// Told or given up, it can be looked at, and repeated, for so long.
const KEPT: Duration = Duration::from_hours(30 * 24);
const FORGET_EVERY: Duration = Duration::from_mins(10);
/// Of why a try failed.
const ERROR_MAX: usize = 500;

/// Runs until shutdown. What is being sent then is sent again by the next controller.
pub async fn run(app: App) {
    let sender = Sender::new(app.reach);
    let mut batches = FuturesUnordered::new();
    let mut busy: Vec<Uuid> = Vec::new();
    let mut forgets = tokio::time::interval(FORGET_EVERY);
    forgets.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => (),
            Some(done) = batches.next() => busy.retain(|webhook| *webhook != done),
            _ = forgets.tick() => {
                if let Err(failure) = forget(&app).await {
                    warn!("could not throw old deliveries away and will try again: {failure}");
                }
            }
            () = app.shutdown.cancelled() => return,
        }
        match claim(&app, &busy).await {
            Ok(due) => {
                busy.extend(due.keys());
                batches.extend(due.into_iter().map(|(webhook, tries)| {
                    let (app, sender) = (&app, &sender);
                    async move {
                        join_all(tries.into_iter().map(|due| try_once(app, sender, due))).await;
                        webhook
                    }
                }));
            }
            Err(failure) => warn!("could not see what is to be told and will try again: {failure}"),
        }
    }
}

/// What is due, of webhooks that are not busy: a receiver that is slow delays nobody else's.
async fn claim(app: &App, busy: &[Uuid]) -> Result<HashMap<Uuid, Vec<Try>>, sqlx::Error> {
    let mut due: HashMap<Uuid, Vec<Try>> = HashMap::new();
    for one in delivery::claim(&app.store.db, busy, (AT_ONCE, HELD)).await? {
        due.entry(one.webhook_id).or_default().push(one);
    }
    Ok(due)
}

/// Once: tries what is due, a few of each webhook. Returns how many tries that were.
///
/// # Errors
/// The database does not answer.
pub async fn tell(app: &App, sender: &Sender) -> Result<usize, sqlx::Error> {
    let due: Vec<Try> = claim(app, &[]).await?.into_values().flatten().collect();
    let n = due.len();
    join_all(due.into_iter().map(|due| try_once(app, sender, due))).await;
    Ok(n)
}

/// Throws away what is older than [`KEPT`]; returns how much.
///
/// # Errors
/// The database does not answer.
pub async fn forget(app: &App) -> Result<u64, sqlx::Error> {
    let wait_max = WAITS[WAITS.len() - 1] + HELD;
    delivery::forget(&app.store.db, (KEPT, wait_max)).await
}

async fn try_once(app: &App, sender: &Sender, due: Try) {
    let (delivery, number, tries) = (due.delivery_id, due.number, due.since_asked);
    let letter = letter(app, due);
    kill_point(KillPoint::ClaimedSent);
    let answer = sender.send(letter).await;
    kill_point(KillPoint::SentNoted);
    let ended = ended(tries, answer);
    if ended.state == DeliveryState::GivenUp {
        info!(delivery, "gave delivery {delivery} up after {tries} tries");
    }
    if let Err(failure) = delivery::note(&app.store.db, (delivery, number), &ended).await {
        warn!(
            delivery,
            "could not note how delivery {delivery} ended, it is sent again: {failure}"
        );
    }
}

fn letter(app: &App, due: Try) -> Letter {
    let (id, at_s) = (due.message_id, due.now.timestamp());
    let message =
        WebhookMessage { id, event: due.event, timestamp: due.happened_at, data: due.data };
    let body = serde_json::to_vec(&message).expect("plain data");
    let id = id.to_string();
    let signature = app.key.webhook_secret(due.secret_id).sign(&id, at_s, &body);
    Letter { url: due.url, id, at_s, signature, body }
}

/// After so many tries.
fn ended(tries: u32, answer: anyhow::Result<u16>) -> Ended {
    let (status, error) = match answer {
        Ok(status @ 200..=299) => {
            let state = DeliveryState::Delivered;
            return Ended { state, wait: None, status: Some(status), error: None };
        }
        Ok(status) => (Some(status), None),
        Err(failure) => (None, Some(format!("{failure:#}").chars().take(ERROR_MAX).collect())),
    };
    let wait = usize::try_from(tries).ok().and_then(|tries| WAITS.get(tries.checked_sub(1)?));
    let state = wait.map_or(DeliveryState::GivenUp, |_| DeliveryState::Waiting);
    Ended { state, wait: wait.copied(), status, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_nine_tries_a_delivery_is_given_up() {
        for tries in 1..=9 {
            let failed = ended(tries, Ok(500));
            let wait = usize::try_from(tries).unwrap() - 1;
            assert_eq!(failed.wait, WAITS.get(wait).copied());
            let is_last = tries == 9;
            assert_eq!(failed.state == DeliveryState::GivenUp, is_last, "{tries}");
        }
        assert_eq!(WAITS.iter().sum::<Duration>().as_secs() / 3600, 22);
    }

    #[test]
    fn only_2xx_is_an_answer_to_be_content_with() {
        let state = |answer| ended(1, answer).state;
        assert_eq!(state(Ok(200)), DeliveryState::Delivered);
        assert_eq!(state(Ok(299)), DeliveryState::Delivered);
        for other in [199, 300, 302, 400, 410, 500, 999] {
            assert_eq!(state(Ok(other)), DeliveryState::Waiting, "{other}");
        }
        let failed = ended(1, Err(anyhow::anyhow!("x".repeat(9_000))));
        assert_eq!(failed.error.unwrap().len(), ERROR_MAX);
        assert_eq!((failed.state, failed.status), (DeliveryState::Waiting, None));
    }
}
