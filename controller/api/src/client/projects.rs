//! What people's programs ask about projects.

use super::Error;
use super::people::{Client, escaped};
use crate::view::{ProjectRequest, ProjectView, QuotaRequest};

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl Client {
    pub async fn projects(&self) -> Result<Vec<ProjectView>, Error> {
        self.get("/projects").await
    }

    pub async fn create_project(&self, name: &str) -> Result<(), Error> {
        self.tell("/projects", &ProjectRequest { name: name.to_owned() }).await
    }

    pub async fn delete_project(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/projects/{}", escaped(name))).await
    }

    /// How many slots of a pool its active runs may take. None: all of them.
    pub async fn set_quota(&self, name: &str, pool: &str, slots: Option<u32>) -> Result<(), Error> {
        let path = format!("/projects/{}/quotas/{}", escaped(name), escaped(pool));
        let Some(slots) = slots else { return self.delete(&path).await };
        let put = self.connection.http.put(self.connection.path(&path));
        self.connection.send(put.json(&QuotaRequest { slots })).await?;
        Ok(())
    }
}
