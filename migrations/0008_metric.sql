-- Metric points in bytes: reports as they come, chunks that they are folded into, and roll-ups.

-- What workers reported, one row per report, until it is folded into chunks. Streams read it a while
-- longer; see `attempt.seq_folded` and `run.trimmed`.
create table report
(
    run_id     uuid        not null references run (run_id) on delete cascade,
    attempt    integer     not null,
    seq        bigint      not null,
    series_ids bigint[]    not null,
    -- One series each, packed: controller/series/src/packed.rs.
    points     bytea[]     not null,
    -- How many of them, in all.
    n          integer     not null,
    stored_at  timestamptz not null default now(),
    changed    bigint      not null default change_id(),

    primary key (run_id, attempt, seq),
    constraint report_columns_agree check (cardinality(series_ids) = cardinality(points))
);
create index report_changed on report (changed);

-- Points of one series and attempt, up to 2,048 of them: steps ascend within and between.
create table chunk_packed
(
    series_id  bigint  not null references series (series_id) on delete cascade,
    attempt    integer not null,
    step_first bigint  not null,
    step_last  bigint  not null,
    n          integer not null,
    points     bytea   not null,

    constraint chunk_packed_pkey primary key (series_id, attempt, step_first),
    constraint chunk_not_empty check (n > 0 and step_first <= step_last)
);

-- The points of before: at one step the last report's counts.
insert into chunk_packed (series_id, attempt, step_first, step_last, n, points)
select series_id, attempt, min(step), max(step), count(*),
    '\x00'::bytea || int4send(count(*)::integer)
        || string_agg(int8send(step), ''::bytea order by step)
        || string_agg(float8send(value), ''::bytea order by step)
        || string_agg(int8send(time), ''::bytea order by step)
from (
    select *, (row_number() over (partition by series_id, attempt order by step) - 1) / 2048 as part
    from (
        select distinct on (c.series_id, c.attempt, p.step) c.series_id, c.attempt, p.step, p.value, p.time
        from chunk c cross join lateral unnest(c.steps, c.values, c.times) as p (step, value, time)
        order by c.series_id, c.attempt, p.step, c.seq desc
    ) as counting
) as parted
group by series_id, attempt, part;

drop table chunk;
alter table chunk_packed rename to chunk;
alter table chunk rename constraint chunk_packed_pkey to chunk_pkey;
alter table chunk rename constraint chunk_packed_series_id_fkey to chunk_series_id_fkey;

-- 256 buckets of one level of a series, at a place that does not move:
-- the steps [row_index * 256 * width, (row_index + 1) * 256 * width).
create table rollup
(
    series_id bigint not null references series (series_id) on delete cascade,
    -- Steps per bucket.
    width     bigint not null,
    row_index bigint not null,
    -- controller/series/src/bucket.rs
    buckets   bytea  not null,

    primary key (series_id, width, row_index)
);

-- Packed bytes do not get smaller: no time is spent on trying.
alter table report alter column points set storage external;
alter table chunk alter column points set storage external;
alter table rollup alter column buckets set storage external;

-- Which levels there are of a series; none while it is short.
alter table series add column narrowest bigint;
alter table series add column widest bigint;
alter table series add constraint series_levels_whole check ((narrowest is null) = (widest is null));
-- Every report moves the latest values: there is room beside each row, and no index holds them.
alter table series set (fillfactor = 70);

-- Reports up to this one are in chunks.
alter table attempt add column seq_folded bigint not null default 0;
-- What the others take.
alter table attempt add column unfolded_bytes bigint not null default 0;
update attempt set seq_folded = seq_stored;

-- The last change whose report was thrown away after it was folded: a stream from before begins anew.
alter table run add column trimmed bigint not null default 0;

-- It needs a run that has not succeeded: the loop looks at what can be placed first.
alter table run add column is_blocked boolean not null default false;
update run r set is_blocked = exists (
    select from run_need n join run needed on needed.run_id = n.needs_run_id
    where n.run_id = r.run_id and needed.outcome is distinct from 'succeeded'
);
drop index run_queue;
create index run_queue on run (sweep_id, is_blocked, priority desc, queue_order) where state = 'queued';
