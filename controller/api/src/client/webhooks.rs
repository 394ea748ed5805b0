//! What people's programs ask about webhooks.

use super::Error;
use super::people::{Client, escaped};
use crate::view::{DeliveryPage, DeliveryView, WebhookRequest, WebhookSecret, WebhookView};

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl Client {
    pub async fn webhooks(&self) -> Result<Vec<WebhookView>, Error> {
        self.get("/webhooks").await
    }

    pub async fn add_webhook(&self, asked: &WebhookRequest) -> Result<WebhookSecret, Error> {
        let post = self.connection.http.post(self.connection.path("/webhooks")).json(asked);
        self.connection.ask(post).await
    }

    pub async fn remove_webhook(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/webhooks/{}", escaped(name))).await
    }

    pub async fn webhook_secret(&self, name: &str) -> Result<WebhookSecret, Error> {
        self.get(&format!("/webhooks/{}/secret", escaped(name))).await
    }

    pub async fn rotate_webhook(&self, name: &str) -> Result<WebhookSecret, Error> {
        let path = self.connection.path(&format!("/webhooks/{}/rotate", escaped(name)));
        self.connection.ask(self.connection.http.post(path)).await
    }

    pub async fn enable_webhook(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/webhooks/{}/enable", escaped(name))).await
    }

    pub async fn disable_webhook(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/webhooks/{}/disable", escaped(name))).await
    }

    /// Sends a ping.
    pub async fn test_webhook(&self, name: &str) -> Result<DeliveryView, Error> {
        let path = self.connection.path(&format!("/webhooks/{}/test", escaped(name)));
        self.connection.ask(self.connection.http.post(path)).await
    }

    /// The newest first.
    pub async fn deliveries(
        &self,
        name: &str,
        (before, limit): (Option<i64>, u32),
    ) -> Result<DeliveryPage, Error> {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        self.get(&format!("/webhooks/{}/deliveries?limit={limit}{before}", escaped(name))).await
    }

    pub async fn repeat_delivery(&self, delivery: i64) -> Result<DeliveryView, Error> {
        let path = self.connection.path(&format!("/deliveries/{delivery}/repeat"));
        self.connection.ask(self.connection.http.post(path)).await
    }
}
