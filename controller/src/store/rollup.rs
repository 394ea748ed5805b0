//! Roll-ups: rows of 256 buckets, by series and level.

use sqlx::{PgConnection, PgExecutor};

/// Where a row of buckets belongs, and the buckets, packed.
#[derive(Clone, Debug)]
pub struct Row {
    pub series_id: i64,
    pub width: i64,
    pub row_index: i64,
    pub buckets: Vec<u8>,
}

/// Rows asked for as (series, width, first index, last index); by series, width and index.
///
/// # Errors
/// The database does not answer.
pub async fn rows(
    db: impl PgExecutor<'_>,
    places: &[(i64, i64, i64, i64)],
) -> Result<Vec<Row>, sqlx::Error> {
    let column = |of: fn(&(i64, i64, i64, i64)) -> i64| places.iter().map(of).collect::<Vec<_>>();
    sqlx::query_as!(
        Row,
        "select r.series_id, r.width, r.row_index, r.buckets
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
            as place (series_id, width, first, last)
         join rollup r on r.series_id = place.series_id and r.width = place.width
            and place.first <= r.row_index and r.row_index <= place.last
         order by r.series_id, r.width, r.row_index",
        &column(|place| place.0),
        &column(|place| place.1),
        &column(|place| place.2),
        &column(|place| place.3),
    )
    .fetch_all(db)
    .await
}

/// The last row of a level before an index.
///
/// # Errors
/// The database does not answer.
pub async fn last_before(
    db: impl PgExecutor<'_>,
    (series, width): (i64, i64),
    index: i64,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select series_id, width, row_index, buckets from rollup
         where series_id = $1 and width = $2 and row_index < $3
         order by row_index desc limit 1",
        series,
        width,
        index,
    )
    .fetch_optional(db)
    .await
}

/// # Errors
/// The database does not answer.
pub async fn write(tx: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let each = || rows.iter();
    sqlx::query!(
        "insert into rollup (series_id, width, row_index, buckets)
         select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])
         on conflict (series_id, width, row_index) do update set buckets = excluded.buckets",
        &each().map(|row| row.series_id).collect::<Vec<_>>(),
        &each().map(|row| row.width).collect::<Vec<_>>(),
        &each().map(|row| row.row_index).collect::<Vec<_>>(),
        &each().map(|row| row.buckets.as_slice()).collect::<Vec<_>>() as &[&[u8]],
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Removes every row of a series that reaches beyond a step, at all levels.
///
/// # Errors
/// The database does not answer.
pub async fn delete_beyond(
    tx: impl PgExecutor<'_>,
    series: i64,
    step: i64,
) -> Result<(), sqlx::Error> {
    // divided and not multiplied: the widest level's rows may end beyond 64 bits
    sqlx::query!(
        "delete from rollup where series_id = $1 and $2 / (width * 256) <= row_index",
        series,
        step,
    )
    .execute(tx)
    .await?;
    Ok(())
}
