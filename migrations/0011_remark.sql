-- What people say about runs and sweeps. Nothing here changes what is trained or placed, but for the
-- order that a priority asks for.

-- A run that is kept and left out of every comparison.
create table exclusion
(
    run_id      uuid primary key references run (run_id) on delete cascade,
    because     text        not null,
    -- As whoever asked called themselves.
    author      text,
    excluded_at timestamptz not null default now(),

    constraint exclusion_because_length check (length(because) between 1 and 1000)
);

-- A remark pinned to a step of a run, or to the run as a whole.
create table note
(
    note_id    bigint generated always as identity primary key,
    run_id     uuid        not null references run (run_id) on delete cascade,
    step       bigint,
    text       text        not null,
    author     text,
    created_at timestamptz not null default now(),

    constraint note_step_positive check (0 <= step),
    constraint note_text_length check (length(text) between 1 and 2000)
);
create index note_run on note (run_id, step);

create table run_tag
(
    run_id uuid not null references run (run_id) on delete cascade,
    tag    text not null,

    primary key (run_id, tag),
    constraint run_tag_length check (length(tag) between 1 and 63)
);

create table sweep_tag
(
    sweep_id uuid not null references sweep (sweep_id) on delete cascade,
    tag      text not null,

    primary key (sweep_id, tag),
    constraint sweep_tag_length check (length(tag) between 1 and 63)
);
