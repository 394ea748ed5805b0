//! What people's programs ask about schedules.

use super::Error;
use super::people::{Client, escaped};
use crate::view::{ScheduleDetails, ScheduleView};

/// Every method fails where the controller cannot be reached, or refuses.
#[expect(clippy::missing_errors_doc, reason = "all of them fail in the same ways")]
impl Client {
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, Error> {
        self.get("/schedules").await
    }

    pub async fn schedule(&self, name: &str) -> Result<ScheduleDetails, Error> {
        self.get(&format!("/schedules/{}", escaped(name))).await
    }

    /// Applies its file now; the name of the sweep.
    pub async fn run_schedule(&self, name: &str) -> Result<String, Error> {
        let path = self.connection.path(&format!("/schedules/{}/run", escaped(name)));
        self.connection.ask(self.connection.http.post(path)).await
    }

    pub async fn pause_schedule(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/schedules/{}/pause", escaped(name))).await
    }

    pub async fn resume_schedule(&self, name: &str) -> Result<(), Error> {
        self.wish(&format!("/schedules/{}/resume", escaped(name))).await
    }

    pub async fn remove_schedule(&self, name: &str) -> Result<(), Error> {
        self.delete(&format!("/schedules/{}", escaped(name))).await
    }
}
