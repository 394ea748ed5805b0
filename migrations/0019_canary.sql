-- The first run of each shape goes ahead: it trains a few steps, scores everything, saves and is resumed
-- before the others of its sweep begin.

-- What decides whether a train run fits and how fast it goes; none: it waits for no canary.
alter table run add column shape text;

create table canary
(
    sweep_id   uuid not null references sweep (sweep_id) on delete cascade,
    shape      text not null,
    -- Whose turn it is; another's, if this one ends without an answer.
    run_id     uuid not null references run (run_id) on delete cascade,
    passed_at  timestamptz,

    -- what it measured, if it came so far
    tokens_per_second  double precision,
    heldout_seconds    double precision,
    task_seconds       double precision,
    checkpoint_seconds double precision,
    measured_at        timestamptz,

    primary key (sweep_id, shape),
    constraint canary_measured_whole check (
        (measured_at is null) = (tokens_per_second is null) and
        (measured_at is null) = (heldout_seconds is null) and
        (measured_at is null) = (task_seconds is null) and
        (measured_at is null) = (checkpoint_seconds is null)
    ),
    constraint canary_pace_positive check (tokens_per_second > 0)
);

-- Whoever reports, starts or ends asks whether it is one.
create unique index canary_open on canary (run_id) where passed_at is null;
-- What the next sweep of this shape is estimated by.
create index canary_measured on canary (shape, measured_at) where measured_at is not null;
create index run_shape_succeeded on run (shape, ended_at) where shape is not null and outcome = 'succeeded';

-- Whether a queued run waits for another one: behind the others of its sweep's queue, that is.
create function must_wait(run) returns boolean
    language sql stable
    return exists (
        select from run_need n join run needed on needed.run_id = n.needs_run_id
        where n.run_id = $1.run_id and needed.outcome is distinct from 'succeeded'
    ) or exists (
        select from canary c
        where c.sweep_id = $1.sweep_id and c.shape = $1.shape and c.passed_at is null and c.run_id <> $1.run_id
    );
