-- Runs that go on where another run of their sweep was before its decay.

create table extension
(
    run_id    uuid primary key references run (run_id) on delete cascade,
    of_run_id uuid    not null references run (run_id) on delete cascade,
    -- The checkpoint of that run which it begins from.
    attempt   integer not null,
    step      bigint  not null,

    constraint extension_of_another check (run_id <> of_run_id)
);
