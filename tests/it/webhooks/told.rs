//! What reaches a receiver, and what does not.

use std::io::Write;
use std::process::Stdio;

use assay_api::KillPoint;
use assay_api::view::{DeliveryState, WebhookEvent};
use assay_controller::webhook::address::Reach;
use assay_controller::webhook::{self, Sender};
use assay_tests::{Answer, Books, Corpus, Got, Machine, Receiver, TestApp, until};
use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{add, ask, deliveries, request, with_sweep};
use crate::outside::{outside, root};

const SUCCEEDED: &[WebhookEvent] = &[WebhookEvent::RunSucceeded];

/// A controller with a webhook for runs that succeed.
async fn heard(db: PgPool) -> (TestApp, Receiver, Sender, String) {
    let app = with_sweep(db).await;
    let receiver = Receiver::start().await;
    let secret = add(&app, "ears", &receiver.url(), SUCCEEDED).await.unwrap().secret;
    let sender = Sender::new(app.app.reach);
    (app, receiver, sender, secret)
}

async fn tell(app: &TestApp, sender: &Sender) -> usize {
    webhook::tell(&app.app, sender).await.unwrap()
}

/// As if the time until the next try were over.
async fn pass(db: &PgPool) {
    sqlx::query("update delivery set next_at = now() where state = 'waiting'")
        .execute(db)
        .await
        .unwrap();
}

