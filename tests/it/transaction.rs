//! Transactions whose client goes away.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use assay_controller::store::{self, Store};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

/// Goal: nobody is given a connection on which somebody else's transaction is open. Method: a pool of one
/// connection; to begin is given up after it was looked at so many times; what is written next is asked
/// for over another connection.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_is_written_after_a_client_went_away_is_committed(
    _: PgPoolOptions,
    server: PgConnectOptions,
) {
    let one = PgPoolOptions::new().max_connections(1).connect_with(server.clone()).await.unwrap();
    let mut other = PgConnection::connect_with(&server).await.unwrap();
    for (looks, is_snapshot) in (0..12).flat_map(|looks| [(looks, false), (looks, true)]) {
        begin_and_go_away(&one, looks, is_snapshot).await;
        sqlx::query("insert into project (project_id, name, created_by) values (gen_random_uuid(), $1, 'me')")
            .bind(format!("{looks}-{is_snapshot}"))
            .execute(&one)
            .await
            .unwrap();
        let written: i64 = sqlx::query_scalar("select count(*) from project where name = $1")
            .bind(format!("{looks}-{is_snapshot}"))
            .fetch_one(&mut other)
            .await
            .unwrap();
        assert_eq!(written, 1, "after {looks} looks");
    }
}

async fn begin_and_go_away(db: &PgPool, looks: u32, is_snapshot: bool) {
    let store = Store { db: db.clone() };
    let mut begins = pin!(async {
        match is_snapshot {
            true => store::snapshot(db).await,
            false => store.begin().await,
        }
    });
    let mut left = looks;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        match begins.as_mut().poll(context) {
            Poll::Ready(begun) => drop(begun.unwrap()),
            Poll::Pending => return Poll::Pending,
        }
        left = 0;
        Poll::Ready(())
    })
    .await;
}
