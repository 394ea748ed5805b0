-- What a sweep may use and how often its runs may fail alike, and what came of it so far.

alter table sweep
    -- Slots times milliseconds, from a worker's start until its attempt is gone.
    add column slot_ms_max    bigint,
    -- So many runs that failed with one error pause the sweep.
    add column same_error_max integer,
    -- Why the sweep is paused, where no person paused it.
    add column paused_because text;

alter table sweep
    add constraint sweep_slot_ms_positive check (slot_ms_max > 0),
    add constraint sweep_same_error_positive check (same_error_max > 0),
    add constraint sweep_paused_because_paused check (paused_because is null or paused);

-- One row that the loop reads, however many attempts there were. Apart from the sweep's own row: it
-- is written where a run is locked, and apply locks a sweep first and its runs after.
create table sweep_use
(
    sweep_id    uuid primary key references sweep (sweep_id) on delete cascade,
    -- Of attempts that are gone.
    slot_ms     bigint  not null default 0,
    -- Runs that failed with the error that the most of them failed with since the sweep last went on.
    same_errors integer not null default 0,
    same_error  text
);

insert into sweep_use (sweep_id, slot_ms)
select r.sweep_id,
       sum(r.slots * (extract(epoch from greatest(a.ended_at - a.started_at, interval '0')) * 1000)::bigint)
from attempt a join run r using (run_id)
where a.started_at is not null and a.ended_at is not null
group by r.sweep_id;

-- Which runs failed with which error, since the sweep last went on.
create table run_error
(
    sweep_id  uuid   not null references sweep (sweep_id) on delete cascade,
    -- A hash of the error's words.
    signature bigint not null,
    run_id    uuid   not null references run (run_id) on delete cascade,

    primary key (sweep_id, signature, run_id)
);
