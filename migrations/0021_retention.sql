-- What is dropped some time after its run has ended is found without a look at all that ever ran.

-- Metrics of machines.
create index series_system on series (run_id) where name like 'system/%';

-- None of its log lines are left.
alter table run add column is_log_dropped boolean not null default false;
create index run_log_kept on run (ended_at) where state = 'done' and not is_log_dropped;

create index audit_at on audit (at);
