//! Metric series: a dictionary row each, and where it stands.

use std::collections::HashMap;
use std::time::Duration;

use assay_api::{RunId, SweepId};
use assay_series::Levels;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A series and its latest step.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub series_id: i64,
    pub latest_step: Option<i64>,
}

/// The series of a run by these names, in their order; those that are new are made.
///
/// # Errors
/// The database does not answer.
pub async fn of_names(
    tx: &mut PgConnection,
    run: RunId,
    names: &[&str],
) -> Result<Vec<Known>, sqlx::Error> {
    let mut known = find(&mut *tx, run, names).await?;
    if known.len() < names.len() {
        let missing: Vec<&str> =
            names.iter().copied().filter(|name| !known.contains_key(*name)).collect();
        sqlx::query!(
            "insert into series (run_id, name) select $1, name from unnest($2::text[]) as n (name)
             on conflict (run_id, name) do nothing",
            run.0,
            &missing as &[&str],
        )
        .execute(&mut *tx)
        .await?;
        known.extend(find(&mut *tx, run, &missing).await?);
    }
    Ok(names.iter().map(|name| known[*name]).collect())
}

/// Series that a run has.
///
/// # Errors
/// The database does not answer.
pub async fn count(db: impl PgExecutor<'_>, run: RunId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "n!" from series where run_id = $1"#, run.0)
        .fetch_one(db)
        .await
}

async fn find(
    tx: impl PgExecutor<'_>,
    run: RunId,
    names: &[&str],
) -> Result<HashMap<String, Known>, sqlx::Error> {
    let rows = sqlx::query!(
        "select name, series_id, latest_step from series where run_id = $1 and name = any($2)",
        run.0,
        names as &[&str],
    )
    .fetch_all(tx)
    .await?;
    let known = rows.into_iter().map(|row| {
        let (series_id, latest_step) = (row.series_id, row.latest_step);
        (row.name, Known { series_id, latest_step })
    });
    Ok(known.collect())
}

/// A series as it is read: whose it is, how far it goes, and its levels.
#[derive(Clone, Debug)]
pub struct Standing {
    pub series_id: i64,
    pub run_id: RunId,
    pub name: String,
    pub latest_step: Option<i64>,
    pub levels: Option<Levels>,
}

struct Row {
    series_id: i64,
    run_id: Uuid,
    name: String,
    latest_step: Option<i64>,
    narrowest: Option<i64>,
    widest: Option<i64>,
}

impl From<Row> for Standing {
    fn from(row: Row) -> Self {
        let Row { series_id, run_id, name, latest_step, narrowest, widest } = row;
        let levels = narrowest.zip(widest);
        let levels = levels.map(|(narrowest, widest)| Levels { narrowest, widest });
        Self { series_id, run_id: RunId(run_id), name, latest_step, levels }
    }
}

/// By run and name.
///
/// # Errors
/// The database does not answer.
pub async fn standing(db: impl PgExecutor<'_>, ids: &[i64]) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select series_id, run_id, name, latest_step, narrowest, widest from series
         where series_id = any($1) order by run_id, name",
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Standing::from).collect())
}

/// What is shown as series of these runs. Those of a run that trained for another are both runs': they
/// stand here twice, if both are asked for.
///
/// # Errors
/// The database does not answer.
pub async fn shown(
    db: impl PgExecutor<'_>,
    runs: &[Uuid],
    names: &[String],
) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select s.series_id, v.run_id as "run_id!", s.name, s.latest_step, s.narrowest, s.widest
         from shown v
         -- one by one, wherever statistics lag behind: read whole, the table has every series there ever was
         cross join lateral (
            select * from series where run_id = v.source_run_id and name = any($2) offset 0
         ) s
         where v.run_id = any($1) and not v.is_later and is_shown(s.name, v.tasks)
         order by v.run_id, s.name"#,
        runs,
        names,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Standing::from).collect())
}

/// A held-out or task series that has a value, and whose scores they are.
#[derive(Clone, Debug)]
pub struct Scores {
    pub series_id: i64,
    /// The run whose weights were scored.
    pub point: RunId,
    pub name: String,
    pub latest_step: i64,
    pub latest_value: f64,
}

