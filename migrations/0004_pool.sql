-- More than one pool, and pools that let an attempt wait.

-- What a sweep asks of its pool, beside the pool itself.
alter table sweep add column resources jsonb not null default '{"pool": "local"}';
update sweep set resources = jsonb_build_object('pool', pool);
alter table sweep alter column resources drop default;

-- An attempt that its pool holds back waits too, and says why.
alter table run drop constraint run_waits_only_queued;
alter table run add constraint run_waits_before_it_begins
    check (waiting is null or state in ('queued', 'leased'));

-- Its pool's own queue holds the attempt back: it uses no slots.
alter table run add column is_held_back boolean not null default false;

-- The last lines that an attempt's process printed, where it ended without a record of its own.
alter table attempt add column output text[] not null default '{}';
-- Nobody sets it: what a worker is to do follows from its run's state.
alter table attempt drop column wants_stop;
