-- Runs that have the result of a run of another sweep, and are not trained.

alter table sweep add column reuse boolean not null default false;

-- The run that trained it: that run itself, never one that is linked as well. It cannot be deleted.
alter table run add column reused_run_id uuid references run (run_id);
alter table run add constraint run_reused_succeeded check (
    reused_run_id is null or (kind = 'train' and state = 'done' and outcome = 'succeeded')
);
alter table run add constraint run_reused_from_another check (reused_run_id <> run_id);
create index run_reused on run (reused_run_id) where reused_run_id is not null;

-- A result is found by its key.
create index result_fingerprint on result (fingerprint);

-- The tasks of one `eval` that another has as well: of the same name, with the same files.
create function tasks_in_common(mine jsonb, other jsonb) returns text[]
    language sql immutable as
$$
select array(
    select key from jsonb_each(mine->'tasks') where other->'tasks'->key->>'sha256' = value->>'sha256'
)
$$;

-- Which runs' reports are shown as those of a run: its own, or those of the run that trained it; and later
-- ones (`is_later`), which scored the same weights. Of another sweep's, tasks that this run's file does not
-- have are left out: only those in `tasks` are shown, and all where there is no such list. `number` is that of
-- the run that reported.
create view shown as
select run_id, run_id as source_run_id, number, false as is_later, null::text[] as tasks
from run where reused_run_id is null
union all
select of_run_id, run_id, number, true, null from run where of_run_id is not null
union all
select r.run_id, o.run_id, o.number, false, tasks_in_common(r.spec->'eval', o.spec->'eval')
from run r join run o on o.run_id = r.reused_run_id
union all
select r.run_id, e.run_id, e.number, true, tasks_in_common(r.spec->'eval', e.spec->'of'->'eval')
from run r join run e on e.of_run_id = r.reused_run_id;

-- Whether a series is of a task that is left out.
create function is_shown(name text, tasks text[]) returns boolean
    language sql immutable as
$$
select tasks is null or name not like 'task/%' or split_part(name, '/', 2) = any (tasks)
$$;
