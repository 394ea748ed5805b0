//! What a machine's database says, asked in SQL past the controller, which may be dead.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::{interval, timeout};

use crate::Machine;

/// Between two looks at something that no signal tells of.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// No test depends on it: one that hangs says what it waits for.
const HANGS: Duration = Duration::from_mins(2);

/// Looks again and again, until there is something to see.
///
/// # Panics
/// If there never is.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    timeout(HANGS, seen).await.unwrap_or_else(|_| panic!("this never happens: {what}"))
}

/// Where each point lies, packed: in chunks, and in reports that have not joined them.
const PACKED: &str = "
    select c.series_id, c.attempt, 0::bigint as seq, c.points from chunk c
    union all
    select p.series_id, r.attempt, r.seq, p.points
    from report r join attempt a using (run_id, attempt),
    lateral unnest(r.series_ids, r.points) as p (series_id, points)
    where a.seq_folded < r.seq";
const UNPACKED: &str = "
    create temporary table if not exists unpacked
        (series_id bigint, attempt integer, step bigint, value float8)";

/// The points that count, beside the sweep and the run's label that they belong to. Speed and what the
/// machine was taken by are not the same twice.
const POINTS: &str = "
    create or replace temporary view point as
    select w.name as sweep, r.label, s.name, p.step, float8send(p.value) as bits
    from sweep w join run r using (sweep_id) join series s using (run_id)
    join unpacked p using (series_id)
    join attempt a on a.run_id = r.run_id and a.attempt = p.attempt
    where p.step <= coalesce(a.visible_to, p.step) and s.name <> 'train/tokens_per_second' and s.name not like 'system/%'
    union
    select w.name, r.label, e.task || ' ' || e.metric, e.step, float8send(e.value)
    from sweep w join run r using (sweep_id) join evaluation e using (run_id)
    join attempt a on a.run_id = r.run_id and a.attempt = e.attempt
    where e.step <= coalesce(a.visible_to, e.step)
    union
    select w.name, r.label, s.name || ' latest', s.latest_step, float8send(s.latest_value)
    from sweep w join run r using (sweep_id) join series s using (run_id)
    where s.name <> 'train/tokens_per_second' and s.name not like 'system/%' and s.latest_step is not null
    union
    select w.name, r.label, 'result', t.step, decode(md5(t.fingerprint || t.tokens), 'hex')
    from sweep w join run r using (sweep_id) join result t using (run_id)";

/// Each finds what must not be, in a line of text.
const STEPS_WRONG: [(&str, &str); 3] = [
    (
        "runs that did not end once, in success",
        "select w.name || '/' || r.number || ' is ' || r.state || coalesce(' ' || r.outcome, '') ||
            coalesce(': ' || r.reason, '') || ', after ' ||
            (select string_agg(e.event || coalesce(' ' || e.attempt, ''), ', ' order by e.version)
             from run_event e where e.run_id = r.run_id)
         from run r join sweep w using (sweep_id)
         where (r.state, r.outcome) is distinct from ('done', 'succeeded')
         or 1 <> (select count(*) from run_event e where e.run_id = r.run_id and e.state = 'done')",
    ),
    (
        "steps that an attempt took twice",
        "select w.name || '/' || r.number || ': attempt ' || e.attempt || ' ' || e.event
         from run_event e join run r using (run_id) join sweep w using (sweep_id)
         group by w.name, r.number, e.attempt, e.event having e.attempt is not null and 1 < count(*)",
    ),
    (
        "attempts that nobody ended",
        "select w.name || '/' || r.number || ': attempt ' || a.attempt
         from attempt a join run r using (run_id) join sweep w using (sweep_id) where a.ended_at is null",
    ),
];
const POINTS_WRONG: [(&str, &str); 3] = [
    (
        "points that one attempt stored twice",
        "select s.name || ' ' || step from series s join unpacked p using (series_id)
         group by s.series_id, p.attempt, step having 1 < count(*)",
    ),
    (
        "points that have two values",
        "select sweep || ' ' || label || ' ' || name || ' ' || step from point
         group by sweep, label, name, step having 1 < count(*)",
    ),
    (
        "points that are not those of the undisturbed sweep",
        "select * from (
            select 'missing: ' || p::text from (
                select w.name as sweep, c.label, c.name, c.step, c.bits
                from point c, sweep w where c.sweep = 'calm' and w.name <> 'calm'
                except select * from point) as p
            union all
            select 'other: ' || p::text from (
                select * from point where sweep <> 'calm'
                except
                select w.name as sweep, c.label, c.name, c.step, c.bits
                from point c, sweep w where c.sweep = 'calm') as p
         ) as differ",
    ),
];

