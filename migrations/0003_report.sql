-- What workers report: series of points, log lines, checkpoints, evaluations.

-- One metric of one run, and where it stands.
create table series
(
    series_id    bigint generated always as identity primary key,
    run_id       uuid   not null references run (run_id) on delete cascade,
    name         text   not null,
    -- The point with the highest step that counts.
    latest_step  bigint,
    latest_value double precision,

    constraint series_name_key unique (run_id, name),
    constraint series_name_length check (length(name) between 1 and 200)
);

-- Points, append-only, in arrays: one row per series and report.
create table chunk
(
    series_id  bigint             not null references series (series_id) on delete cascade,
    attempt    integer            not null,
    seq        bigint             not null,
    step_first bigint             not null,
    step_last  bigint             not null,
    steps      bigint[]           not null,
    values     double precision[] not null,
    times      bigint[]           not null,
    changed    bigint             not null default change_id(),

    primary key (series_id, attempt, seq),
    constraint chunk_columns_agree
        check (cardinality(steps) = cardinality(values) and cardinality(steps) = cardinality(times)),
    constraint chunk_not_empty check (cardinality(steps) > 0)
);
create index chunk_changed on chunk (changed);

create table log_line
(
    log_id  bigint generated always as identity primary key,
    run_id  uuid        not null references run (run_id) on delete cascade,
    attempt integer     not null,
    at      timestamptz not null,
    level   text        not null,
    text    text        not null,

    constraint log_level_known check (level in ('info', 'warn', 'error'))
);
create index log_line_run on log_line (run_id, log_id);

create table checkpoint
(
    run_id      uuid        not null references run (run_id) on delete cascade,
    attempt     integer     not null,
    step        bigint      not null,
    path        text        not null,
    bytes       bigint      not null,
    saved_at    timestamptz not null default now(),
    -- An attempt went on from it, or it is the result.
    is_accepted boolean     not null default false,

    primary key (run_id, attempt, step)
);

create table evaluation
(
    run_id  uuid             not null references run (run_id) on delete cascade,
    attempt integer          not null,
    step    bigint           not null,
    task    text             not null,
    metric  text             not null,
    value   double precision not null,
    stderr  double precision,
    n       bigint           not null,

    primary key (run_id, step, task, metric, attempt)
);

-- What a run that succeeded leaves behind.
create table result
(
    run_id      uuid primary key references run (run_id) on delete cascade,
    attempt     integer     not null,
    step        bigint      not null,
    -- Storage path of the final checkpoint, or of the dataset.
    path        text        not null,
    fingerprint text        not null,
    tokens      bigint      not null,
    created_at  timestamptz not null default now()
);
