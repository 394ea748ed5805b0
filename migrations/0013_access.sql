-- Who may ask for what, and who did.

-- What programs show, and people log in with. Of the secret only its hash is kept: it is 244 random
-- bits, which nobody guesses, so a fast hash is as good as a slow one.
create table token
(
    token_id       uuid primary key,
    name           text        not null,
    role           text        not null,
    hash           bytea       not null,
    -- The secret before it was rotated, and until when it is still taken.
    previous_hash  bytea,
    previous_until timestamptz,
    created_at     timestamptz not null default now(),
    created_by     text        not null,
    -- None: until it is revoked.
    expires_at     timestamptz,
    revoked_at     timestamptz,
    last_used_at   timestamptz,

    constraint token_hash_unique unique (hash),
    constraint token_previous_hash_unique unique (previous_hash),
    constraint token_previous_whole check ((previous_hash is null) = (previous_until is null)),
    constraint token_name_short check (length(name) between 1 and 63),
    constraint token_role_known check (role in ('viewer', 'editor', 'admin'))
);
-- A name is free again once its token is revoked: the row stays, so that the audit log can be read.
create unique index token_name_alive on token (name) where revoked_at is null;

-- A browser that has logged in.
create table session
(
    -- Of what its cookie holds.
    hash       bytea primary key,
    -- With this token: when it goes, so do its sessions.
    token_id   uuid references token (token_id) on delete cascade,
    -- Or as this person of the identity provider, with the role that its claims gave.
    person     text,
    role       text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,

    constraint session_of_one check ((token_id is null) <> (person is null)),
    constraint session_person_role check ((person is null) = (role is null)),
    constraint session_role_known check (role in ('viewer', 'editor', 'admin'))
);
create index session_expires on session (expires_at);

-- A browser on its way to the identity provider and back.
create table login
(
    -- Of the word that comes back with it, and that its cookie holds.
    hash       bytea primary key,
    -- What the provider's answer must hold, and what shows it that the same one asks.
    nonce      text        not null,
    verifier   text        not null,
    -- The page that it came from.
    return_to  text        not null,
    expires_at timestamptz not null
);
create index login_expires on login (expires_at);

-- Every request that may change something, written before it is answered: nothing is changed by
-- somebody who is not named here.
create table audit
(
    audit_id bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    -- As its token or the identity provider names them; `local` where nobody logs in.
    actor    text        not null,
    via      text        not null,
    -- The operation as the API's document names it, and its path.
    action   text        not null,
    path     text        not null,
    -- Of the answer. None: the controller died, or is still at it.
    status   smallint,
    -- What the path does not say: the sweep of an applied file, the name of a new token.
    detail   text,

    constraint audit_via_known check (via in ('loopback', 'token', 'session'))
);