/// What runs are ranked by, without slices (`field=value`). They come in the order in which
/// the table has them: of two of one name the later run's counts, and the own sweep's before another's.
///
/// # Errors
/// The database does not answer.
pub async fn scores(db: impl PgExecutor<'_>, points: &[Uuid]) -> Result<Vec<Scores>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.series_id, v.run_id as "point!", s.name,
            s.latest_step as "latest_step!", s.latest_value as "latest_value!"
         from shown v join series s on s.run_id = v.source_run_id
         where v.run_id = any($1) and is_shown(s.name, v.tasks)
           and s.latest_step is not null and s.latest_value is not null and s.name !~ '='
           and (s.name like 'heldout/%' or s.name like 'task/%')
         order by v.tasks is null, v.number"#,
        points,
    )
    .fetch_all(db)
    .await?;
    let scores = rows.into_iter().map(|row| Scores {
        series_id: row.series_id,
        point: RunId(row.point),
        name: row.name,
        latest_step: row.latest_step,
        latest_value: row.latest_value,
    });
    Ok(scores.collect())
}

/// What a series shows for itself after its points changed.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub series_id: i64,
    pub levels: Option<Levels>,
    /// Step and value of the last point that counts.
    pub latest: Option<(i64, f64)>,
}

/// # Errors
/// The database does not answer.
pub async fn moved(tx: impl PgExecutor<'_>, series: &[Moved]) -> Result<(), sqlx::Error> {
    let each = || series.iter();
    let ids: Vec<i64> = each().map(|moved| moved.series_id).collect();
    let narrowest: Vec<_> = each().map(|moved| moved.levels.map(|at| at.narrowest)).collect();
    let widest: Vec<_> = each().map(|moved| moved.levels.map(|at| at.widest)).collect();
    let steps: Vec<_> = each().map(|moved| moved.latest.map(|latest| latest.0)).collect();
    let values: Vec<_> = each().map(|moved| moved.latest.map(|latest| latest.1)).collect();
    sqlx::query!(
        "update series s set narrowest = m.narrowest, widest = m.widest,
            latest_step = m.step, latest_value = m.value
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::float8[])
            as m (series_id, narrowest, widest, step, value)
         where s.series_id = m.series_id",
        &ids,
        &narrowest as &[Option<i64>],
        &widest as &[Option<i64>],
        &steps as &[Option<i64>],
        &values as &[Option<f64>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Names of every series of the runs of a sweep.
///
/// # Errors
/// The database does not answer.
pub async fn names_of_sweep(
    db: impl PgExecutor<'_>,
    sweep: SweepId,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct s.name
         from shown v join series s on s.run_id = v.source_run_id
         where v.run_id = any(array(select run_id from run where sweep_id = $1)) and is_shown(s.name, v.tasks) order by 1",
        sweep.0,
    )
    .fetch_all(db)
    .await
}

/// Names of every series of a run.
///
/// # Errors
/// The database does not answer.
pub async fn names_of_run(db: impl PgExecutor<'_>, run: RunId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select s.name from shown v join series s on s.run_id = v.source_run_id
         where v.run_id = $1 and not v.is_later and is_shown(s.name, v.tasks) order by 1",
        run.0,
    )
    .fetch_all(db)
    .await
}

/// Drops what the machines of some runs measured of themselves, all of it, with its chunks and
/// roll-ups: of runs that ended so long ago. Returns how many series.
///
/// # Errors
/// The database does not answer.
pub async fn drop_system(
    tx: &mut PgConnection,
    kept: Duration,
    runs_max: i64,
) -> Result<u64, sqlx::Error> {
    // held, so that nobody retries them meanwhile. A report that is not folded names its series: it is
    // folded first
    let runs = sqlx::query_scalar!(
        "select run_id from run
         where state = 'done' and not is_system_dropped and ended_at < now() - make_interval(secs => $1)
           and not exists (
                select from report r join attempt a on a.run_id = r.run_id and a.attempt = r.attempt
                where r.run_id = run.run_id and a.seq_folded < r.seq
           )
         order by ended_at limit $2
         for no key update skip locked",
        kept.as_secs_f64(),
        runs_max,
    )
    .fetch_all(&mut *tx)
    .await?;
    let dropped =
        sqlx::query!("delete from series where run_id = any($1) and name like 'system/%'", &runs)
            .execute(&mut *tx)
            .await?;
    sqlx::query!("update run set is_system_dropped = true where run_id = any($1)", &runs)
        .execute(tx)
        .await?;
    Ok(dropped.rows_affected())
}
