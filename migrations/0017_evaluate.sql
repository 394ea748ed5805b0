-- Runs that score weights which exist, and train nothing.

alter table run drop constraint run_kind_known;
alter table run add constraint run_kind_known check (kind in ('prepare', 'train', 'evaluate'));

-- Whose scores it finds, as they have the same weights. None of a point of its own: merged weights.
alter table run add column of_run_id uuid references run (run_id) on delete cascade;
alter table run add constraint run_of_run_evaluates check (of_run_id is null or kind = 'evaluate');
create index run_of_run on run (of_run_id) where of_run_id is not null;
