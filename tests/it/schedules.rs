//! A file with a schedule is applied at its times, each time once, whoever leads.

use assay_api::view::{ApplyAnswer, FiringOutcome, FiringView, ScheduleDetails, SweepSummary};
use assay_controller::schedule::{self, Memory};
use assay_scheduler::Exit;
use assay_tests::{TestApp, sweep};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use sqlx::PgPool;

fn nightly(more: &str) -> String {
    format!("{}schedule: {{cron: \"0 2 * * *\"{more}}}\n", sweep("nightly"))
}

/// As if so many days had passed: its time came at two this morning, and on the days before.
async fn pass(db: &PgPool, days: i32) {
    sqlx::query(
        "update schedule set due_at = date_trunc('day', now()) + interval '2 hours'
            - make_interval(days => $1 - case when extract(hour from now()) < 2 then 0 else 1 end)",
    )
    .bind(days)
    .execute(db)
    .await
    .unwrap();
}

async fn details(app: &TestApp) -> ScheduleDetails {
    TestApp::read(app.get("/schedules/nightly").await).unwrap()
}

async fn sweeps(app: &TestApp) -> Vec<String> {
    let list: Vec<SweepSummary> = TestApp::read(app.get("/sweeps").await).unwrap();
    list.into_iter().map(|sweep| sweep.name).collect()
}

/// The outcomes of its times, the newest first.
async fn outcomes(app: &TestApp) -> Vec<FiringOutcome> {
    details(app).await.firings.iter().map(|firing| firing.outcome).collect()
}

