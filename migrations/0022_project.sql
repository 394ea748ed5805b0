-- Several projects: who may do what in which of them, and what they may use.

alter table project add column created_by text not null default 'assay';
alter table project add constraint project_name_short check (name ~ '^[A-Za-z0-9_-]{1,63}$');

-- At most so many slots of a pool are taken by active runs of a project. No row: all of them.
create table quota
(
    project_id uuid    not null references project (project_id) on delete cascade,
    pool       text    not null,
    slots      integer not null,

    primary key (project_id, pool),
    constraint quota_counts check (0 <= slots)
);

-- None: the role is one for all projects.
alter table token add column project_id uuid references project (project_id) on delete cascade;
create index token_project on token (project_id) where project_id is not null;

-- A person's roles: in all projects, and by the names of single ones.
alter table session add column project_roles jsonb not null default '{}';
alter table session drop constraint session_person_role;
alter table session add constraint session_person_role check (
    case when person is null then role is null and project_roles = '{}'
         else role is not null or project_roles <> '{}' end
);

-- In which project. None: in none of them, or in all.
alter table audit add column project text;
create index audit_project on audit (project, audit_id) where project is not null;

-- The page of a sweep.
create function page(project text, sweep text) returns text
    language sql immutable as
$$
select case project when 'default' then '' else '/projects/' || project end || '/sweeps/' || sweep
$$;
