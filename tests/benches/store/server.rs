//! A controller of its own for each part: a fresh database, the real router on a port.

use std::net::SocketAddr;

use assay_controller::store::Store;
use assay_tests::TestApp;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::net::TcpListener;

use crate::client::{Client, post};

pub(crate) struct Server {
    pub(crate) app: TestApp,
    pub(crate) address: SocketAddr,
}

/// The server that `tests/with-postgres` started.
fn url() -> String {
    std::env::var("DATABASE_URL").expect("run it by tests/with-postgres --durable")
}

impl Server {
    /// With a fake pool of so many slots.
    pub(crate) async fn start(database: &str, slots: u32) -> Self {
        let mut admin = PgConnection::connect(&url()).await.expect("Postgres is there");
        let fsync: String = one(&mut admin, "show fsync").await;
        assert_eq!(fsync, "on", "figures of a server that forgets are no figures");
        let create = format!("create database {database}");
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut admin).await.expect("a new database");
        let url = url().replace("localhost/assay", &format!("localhost/{database}"));
        let store = Store::connect(&url).await.expect("it was just made");
        store.migrate().await.expect("an empty database");
        let app = TestApp::new(store.db, slots).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let router = assay_controller::http::router(app.app.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { app, address }
    }

    pub(crate) fn db(&self) -> &PgPool {
        &self.app.app.store.db
    }

    /// Applies a sweep through HTTP.
    pub(crate) async fn apply(&self, file: &str) {
        let body = serde_json::to_vec(&self.app.request(file)).expect("plain data");
        Client::connect(self.address).await.ask(&post("/api/v1/sweeps/apply", &[], &body)).await;
    }

    /// Lets both `prepare` runs of a sweep succeed, so that all others are placed.
    pub(crate) async fn prepared(&mut self, sweep: &str) {
        self.app.settle().await;
        self.app.succeed(sweep, 1).await;
        self.app.succeed(sweep, 2).await;
    }
}

async fn one(connection: &mut PgConnection, query: &'static str) -> String {
    sqlx::query_scalar(query).fetch_one(connection).await.expect("a setting")
}

/// A sweep with one `train` run for each pair of learning rate and seed.
pub(crate) fn sweep(name: &str, rates: u32, seeds: u32) -> String {
    let rates: Vec<String> = (1..=rates).map(|i| format!("{i}e-5")).collect();
    let seeds: Vec<String> = (1..=seeds).map(|seed| seed.to_string()).collect();
    let file = assay_tests::sweep(name).replace("peak: 1e-3", "peak: 1e-5");
    let (base, _) = file.split_once("axes:").expect("it has axes");
    format!("{base}axes:\n  lr: [{}]\n  seed: [{}]\n", rates.join(", "), seeds.join(", "))
}