/// The class of errors that another try does not mend.
const WRONG_STATEMENT: &str = "42";

/// How many lines of each kind a failing test shows.
const SHOWN: usize = 8;

#[derive(Debug, Default)]
pub struct Books {
    session: Option<PgConnection>,
}

impl Books {
    /// What a statement finds, one text a row; none if the server does not answer.
    ///
    /// # Panics
    /// If the statement is wrong.
    pub async fn read(&mut self, machine: &Machine, sql: &'static str) -> Option<Vec<String>> {
        let server = machine.database()?;
        match self.read_in(&server, sql).await {
            Ok(found) => Some(found),
            Err(failure) => {
                self.session = None;
                let code = failure.as_database_error().and_then(DatabaseError::code);
                let is_wrong = code.is_some_and(|code| code.starts_with(WRONG_STATEMENT));
                assert!(!is_wrong, "{sql}: {failure}");
                None
            }
        }
    }

    async fn read_in(
        &mut self,
        server: &PgConnectOptions,
        sql: &'static str,
    ) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(sql).fetch_all(self.session(server).await?).await
    }

    async fn session(&mut self, server: &PgConnectOptions) -> sqlx::Result<&mut PgConnection> {
        Ok(match &mut self.session {
            Some(session) => session,
            none => none.insert(PgConnection::connect_with(server).await?),
        })
    }

    /// Lays every stored point out as a row, for this session: SQL cannot unpack them.
    async fn unpack(&mut self, server: &PgConnectOptions) -> sqlx::Result<()> {
        let session = self.session(server).await?;
        let packed: Vec<(i64, i32, i64, Vec<u8>)> =
            sqlx::query_as(PACKED).fetch_all(&mut *session).await?;
        sqlx::raw_sql(UNPACKED).execute(&mut *session).await?;
        sqlx::raw_sql("truncate unpacked").execute(&mut *session).await?;
        for (series, attempt, _, points) in packed {
            let points = assay_series::unpack(&points).expect("what is stored can be read");
            let add =
                "insert into unpacked select $1, $2, * from unnest($3::bigint[], $4::float8[])";
            let add = sqlx::query(add).bind(series).bind(attempt);
            add.bind(points.steps).bind(points.values).execute(&mut *session).await?;
        }
        Ok(())
    }

    /// The same, asked until it is answered.
    pub async fn ask(&mut self, machine: &Machine, sql: &'static str) -> Vec<String> {
        until("the database answers", async || self.read(machine, sql).await).await
    }

    /// What must not be and is, of all sweeps of a machine, of which `calm` was left alone. Empty if all
    /// is well.
    pub async fn wrong(&mut self, machine: &Machine) -> String {
        self.find(machine, &STEPS_WRONG).await + &self.differences(machine).await
    }

    /// The same of their points alone: a run may have ended more than once.
    pub async fn differences(&mut self, machine: &Machine) -> String {
        until("the points are read", async || {
            let server = machine.database()?;
            let unpacked = self.unpack(&server).await;
            if unpacked.is_err() {
                self.session = None;
            }
            unpacked.ok()
        })
        .await;
        self.ask(machine, POINTS).await;
        self.find(machine, &POINTS_WRONG).await
    }

    async fn find(&mut self, machine: &Machine, wrong: &[(&'static str, &'static str)]) -> String {
        let mut text = String::new();
        for (what, sql) in wrong {
            let found = self.ask(machine, sql).await;
            if !found.is_empty() {
                write!(text, "\n{} {what}:\n", found.len()).expect("a string takes every write");
                text.extend(found.iter().take(SHOWN).map(|line| format!("    {line}\n")));
            }
        }
        text
    }
}
