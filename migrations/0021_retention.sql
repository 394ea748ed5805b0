-- What is dropped some time after its run has ended is found without a look at all that ever ran.

-- Nothing is left of the metrics of its machines, and of its log.
alter table run add column is_system_dropped boolean not null default false;
alter table run add column is_log_dropped boolean not null default false;
create index run_system_kept on run (ended_at) where state = 'done' and not is_system_dropped;
create index run_log_kept on run (ended_at) where state = 'done' and not is_log_dropped;

create index audit_at on audit (at);
