-- Sweep files that are applied again and again, and what became of each time.

create table schedule
(
    schedule_id uuid primary key,
    project_id  uuid        not null references project (project_id),
    name        text        not null,
    file        text        not null,
    -- Where its relative paths start.
    folder      text        not null,
    -- When, in which time zone, and what of the last sweep: `Timetable` in controller/api.
    timetable   jsonb       not null,
    is_paused   boolean     not null default false,
    -- The next time; none while it is paused, or if there is none any more.
    due_at      timestamptz,
    created_at  timestamptz not null default now(),
    created_by  text        not null,

    constraint schedule_name_key unique (project_id, name),
    -- what it applies is called so and by a date, in 63 characters
    constraint schedule_name_short check (length(name) between 1 and 47),
    constraint schedule_paused_is_not_due check (not is_paused or due_at is null)
);
create index schedule_due on schedule (due_at) where due_at is not null;

create table firing
(
    firing_id   bigint generated always as identity primary key,
    schedule_id uuid        not null references schedule (schedule_id) on delete cascade,
    due_at      timestamptz not null,
    outcome     text        not null,
    -- Times before this one that nobody was there for.
    missed      integer     not null default 0,
    -- What was applied, as long as it is there.
    sweep_id    uuid references sweep (sweep_id) on delete set null,
    sweep       text,
    -- Why nothing was.
    reason      text,
    created_at  timestamptz not null default now(),

    -- whoever leads: no time comes twice
    constraint firing_due_key unique (schedule_id, due_at),
    constraint firing_outcome_known check (outcome in ('applied', 'skipped', 'refused')),
    constraint firing_says_what_or_why check ((outcome = 'applied') = (sweep is not null) and (sweep is null) = (reason is not null)),
    constraint firing_missed_positive check (0 <= missed)
);
create index firing_of_sweep on firing (sweep_id) where sweep_id is not null;