/// Why each is refused, by the library that receivers use.
fn verify(secret: &str, messages: &[Got]) -> Vec<Option<String>> {
    let message = |got: &Got| {
        let headers: serde_json::Map<_, _> =
            got.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({"headers": headers, "body": got.body})
    };
    let messages: Vec<Value> = messages.iter().map(message).collect();
    let mut python = outside("python");
    python.arg(root().join("tests/outside/verify.py"));
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({"secret": secret, "messages": messages}).to_string();
    python.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_delivery_is_signed_as_receivers_verify_it(db: PgPool) {
    let (mut app, receiver, sender, secret) = heard(db).await;
    app.succeed("s", 1).await;
    assert_eq!(tell(&app, &sender).await, 1);
    let [got] = &receiver.got()[..] else { panic!("{:?}", receiver.got()) };
    assert_eq!((got.path.as_str(), got.header("content-type")), ("/hook", "application/json"));
    let sent = &deliveries(&app, "ears").await[0];
    assert_eq!((sent.state, sent.tries, sent.status), (DeliveryState::Delivered, 1, Some(204)));
    assert_eq!(got.id(), sent.message_id.to_string());
    let message = got.json();
    assert_eq!((&message["id"], &message["type"]), (&json!(got.id()), &json!("run.succeeded")));
    assert_eq!((&message["data"]["sweep"], &message["data"]["run"]), (&json!("s"), &json!(1)));

    let changed = Got { body: got.body.replace("succeeded", "failed"), ..got.clone() };
    let mut renamed = got.clone();
    for (name, value) in &mut renamed.headers {
        if name == "webhook-id" {
            value.push('0');
        }
    }
    let judged = verify(&secret, &[got.clone(), changed, renamed]);
    assert_eq!(judged[0], None);
    assert!(judged[1].is_some() && judged[2].is_some(), "{judged:?}");
    ask(&app, "POST", "/webhooks/ears/rotate").await;
    let (_, other) = app.get("/webhooks/ears/secret").await;
    let other = other["secret"].as_str().unwrap();
    assert!(verify(other, std::slice::from_ref(got))[0].is_some(), "another secret");
    ask(&app, "POST", "/webhooks/ears/test").await;
    tell(&app, &sender).await;
    let ping = receiver.got().pop().unwrap();
    assert_eq!(verify(other, std::slice::from_ref(&ping)), [None]);
    assert_eq!(ping.json()["type"], "ping");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_receiver_that_fails_is_sent_the_same_message_until_it_takes_it(db: PgPool) {
    let (mut app, receiver, sender, _) = heard(db.clone()).await;
    receiver.answer_with([Answer::Status(500), Answer::Status(200)]);
    app.succeed("s", 1).await;
    assert_eq!(tell(&app, &sender).await, 1);
    let failed = deliveries(&app, "ears").await.remove(0);
    assert_eq!((failed.state, failed.tries, failed.status), (DeliveryState::Waiting, 1, Some(500)));
    assert_eq!(tell(&app, &sender).await, 0, "not yet");
    pass(&db).await;
    assert_eq!(tell(&app, &sender).await, 1);
    let done = deliveries(&app, "ears").await.remove(0);
    assert_eq!((done.state, done.tries, done.status), (DeliveryState::Delivered, 2, Some(200)));
    assert_eq!(done.next_at, None);
    let got = receiver.got();
    assert_eq!((got[0].id(), &got[0].body), (got[1].id(), &got[1].body));

    let repeat = format!("/deliveries/{}/repeat", done.delivery_id);
    assert_eq!(ask(&app, "POST", &repeat).await.0, StatusCode::ACCEPTED);
    assert_eq!(tell(&app, &sender).await, 1);
    let got = receiver.got();
    assert_eq!((got.len(), got[2].id()), (3, got[0].id()));
    assert_eq!(deliveries(&app, "ears").await[0].tries, 3);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn after_nine_tries_it_is_given_up_and_repeated_it_has_nine_again(db: PgPool) {
    let (app, receiver, sender, _) = heard(db.clone()).await;
    receiver.answer_with((0..18).map(|_| Answer::Status(410)));
    ask(&app, "POST", "/webhooks/ears/test").await;
    for round in 1..=2 {
        for _ in 0..9 {
            assert_eq!(deliveries(&app, "ears").await[0].state, DeliveryState::Waiting);
            pass(&db).await;
            assert_eq!(tell(&app, &sender).await, 1);
        }
        let given_up = deliveries(&app, "ears").await.remove(0);
        assert_eq!((given_up.state, given_up.tries), (DeliveryState::GivenUp, 9 * round));
        pass(&db).await;
        assert_eq!(tell(&app, &sender).await, 0);
        ask(&app, "POST", &format!("/deliveries/{}/repeat", given_up.delivery_id)).await;
    }
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_redirect_is_not_followed(db: PgPool) {
    let (app, receiver, sender, _) = heard(db).await;
    let elsewhere = Receiver::start().await;
    receiver.answer_with([Answer::Redirect(elsewhere.url())]);
    ask(&app, "POST", "/webhooks/ears/test").await;
    tell(&app, &sender).await;
    assert!(elsewhere.got().is_empty());
    let failed = &deliveries(&app, "ears").await[0];
    assert_eq!((failed.state, failed.status), (DeliveryState::Waiting, Some(307)));
}

/// `localhost` is a name: only its resolver knows where it leads. An address was added by a controller
/// that was told to send anywhere.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_private_address_is_not_connected_to_whatever_leads_there(db: PgPool) {
    let app = TestApp::new(db, 1).await.reaching(Reach::Anywhere);
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let urls = [
        ("name", format!("http://localhost:{port}/")),
        ("address", receiver.url()),
        ("mapped", format!("http://[::ffff:127.0.0.1]:{port}/")),
    ];
    for (name, url) in &urls {
        add(&app, name, url, SUCCEEDED).await.unwrap();
        ask(&app, "POST", &format!("/webhooks/{name}/test")).await;
    }
    tell(&app, &Sender::new(Reach::Public)).await;
    for (name, _) in &urls {
        let refused = deliveries(&app, name).await.remove(0);
        let why = refused.error.unwrap();
        assert!(why.contains("no public address") && !why.contains("/hook"), "{name}: {why}");
        assert_eq!((refused.tries, refused.status), (1, None));
    }
    assert!(receiver.got().is_empty());

    for (name, _) in &urls {
        let delivery = deliveries(&app, name).await[0].delivery_id;
        ask(&app, "POST", &format!("/deliveries/{delivery}/repeat")).await;
    }
    tell(&app, &Sender::new(Reach::Anywhere)).await;
    assert_eq!(receiver.got().len(), 3, "where it may");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_receiver_that_is_silent_keeps_no_other_waiting(db: PgPool) {
    let (app, silent, _, _) = heard(db).await;
    let other = Receiver::start().await;
    add(&app, "other", &other.url(), SUCCEEDED).await.unwrap();
    silent.answer_with((0..10).map(|_| Answer::Silence));
    for _ in 0..10 {
        ask(&app, "POST", "/webhooks/ears/test").await;
    }
    let telling = tokio::spawn(webhook::run(app.app.clone()));
    until("it is spoken to", async || (!silent.got().is_empty()).then_some(())).await;
    for n in 1..=2 {
        ask(&app, "POST", "/webhooks/other/test").await;
        until("the other one is told", async || (other.got().len() == n).then_some(())).await;
    }
    assert_eq!(silent.got().len(), 4, "so many at once, and none of them has ended");
    app.app.shutdown.cancel();
    telling.await.unwrap();
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_webhook_that_is_disabled_is_told_later_what_waited(db: PgPool) {
    let (mut app, receiver, sender, _) = heard(db).await;
    ask(&app, "POST", "/webhooks/ears/test").await;
    ask(&app, "POST", "/webhooks/ears/disable").await;
    assert_eq!(ask(&app, "POST", "/webhooks/ears/test").await.0, StatusCode::CONFLICT);
    app.succeed("s", 1).await;
    assert_eq!(tell(&app, &sender).await, 0);
    ask(&app, "POST", "/webhooks/ears/enable").await;
    assert_eq!(tell(&app, &sender).await, 1, "what happened meanwhile was not written down");
    assert_eq!(receiver.got()[0].json()["type"], "ping");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn deliveries_are_kept_for_thirty_days(db: PgPool) {
    let (app, _receiver, sender, _) = heard(db.clone()).await;
    for days in [31, 29] {
        ask(&app, "POST", "/webhooks/ears/test").await;
        let age = "update delivery set created_at = now() - make_interval(days => $1)
            where delivery_id = (select max(delivery_id) from delivery)";
        sqlx::query(age).bind(days).execute(&db).await.unwrap();
    }
    let far = "update delivery set next_at = now() + interval '2 days'";
    sqlx::query(far).execute(&db).await.unwrap();
    assert_eq!(webhook::forget(&app.app).await.unwrap(), 1);
    assert_eq!(deliveries(&app, "ears").await.len(), 1);
    assert_eq!(tell(&app, &sender).await, 1, "it was written before the clock was set back");
}

/// Goal: what was sent and not noted is sent again, and the receiver can tell. Method: a real controller
/// dies between the two; the next one sends what it finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_before_it_notes_a_delivery_leaves_it_to_be_sent_again() {
    let receiver = Receiver::start().await;
    let options = ["--slots", "1", "--webhooks-to-private"].map(str::to_owned);
    let mut machine = Machine::switched_off(Corpus::make(), options.to_vec());
    machine.set_trap(Some(KillPoint::SentNoted));
    machine.restart_controller();
    let asked = request("ears", &receiver.url(), SUCCEEDED);
    let secret = machine.client.add_webhook(&asked).await.unwrap().secret;
    machine.client.test_webhook("ears").await.unwrap();
    until("it dies", async || (!machine.has_controller()).then_some(())).await;
    assert_eq!(receiver.got().len(), 1);

    machine.set_trap(None);
    machine.restart_controller();
    let due = "update delivery set next_at = now() where state = 'waiting' returning tries::text";
    assert_eq!(Books::default().ask(&machine, due).await, ["1"]);
    let told = until("it is noted", async || {
        let rows = machine.client.deliveries("ears", (None, 10)).await.unwrap().rows;
        (rows[0].state == DeliveryState::Delivered).then_some(rows)
    })
    .await;
    let got = receiver.got();
    assert_eq!((got.len(), told.len(), told[0].tries), (2, 1, 2));
    assert_eq!((got[0].id(), &got[0].body), (got[1].id(), &got[1].body));
    assert_eq!(verify(&secret, &got), [None, None]);
}
