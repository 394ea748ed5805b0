-- The first run of each shape goes ahead: it trains a few steps, scores everything, saves and is resumed
-- before the others of its sweep begin.

-- What decides whether a train run fits and how fast it goes; none: it waits for no canary.
alter table run add column shape text;

-- A shape that has a canary, and what came of it. Which run it is follows from the runs: see canary_of.
create table canary
(
    sweep_id   uuid not null references sweep (sweep_id) on delete cascade,
    shape      text not null,
    passed_at  timestamptz,
    passed_by  uuid references run (run_id) on delete set null,

    -- what it measured, if it came so far
    tokens_per_second  double precision,
    heldout_seconds    double precision,
    task_seconds       double precision,
    checkpoint_seconds double precision,
    measured_at        timestamptz,

    primary key (sweep_id, shape),
    constraint canary_passed_by_somebody check (passed_by is null or passed_at is not null),
    constraint canary_measured_whole check (
        (measured_at is null) = (tokens_per_second is null) and
        (measured_at is null) = (heldout_seconds is null) and
        (measured_at is null) = (task_seconds is null) and
        (measured_at is null) = (checkpoint_seconds is null)
    ),
    constraint canary_pace_positive check (tokens_per_second > 0)
);

-- What the next sweep of this shape is estimated by.
create index canary_measured on canary (shape, measured_at) where measured_at is not null;
create index run_shape_succeeded on run (shape, ended_at) where shape is not null and outcome = 'succeeded';

create index run_shape_open on run (sweep_id, shape, queue_order, number)
    where shape is not null and state <> 'done';
create index run_shape_failed on run (sweep_id, shape)
    where shape is not null and state = 'done' and outcome = 'failed';

-- The run that goes ahead of its shape: one that has failed, until somebody retries it, or else the first of
-- those that have not ended. By the file's order and not by priority: what a run needs stands before it there,
-- so no run waits for one that waits for it.
create function canary_of(sweep_id uuid, shape text) returns uuid
    language sql stable
    return coalesce(
        (select run_id from run r
         where r.sweep_id = $1 and r.shape = $2 and r.state = 'done' and r.outcome = 'failed'
         order by r.queue_order, r.number limit 1),
        (select run_id from run r
         where r.sweep_id = $1 and r.shape = $2 and r.state <> 'done'
         order by r.queue_order, r.number limit 1)
    );

-- Whether a queued run waits for another one: behind the others of its sweep's queue, that is.
create function must_wait(run) returns boolean
    language sql stable
    return exists (
        select from run_need n join run needed on needed.run_id = n.needs_run_id
        where n.run_id = $1.run_id and needed.outcome is distinct from 'succeeded'
    ) or exists (
        select from canary c
        where c.sweep_id = $1.sweep_id and c.shape = $1.shape and c.passed_at is null
          and canary_of(c.sweep_id, c.shape) <> $1.run_id
    );
