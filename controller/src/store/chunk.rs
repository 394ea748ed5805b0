//! Chunks: the points of one series and attempt, packed, up to so many a row.

use assay_api::RunId;
use assay_series::Chunk;
use sqlx::{PgConnection, PgExecutor};

/// Points in a chunk, at most: some 20 kB.
pub const FULL: usize = 2048;
/// A chunk with fewer is joined by what comes next. What is rewritten is paid twice, and leaves holes.
const JOINED: i32 = 1024;

/// A chunk as it is stored.
#[derive(Clone, Debug)]
pub struct Row {
    pub series_id: i64,
    pub attempt: i32,
    pub step_first: i64,
    pub step_last: i64,
    pub n: i32,
    /// Packed.
    pub points: Vec<u8>,
    /// Points beyond this step were overtaken by a later attempt.
    pub visible_to: Option<i64>,
}

impl Row {
    /// # Errors
    /// The stored bytes are damaged.
    pub fn unpack(&self) -> Result<Chunk, assay_series::Damaged> {
        let points = assay_series::unpack(&self.points)?;
        Ok(Chunk {
            attempt: self.attempt.unsigned_abs(),
            visible_to: self.visible_to,
            steps: points.steps,
            values: points.values,
            times: points.times,
        })
    }
}

/// What new points of an attempt are joined with: chunks that they overlap, and the last if it is
/// small. Asked for as (series, attempt, first new step).
///
/// # Errors
/// The database does not answer.
pub async fn joined_by(
    tx: impl PgExecutor<'_>,
    new: &[(i64, i32, i64)],
) -> Result<Vec<Row>, sqlx::Error> {
    let ids: Vec<i64> = new.iter().map(|new| new.0).collect();
    let attempts: Vec<i32> = new.iter().map(|new| new.1).collect();
    let firsts: Vec<i64> = new.iter().map(|new| new.2).collect();
    sqlx::query_as!(
        Row,
        r#"select c.series_id, c.attempt, c.step_first, c.step_last, c.n, c.points,
            null::bigint as visible_to
         from unnest($1::bigint[], $2::integer[], $3::bigint[]) as new (series_id, attempt, first)
         join chunk c on c.series_id = new.series_id and c.attempt = new.attempt
         where (new.first <= c.step_last or c.n < $4)
           and coalesce((
                select max(b.step_first) from chunk b
                where b.series_id = new.series_id and b.attempt = new.attempt and b.step_first <= new.first
           ), 0) <= c.step_first
         order by c.series_id, c.attempt, c.step_first"#,
        &ids,
        &attempts,
        &firsts,
        JOINED,
    )
    .fetch_all(tx)
    .await
}

/// Writes chunks, over those that begin at the same step, and removes others.
///
/// # Errors
/// The database does not answer.
pub async fn write(
    tx: &mut PgConnection,
    rows: &[Row],
    gone: &[(i64, i32, i64)],
) -> Result<(), sqlx::Error> {
    if !gone.is_empty() {
        let ids: Vec<i64> = gone.iter().map(|gone| gone.0).collect();
        let attempts: Vec<i32> = gone.iter().map(|gone| gone.1).collect();
        let firsts: Vec<i64> = gone.iter().map(|gone| gone.2).collect();
        sqlx::query!(
            "delete from chunk c
             using unnest($1::bigint[], $2::integer[], $3::bigint[]) as gone (series_id, attempt, step_first)
             where c.series_id = gone.series_id and c.attempt = gone.attempt and c.step_first = gone.step_first",
            &ids,
            &attempts,
            &firsts,
        )
        .execute(&mut *tx)
        .await?;
    }
    let each = || rows.iter();
    sqlx::query!(
        "insert into chunk (series_id, attempt, step_first, step_last, n, points)
         select * from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::integer[], $6::bytea[])
         on conflict (series_id, attempt, step_first) do update
            set step_last = excluded.step_last, n = excluded.n, points = excluded.points",
        &each().map(|row| row.series_id).collect::<Vec<_>>(),
        &each().map(|row| row.attempt).collect::<Vec<_>>(),
        &each().map(|row| row.step_first).collect::<Vec<_>>(),
        &each().map(|row| row.step_last).collect::<Vec<_>>(),
        &each().map(|row| row.n).collect::<Vec<_>>(),
        &each().map(|row| row.points.as_slice()).collect::<Vec<_>>() as &[&[u8]],
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Chunks that touch steps `from..=to` of a series, asked for as (series, from, to); by series,
/// attempt and step.
///
/// # Errors
/// The database does not answer.
pub async fn within(
    db: impl PgExecutor<'_>,
    ranges: &[(i64, i64, i64)],
) -> Result<Vec<Row>, sqlx::Error> {
    let ids: Vec<i64> = ranges.iter().map(|range| range.0).collect();
    let from: Vec<i64> = ranges.iter().map(|range| range.1).collect();
    let to: Vec<i64> = ranges.iter().map(|range| range.2).collect();
    // a series may be asked for at both ends of a range, and a chunk may touch both
    sqlx::query_as!(
        Row,
        "select c.series_id, c.attempt, c.step_first, c.step_last, c.n, c.points, a.visible_to
         from chunk c
         join series s using (series_id)
         join attempt a on a.run_id = s.run_id and a.attempt = c.attempt
         where (c.series_id, c.attempt, c.step_first) in (
            select t.series_id, t.attempt, t.step_first
            from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as r (series_id, first, last)
            join chunk t on t.series_id = r.series_id and r.first <= t.step_last and t.step_first <= r.last
         )
         order by c.series_id, c.attempt, c.step_first",
        &ids,
        &from,
        &to,
    )
    .fetch_all(db)
    .await
}

/// The chunk of each attempt that has its last visible point at or before a step, asked for as
/// (series, step).
///
/// # Errors
/// The database does not answer.
pub async fn last_until(
    db: impl PgExecutor<'_>,
    wanted: &[(i64, i64)],
) -> Result<Vec<Row>, sqlx::Error> {
    let ids: Vec<i64> = wanted.iter().map(|wanted| wanted.0).collect();
    let until: Vec<i64> = wanted.iter().map(|wanted| wanted.1).collect();
    sqlx::query_as!(
        Row,
        "select c.series_id, c.attempt, c.step_first, c.step_last, c.n, c.points, a.visible_to
         from unnest($1::bigint[], $2::bigint[]) as w (series_id, until)
         join series s on s.series_id = w.series_id
         join attempt a on a.run_id = s.run_id
         cross join lateral (
            select * from chunk t
            where t.series_id = w.series_id and t.attempt = a.attempt
              and t.step_first <= least(w.until, a.visible_to)
            order by t.step_first desc
            limit 1
         ) as c
         order by c.series_id, c.attempt",
        &ids,
        &until,
    )
    .fetch_all(db)
    .await
}

/// How many points of each series are in chunks, hidden ones included.
///
/// # Errors
/// The database does not answer.
pub async fn counts(
    db: impl PgExecutor<'_>,
    series: &[i64],
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select series_id, sum(n) as "n!" from chunk where series_id = any($1) group by series_id"#,
        series,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.series_id, row.n)).collect())
}

/// Series of a run with points of earlier attempts beyond a step.
///
/// # Errors
/// The database does not answer.
pub async fn beyond(
    db: impl PgExecutor<'_>,
    run: RunId,
    attempt: i32,
    step: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct c.series_id from series s join chunk c using (series_id)
         where s.run_id = $1 and c.attempt < $2 and $3 < c.step_last",
        run.0,
        attempt,
        step,
    )
    .fetch_all(db)
    .await
}
