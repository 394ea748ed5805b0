-- Whom to tell of what happens, and what they are told.

create table webhook
(
    webhook_id uuid primary key,
    project_id uuid        not null references project (project_id),
    name       text        not null,
    url        text        not null,
    events     text[]      not null,
    is_enabled boolean     not null default true,
    -- Random. Its secret is made of this and the installation's key, and stored nowhere.
    secret_id  uuid        not null,
    created_at timestamptz not null default now(),
    created_by text        not null,

    constraint webhook_name_key unique (project_id, name),
    constraint webhook_name_short check (length(name) between 1 and 63),
    constraint webhook_url_short check (length(url) between 1 and 2000),
    constraint webhook_events_some check (0 < cardinality(events)),
    constraint webhook_events_known check (events <@ array[
        'sweep.finished', 'sweep.paused', 'run.succeeded', 'run.diverged', 'run.failed', 'run.cancelled',
        'run.stopped_early'])
);

-- The outbox: written in the transaction that makes the event, so that nothing is lost and nothing is
-- told of that was taken back. It names no sweep and no run by id: it outlives them.
create table delivery
(
    delivery_id  bigint generated always as identity primary key,
    webhook_id   uuid        not null references webhook (webhook_id) on delete cascade,
    -- What the receiver knows it by, the same at each try.
    message_id   uuid        not null default gen_random_uuid(),
    event        text        not null,
    -- As people say it: a sweep, or `lr-and-mix/17`.
    about        text        not null,
    data         jsonb       not null,
    created_at   timestamptz not null default now(),

    -- where it stands
    state        text        not null default 'waiting',
    -- When it is tried next; while it is being tried, when whoever does so is given up.
    next_at      timestamptz default now(),
    -- Also fences: how a try ended is noted only while no other has begun.
    tries        integer     not null default 0,
    -- Those before somebody asked to repeat it, which no longer count against it.
    tries_before integer     not null default 0,

    -- how the last try ended
    tried_at     timestamptz,
    status       smallint,
    error        text,

    constraint delivery_state_known check (state in ('waiting', 'delivered', 'given_up')),
    constraint delivery_waits_for_a_time check ((state = 'waiting') = (next_at is not null)),
    constraint delivery_tries_counted check (0 <= tries_before and tries_before <= tries)
);
create index delivery_due on delivery (webhook_id, next_at) where state = 'waiting';
create index delivery_of_webhook on delivery (webhook_id, delivery_id);
create index delivery_created on delivery (created_at);

-- The limit of which it was told that it is used up: told once for each.
alter table sweep_use add column told_slot_ms_max bigint;
