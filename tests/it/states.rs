//! Words that stand in more than one place: the scheduler's types, the tables' CHECKs, the API.

use assay_scheduler::{Cause, Outcome};
use sqlx::PgPool;

async fn words_of(db: &PgPool, constraint: &str) -> Vec<String> {
    let text: String = sqlx::query_scalar(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = $1",
    )
    .bind(constraint)
    .fetch_one(db)
    .await
    .unwrap();
    let mut words: Vec<String> = text.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    words.sort();
    words
}

fn schema_words(name: &str) -> Vec<String> {
    let api: serde_json::Value = serde_json::from_str(&assay_controller::http::openapi()).unwrap();
    let words = api["components"]["schemas"][name]["enum"].as_array().unwrap();
    let mut words: Vec<String> =
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    words.sort();
    words
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn the_tables_the_scheduler_and_the_api_know_the_same_words(db: PgPool) {
    assert_eq!(words_of(&db, "run_state_known").await, schema_words("RunState"));
    assert_eq!(words_of(&db, "run_kind_known").await, schema_words("RunKind"));

    use Outcome::{Cancelled, Diverged, Failed, StoppedEarly, Succeeded};
    let mut outcomes: Vec<_> =
        [Succeeded, Diverged, Failed, Cancelled, StoppedEarly].map(Outcome::word).into();
    outcomes.sort_unstable();
    assert_eq!(words_of(&db, "run_outcome_known").await, outcomes);
    assert_eq!(schema_words("Outcome"), outcomes);

    let mut causes: Vec<_> = [
        Cause::Finished,
        Cause::Diverged,
        Cause::Error,
        Cause::Infrastructure,
        Cause::Preempted,
        Cause::Cancelled,
    ]
    .map(Cause::word)
    .into();
    causes.sort_unstable();
    assert_eq!(words_of(&db, "run_cause_known").await, causes);

    // nobody can wait for a ping, and every end of a run can be told
    let mut events = words_of(&db, "webhook_events_known").await;
    for outcome in &outcomes {
        assert!(events.contains(&format!("run.{outcome}")), "{outcome}");
    }
    events.push("ping".to_owned());
    events.sort();
    assert_eq!(schema_words("WebhookEvent"), events);
    assert_eq!(words_of(&db, "delivery_state_known").await, schema_words("DeliveryState"));
    assert_eq!(words_of(&db, "attempt_cause_known").await, causes);
}

#[test]
fn the_committed_api_is_the_one_that_is_served() {
    let committed = include_str!("../../web/openapi.json");
    let served = assay_controller::http::openapi();
    assert!(committed.trim() == served.trim(), "run `make schema` and commit web/openapi.json");
}
