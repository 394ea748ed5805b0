//! One leader: a row with a term, by the database's clock.

use std::time::Duration;

use assay_controller::store::leader;
use sqlx::PgPool;

const TTL: Duration = Duration::from_secs(60);

async fn expire(db: &PgPool) {
    sqlx::query("update leader set expires_at = now() - interval '1 second'")
        .execute(db)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn the_lead_is_kept_by_who_has_it_until_it_runs_out(db: PgPool) {
    assert!(leader::lead(&db, "a", TTL).await.unwrap().is_some());
    assert!(leader::lead(&db, "b", TTL).await.unwrap().is_none(), "a leads");
    assert!(leader::lead(&db, "a", TTL).await.unwrap().is_some(), "a goes on");
    expire(&db).await;
    assert!(leader::lead(&db, "b", TTL).await.unwrap().is_some());
    assert!(leader::lead(&db, "a", TTL).await.unwrap().is_none(), "b leads");
    leader::resign(&db, "b").await.unwrap();
    assert!(leader::lead(&db, "a", TTL).await.unwrap().is_some(), "b gave it up");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_frozen_leader_that_wakes_up_writes_nothing(db: PgPool) {
    let frozen = leader::lead(&db, "a", TTL).await.unwrap().unwrap();
    assert!(leader::hold(&db, frozen).await.unwrap());
    expire(&db).await;
    assert!(!leader::hold(&db, frozen).await.unwrap(), "its time is over");
    let next = leader::lead(&db, "b", TTL).await.unwrap().unwrap();
    assert!(!leader::hold(&db, frozen).await.unwrap(), "another leads");
    assert!(leader::hold(&db, next).await.unwrap());
    // even if it leads again, what it planned under its old term is not believed
    expire(&db).await;
    leader::lead(&db, "a", TTL).await.unwrap().unwrap();
    assert!(!leader::hold(&db, frozen).await.unwrap(), "the term has moved on");
}
