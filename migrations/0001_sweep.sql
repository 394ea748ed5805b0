-- What is asked for: projects, and the sweeps in them.

-- Orders every change that a stream tells of. A reader takes what is older than the oldest open
-- transaction, so that a late commit is never skipped.
create function change_id() returns bigint
    language sql volatile as
$$
select pg_current_xact_id()::text::bigint
$$;

-- One row: which installation this database belongs to.
create table installation
(
    is_only         boolean primary key default true,
    installation_id uuid        not null,
    -- SHA-256 of the key that attempts' secrets are made with; a controller with another key refuses to start.
    key_fingerprint text        not null,
    created_at      timestamptz not null default now(),

    constraint installation_is_only check (is_only)
);

-- One row: who may schedule, until when, by this server's clock.
create table leader
(
    is_only    boolean primary key default true,
    name       text        not null,
    term       bigint      not null,
    expires_at timestamptz not null,

    constraint leader_is_only check (is_only)
);

create table project
(
    project_id uuid primary key,
    name       text        not null,
    created_at timestamptz not null default now(),

    constraint project_name_key unique (name)
);

create table sweep
(
    sweep_id     uuid primary key,
    project_id   uuid        not null references project (project_id),
    name         text        not null,

    -- what was asked for
    file         text        not null,
    folder       text        not null,
    axes         jsonb       not null,
    pool         text        not null,
    parallel     integer,
    paused       boolean     not null default false,

    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    changed      bigint      not null default change_id(),

    constraint sweep_name_key unique (project_id, name),
    constraint sweep_name_length check (length(name) between 1 and 100),
    constraint sweep_parallel_positive check (parallel > 0)
);

-- The data that a sweep is about: the fingerprint of the first `prepare` that succeeded.
create table sweep_pin
(
    sweep_id    uuid        not null references sweep (sweep_id) on delete cascade,
    -- The point of the `prepare` run: source files, tokenizer and held-out rule.
    point       text        not null,
    fingerprint text        not null,
    pinned_at   timestamptz not null default now(),

    primary key (sweep_id, point)
);
