-- Sweeps are paused with all that runs, and deleted with what their runs left.

-- What runs saves a checkpoint and is queued again.
alter table sweep add column pauses_running boolean not null default false;
alter table sweep add constraint sweep_pauses_running_when_paused check (paused or not pauses_running);

-- Everything of it is cancelled, and once nothing is active the loop deletes it.
alter table sweep add column is_deleting boolean not null default false;

-- What is left to delete in the storage of a pool: written when a sweep's rows go, deleted afterwards.
create table deletion
(
    deletion_id uuid primary key,
    pool        text        not null,
    -- The run whose folder it is, …
    run_id      uuid,
    -- … or the point of the dataset, which runs of other sweeps may share.
    dataset     text,
    asked_at    timestamptz not null default now(),
    -- It was moved aside, where nobody looks for it: what comes in its place since then is another.
    is_aside    boolean     not null default false,
    not_before  timestamptz not null default now(),
    -- Why the last try failed.
    trouble     text,

    constraint deletion_of_one_thing check ((run_id is null) <> (dataset is null))
);
create index deletion_pool on deletion (pool, not_before);