async fn cancel(app: &mut TestApp, name: &str) {
    app.post(&format!("/sweeps/{name}/cancel"), &()).await;
    for key in app.pool.attempts() {
        app.pool.end(key, Exit::Signal(15));
    }
    app.settle().await;
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_time_that_has_come_is_applied_once_as_a_sweep_of_its_own(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    let answer: ApplyAnswer = app.apply(&nightly("")).await.unwrap();
    assert_eq!((answer.sweep_id, answer.plan.is_new), (None, true));
    let times = answer.plan.schedule.unwrap();
    assert_eq!(
        (times.timetable.cron.as_str(), times.timetable.zone.as_str(), times.next.len()),
        ("0 2 * * *", "UTC", 3)
    );
    app.settle().await;
    assert!(sweeps(&app).await.is_empty(), "it is not due");
    assert_eq!(details(&app).await.schedule.due_at, Some(times.next[0]));

    pass(&db, 1).await;
    app.settle().await;
    app.settle().await;
    let [name] = sweeps(&app).await.try_into().unwrap();
    let day = details(&app).await.firings[0].due_at.format("%Y-%m-%d").to_string();
    assert_eq!(name, format!("nightly@{day}"));
    let view = app.sweep(&name).await;
    assert_eq!(view.runs.len(), 6);
    assert!(view.file.starts_with(&format!("assay: v1\nsweep: {name}\n")), "{}", view.file);
    assert!(!view.file.contains("schedule"), "it can be changed and applied like any other");
    let answer = app.apply(&view.file).await.unwrap();
    assert_eq!((answer.plan.added, answer.plan.kept), (0, 6));
    let shown = details(&app).await;
    assert_eq!(shown.schedule.due_at, Some(times.next[0]), "the next one");
    let [FiringView { outcome, sweep, missed, .. }] = shown.firings.try_into().unwrap();
    assert_eq!((outcome, sweep, missed), (FiringOutcome::Applied, Some(name), 0));
}

/// Both look at what is due before either has applied it.
#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn of_two_controllers_one_applies_it(db: PgPool) {
    let app = TestApp::new(db.clone(), 2).await;
    let mut other = TestApp::new(db.clone(), 2).await;
    other.app.name = "other".to_owned();
    app.apply(&nightly("")).await.unwrap();
    pass(&db, 1).await;
    let (mut ours, mut theirs) = (Memory::default(), Memory::default());
    let (one, two) = tokio::join!(
        schedule::activate(&app.app, &mut ours),
        schedule::activate(&other.app, &mut theirs)
    );
    let followers = [one.unwrap().is_follower, two.unwrap().is_follower];
    assert_eq!(followers.iter().filter(|follows| **follows).count(), 1);
    assert_eq!(outcomes(&app).await, [FiringOutcome::Applied]);
    assert_eq!(sweeps(&app).await.len(), 1);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn of_times_that_nobody_was_there_for_the_last_is_applied(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly("")).await.unwrap();
    pass(&db, 4).await;
    app.settle().await;
    assert_eq!(sweeps(&app).await.len(), 1);
    assert_eq!(details(&app).await.firings[0].missed, 3);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn while_the_last_sweep_has_not_ended_a_time_is_skipped_waits_or_replaces_it(db: PgPool) {
    use FiringOutcome::{Applied, Skipped};
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly("")).await.unwrap();
    let first: String = TestApp::read(app.post("/schedules/nightly/run", &()).await).unwrap();
    pass(&db, 1).await;
    app.settle().await;
    assert_eq!(outcomes(&app).await, [Applied, Skipped], "what a person applied is newer");
    let skipped = details(&app).await.firings[1].clone();
    assert_eq!(skipped.reason.unwrap(), format!("{first} has not ended"));
    let again = app.post("/schedules/nightly/run", &()).await;
    let (status, error) = TestApp::read::<String>(again).unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(error.starts_with(&format!("{first} has not ended: wait for it")), "{error}");

    app.apply(&nightly(", overlap: wait")).await.unwrap();
    sqlx::query("delete from firing where outcome = 'skipped'").execute(&db).await.unwrap();
    pass(&db, 1).await;
    app.settle().await;
    assert_eq!(sweeps(&app).await, [first.as_str()]);
    cancel(&mut app, &first).await;
    app.settle().await;
    let [second, _] = sweeps(&app).await.try_into().unwrap();
    assert_eq!(outcomes(&app).await, [Applied, Applied]);

    app.apply(&nightly(", overlap: replace")).await.unwrap();
    sqlx::query("update firing set due_at = due_at - interval '7 days'")
        .execute(&db)
        .await
        .unwrap();
    sqlx::query("update sweep set name = 'nightly@2020-01-01' where name = $1")
        .bind(&second)
        .execute(&db)
        .await
        .unwrap();
    pass(&db, 1).await;
    app.settle().await;
    let counts = app.sweep("nightly@2020-01-01").await.summary.counts;
    assert_eq!(counts.cancelled + counts.stopping, 6, "{counts:?}");
    assert_eq!(sweeps(&app).await.len(), 3);
    let why = app.row("nightly@2020-01-01", 3).await.reason.unwrap();
    let last = &sweeps(&app).await[0];
    assert_eq!(why, format!("cancelled by the schedule nightly: {last} replaces its sweep"));
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn trouble_with_one_schedule_holds_up_no_other(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly("").replace("sweep: nightly", "sweep: broken")).await.unwrap();
    app.apply(&nightly("")).await.unwrap();
    let spoil = "update schedule set timetable = '{}' where name = 'broken'";
    sqlx::query(spoil).execute(&db).await.unwrap();
    pass(&db, 1).await;
    let earlier = "update schedule set due_at = due_at - interval '1 hour' where name = 'broken'";
    sqlx::query(earlier).execute(&db).await.unwrap();
    app.settle().await;
    assert_eq!(sweeps(&app).await.len(), 1);
    let due = "select due_at < now() from schedule where name = 'broken'";
    assert!(sqlx::query_scalar::<_, bool>(due).fetch_one(&db).await.unwrap(), "it stays due");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_file_that_cannot_be_applied_any_more_is_refused_and_the_schedule_goes_on(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly("")).await.unwrap();
    let source = app.corpus.path().join("general.jsonl");
    let away = app.corpus.path().join("away.jsonl");
    std::fs::rename(&source, &away).unwrap();
    pass(&db, 1).await;
    app.settle().await;
    assert!(sweeps(&app).await.is_empty());
    let refused = details(&app).await.firings[0].clone();
    assert_eq!(refused.outcome, FiringOutcome::Refused);
    let why = refused.reason.unwrap();
    assert!(why.contains("general.jsonl"), "{why}");
    std::fs::rename(&away, &source).unwrap();
    sqlx::query("update firing set due_at = due_at - interval '7 days'")
        .execute(&db)
        .await
        .unwrap();
    pass(&db, 1).await;
    app.settle().await;
    assert_eq!(outcomes(&app).await, [FiringOutcome::Applied, FiringOutcome::Refused]);
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn what_has_ended_is_deleted_beyond_what_is_kept(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly(", keep: 1")).await.unwrap();
    for day in 1..=3 {
        pass(&db, 1).await;
        app.settle().await;
        let last = sweeps(&app).await[0].clone();
        cancel(&mut app, &last).await;
        let name = format!("nightly@2020-01-0{day}");
        for sql in [
            "update firing set due_at = due_at - make_interval(days => 30 * $1)
             where due_at = (select max(due_at) from firing)",
            "update sweep set created_at = now() - make_interval(days => 30 * (4 - $1))
             where created_at = (select max(created_at) from sweep)",
        ] {
            sqlx::query(sql).bind(day).execute(&db).await.unwrap();
        }
        sqlx::query("update sweep set name = $1 where name = $2")
            .bind(&name)
            .bind(&last)
            .execute(&db)
            .await
            .unwrap();
    }
    pass(&db, 1).await;
    app.settle().await;
    let left = sweeps(&app).await;
    assert_eq!(left.len(), 2, "the one that runs, and the last that has ended: {left:?}");
    assert_eq!(left[1], "nightly@2020-01-03");
}

