-- Where every run stands, and every step that took it there.
--
-- The states and the columns each may fill mirror `State` in controller/scheduler/src/run.rs.
create table run
(
    run_id         uuid primary key,
    sweep_id       uuid        not null references sweep (sweep_id) on delete cascade,
    number         integer     not null,

    -- what was asked for
    point          text        not null,
    kind           text        not null,
    label          text        not null,
    spec           jsonb       not null,
    axes           jsonb       not null,
    is_baseline    boolean     not null default false,
    slots          integer     not null,
    priority       smallint    not null default 0,
    queue_order    integer     not null,

    -- where it stands
    state          text        not null default 'queued',
    -- The current attempt while leased or stopping; otherwise the next one, if there is one.
    attempt        integer     not null default 1,
    not_before     timestamptz,
    stopping_since timestamptz,
    outcome        text,
    -- It goes on when what it needs is tried again.
    is_cancelled_by_need boolean not null default false,
    -- Why the attempt ends or ended.
    cause          text,
    -- The same for people.
    reason         text,
    -- Why it is still queued, in a sentence.
    waiting        text,
    -- Counts the steps taken. Every step names the version it was planned from.
    version        bigint      not null default 0,

    -- budgets: what was used of them since the last accepted checkpoint
    tries_error           integer not null default 0,
    tries_infrastructure  integer not null default 0,
    last_error_step       bigint,
    last_error_signature  bigint,

    -- what the worker said last
    step           bigint      not null default 0,
    steps          bigint      not null default 0,
    tokens         bigint      not null default 0,
    phase          text,

    queued_at      timestamptz not null default now(),
    started_at     timestamptz,
    ended_at       timestamptz,
    created_at     timestamptz not null default now(),
    changed        bigint      not null default change_id(),
    -- When points that people have seen were hidden again by a resume: their charts start over.
    rewritten      bigint      not null default 0,

    constraint run_number_key unique (sweep_id, number),
    constraint run_point_key unique (sweep_id, point),
    constraint run_kind_known check (kind in ('prepare', 'train')),
    constraint run_state_known check (state in ('queued', 'leased', 'stopping', 'done')),
    constraint run_outcome_known
        check (outcome in ('succeeded', 'diverged', 'failed', 'cancelled', 'stopped_early')),
    constraint run_cause_known
        check (cause in ('finished', 'diverged', 'error', 'infrastructure', 'preempted', 'cancelled')),
    constraint run_outcome_only_at_the_end check (
        case state when 'done' then outcome is not null when 'stopping' then true else outcome is null end
    ),
    constraint run_stopping_has_begun check ((state = 'stopping') = (stopping_since is not null)),
    constraint run_stopping_has_cause check (state <> 'stopping' or cause is not null),
    constraint run_cancelled_by_need check (not is_cancelled_by_need or (state = 'done' and outcome = 'cancelled')),
    constraint run_ended_iff_done check ((state = 'done') = (ended_at is not null)),
    constraint run_waits_only_queued check (waiting is null or state = 'queued'),
    constraint run_attempt_positive check (attempt > 0),
    constraint run_slots_positive check (slots > 0)
);

-- The loop reads what is active, whole, …
create index run_active on run (run_id) where state in ('leased', 'stopping');
-- … and the head of each sweep's queue.
create index run_queue on run (sweep_id, priority desc, queue_order) where state = 'queued';
-- Those that go on when what they need does.
create index run_cancelled_by_need on run (run_id) where is_cancelled_by_need;
-- Streams read what changed.
create index run_changed on run (sweep_id, changed);

-- A run waits for these to succeed.
create table run_need
(
    run_id       uuid not null references run (run_id) on delete cascade,
    needs_run_id uuid not null references run (run_id) on delete cascade,

    primary key (run_id, needs_run_id)
);
create index run_need_reverse on run_need (needs_run_id);

-- Every step ever taken, written in the same statement as the step.
create table run_event
(
    run_id     uuid        not null references run (run_id) on delete cascade,
    version    bigint      not null,
    event      text        not null,
    attempt    integer,
    state      text        not null,
    text       text        not null,
    created_at timestamptz not null default now(),

    primary key (run_id, version)
);

-- One try at a run: one local process, or one Kubernetes Job.
create table attempt
(
    run_id          uuid        not null references run (run_id) on delete cascade,
    attempt         integer     not null,
    pool            text        not null,
    placed_at       timestamptz not null,

    -- from the worker's start on
    instance        uuid,
    started_at      timestamptz,
    lease_ends_at   timestamptz,
    place           text,
    resumed_attempt integer,
    resumed_step    bigint,
    -- Highest report stored.
    seq_stored      bigint      not null default 0,
    -- What is wanted of the worker beyond what the run's state says: checkpoint and stop.
    wants_stop      boolean     not null default false,
    -- Points beyond this step were overtaken by a later attempt.
    visible_to      bigint,

    -- how it ended
    ended_at        timestamptz,
    cause           text,
    reason          text,

    primary key (run_id, attempt),
    constraint attempt_started_whole
        check ((instance is null) = (started_at is null) and (instance is null) = (lease_ends_at is null)),
    constraint attempt_cause_known
        check (cause in ('finished', 'diverged', 'error', 'infrastructure', 'preempted', 'cancelled'))
);