#[sqlx::test(migrator = "assay_controller::store::MIGRATOR")]
async fn a_schedule_is_paused_changed_and_removed(db: PgPool) {
    let mut app = TestApp::new(db.clone(), 2).await;
    app.apply(&nightly("")).await.unwrap();
    let (status, _) = app.post("/schedules/nightly/pause", &()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    app.apply(&nightly(", zone: Europe/Berlin")).await.unwrap();
    let shown = details(&app).await.schedule;
    assert_eq!((shown.is_paused, shown.due_at), (true, None), "applied again, it stays paused");
    assert_eq!(shown.timetable.zone, "Europe/Berlin");
    app.settle().await;
    app.post("/schedules/nightly/resume", &()).await;
    let due = details(&app).await.schedule.due_at.unwrap();
    assert!(["00:00", "01:00"].contains(&due.format("%H:%M").to_string().as_str()), "{due}");

    let mut pruning = app.request(&nightly(""));
    pruning.prune = true;
    let (status, error) =
        TestApp::read::<ApplyAnswer>(app.post("/sweeps/apply", &pruning).await).unwrap_err();
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && error.contains("is a schedule"),
        "{error}"
    );

    let name: String = TestApp::read(app.post("/schedules/nightly/run", &()).await).unwrap();
    let fork = serde_json::json!({"name": "other", "file": null, "folder": null});
    let (status, _) = app.post(&format!("/sweeps/{name}/fork"), &fork).await;
    assert_eq!(status, StatusCode::CREATED);
    let remove = Request::delete("/api/v1/schedules/nightly").body(Body::empty()).unwrap();
    assert_eq!(app.send(remove).await.0, StatusCode::NO_CONTENT);
    assert_eq!(app.get("/schedules/nightly").await.0, StatusCode::NOT_FOUND);
    assert_eq!(sweeps(&app).await, ["other", name.as_str()], "its sweeps stay");
}
