-- Moments are milliseconds since 1970. JSON is text, written and read by the server alone.
-- Ids compare by their bytes, whatever the locale of the database, because lists are ordered by them.

CREATE TABLE environments (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    key_prefix      TEXT NOT NULL,
    -- JSON array: every prefix that its keys ever had.
    prefixes        TEXT NOT NULL,
    accepts_foreign BOOLEAN NOT NULL DEFAULT FALSE,
    generation      BIGINT NOT NULL DEFAULT 0,
    -- JSON arrays: the permissions that customers may put on their organizations' and on their users' keys. NULL: all.
    organization_key_permissions TEXT,
    user_key_permissions         TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

CREATE TABLE management_keys (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id   TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    name             TEXT NOT NULL,
    digest           BYTEA NOT NULL UNIQUE,
    obfuscated_value TEXT NOT NULL,
    -- JSON array.
    scopes           TEXT NOT NULL,
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- When it was last changed in a way that the change feed has an entry for. NULL: never since its creation.
    changed_at       BIGINT,
    -- Whether somebody was told that the last such change has reached the edge.
    acknowledged     BOOLEAN NOT NULL DEFAULT TRUE,
    -- When the newest record that the edge's store holds was sealed. NULL: it holds none yet.
    sealed_at        BIGINT,
    revoked_at       BIGINT,
    revoked_reason   TEXT
);
CREATE INDEX management_keys_changed ON management_keys (changed_at, id) WHERE changed_at IS NOT NULL;
CREATE INDEX management_keys_sealed ON management_keys (sealed_at, id) WHERE revoked_at IS NULL;
CREATE INDEX management_keys_of_environment ON management_keys (environment_id, id);

CREATE TABLE organizations (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    name           TEXT NOT NULL,
    external_id    TEXT COLLATE "C",
    -- JSON object of strings.
    metadata       TEXT NOT NULL,
    -- JSON array of the domain objects, as answers show them.
    domains        TEXT NOT NULL,
    allow_profiles_outside_organization BOOLEAN NOT NULL DEFAULT FALSE,
    generation     BIGINT NOT NULL DEFAULT 0,
    -- How long its keys live at the most, and if nobody says otherwise. NULL: for ever.
    max_lifetime_seconds     BIGINT,
    default_lifetime_seconds BIGINT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    -- The row outlives the organization, because its revoked keys do.
    deleted_at     BIGINT
);
CREATE INDEX organizations_of_environment ON organizations (environment_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX organizations_by_external_id ON organizations (environment_id, external_id) WHERE deleted_at IS NULL;

-- Finds organizations by domain.
CREATE TABLE organization_domains (
    environment_id  TEXT COLLATE "C" NOT NULL,
    domain          TEXT NOT NULL,
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    PRIMARY KEY (environment_id, domain, organization_id)
);
CREATE INDEX organization_domains_of_organization ON organization_domains (organization_id);

CREATE TABLE permissions (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id     TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    slug               TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT,
    resource_type_slug TEXT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    UNIQUE (environment_id, slug)
);
CREATE INDEX permissions_of_environment ON permissions (environment_id, id);

-- Whoever holds keys of their own in an organization. A deleted one leaves nothing.
CREATE TABLE users (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    external_id    TEXT COLLATE "C",
    -- Empty if the product did not say.
    email          TEXT NOT NULL,
    -- The same in lower case, for finding it; NULL if there is none.
    email_key      TEXT COLLATE "C",
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    first_name     TEXT,
    last_name      TEXT,
    name           TEXT,
    locale         TEXT,
    -- JSON object of strings.
    metadata       TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX users_of_environment ON users (environment_id, id);
CREATE UNIQUE INDEX users_by_external_id ON users (environment_id, external_id);
CREATE UNIQUE INDEX users_by_email ON users (environment_id, email_key);

-- What users are in their organizations.
CREATE TABLE roles (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id     TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    -- NULL: every organization of the environment has it.
    organization_id    TEXT COLLATE "C" REFERENCES organizations (id),
    slug               TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT,
    resource_type_slug TEXT NOT NULL,
    -- JSON array of the slugs of permissions.
    permissions        TEXT NOT NULL,
    -- Goes up whenever its permissions change.
    generation         BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL
);
CREATE UNIQUE INDEX roles_of_environment ON roles (environment_id, slug) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX roles_of_organization ON roles (organization_id, slug);

-- That a user belongs to an organization.
CREATE TABLE memberships (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id  TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    organization_id TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    user_id         TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    role_id         TEXT COLLATE "C" NOT NULL REFERENCES roles (id),
    inactive        BOOLEAN NOT NULL DEFAULT FALSE,
    -- Goes up whenever its role or its state changes.
    generation      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    UNIQUE (organization_id, user_id)
);
CREATE INDEX memberships_of_organization ON memberships (organization_id, id);
CREATE INDEX memberships_of_user ON memberships (user_id, id);
CREATE INDEX memberships_of_role ON memberships (role_id);

CREATE TABLE api_keys (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id   TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    organization_id  TEXT COLLATE "C" NOT NULL REFERENCES organizations (id),
    user_id          TEXT COLLATE "C",
    name             TEXT NOT NULL,
    -- SHA-256 of the key. The key itself is stored nowhere.
    digest           BYTEA NOT NULL,
    obfuscated_value TEXT NOT NULL,
    -- JSON arrays, and a JSON object of strings.
    permissions      TEXT NOT NULL,
    resources        TEXT NOT NULL DEFAULT '[]',
    ip_allow_list    TEXT NOT NULL DEFAULT '[]',
    metadata         TEXT NOT NULL DEFAULT '{}',
    expires_at       BIGINT,
    not_before       BIGINT,
    disabled         BOOLEAN NOT NULL DEFAULT FALSE,
    -- Goes up with every change, and never back.
    version          BIGINT NOT NULL,
    created_by       TEXT NOT NULL,
    -- The key that it took the place of, and the one that took its place.
    rotated_from     TEXT,
    rotated_to       TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- When it was last changed in a way that the change feed has an entry for. NULL: never since its creation.
    changed_at       BIGINT,
    -- Whether somebody was told that the last such change has reached the edge.
    acknowledged     BOOLEAN NOT NULL DEFAULT TRUE,
    -- When the newest record that the edge's store holds was sealed. NULL: it holds none yet.
    sealed_at        BIGINT,
    revoked_at       BIGINT,
    revoked_reason   TEXT,
    UNIQUE (environment_id, digest)
);
CREATE INDEX api_keys_changed ON api_keys (changed_at, id) WHERE changed_at IS NOT NULL;
CREATE INDEX api_keys_sealed ON api_keys (sealed_at, id) WHERE revoked_at IS NULL;
-- In this order: of two indexes that seem equally good, SQLite takes the one that was made last.
CREATE INDEX api_keys_ever_of_organization ON api_keys (environment_id, organization_id, id);
CREATE INDEX api_keys_of_organization ON api_keys (environment_id, organization_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_of_user ON api_keys (environment_id, user_id, id) WHERE user_id IS NOT NULL;

-- What the edge has yet to be told: a row for each key whose record there is older than its row here.
CREATE TABLE outbox (
    key_id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- `api_key` or `management_key`.
    kind            TEXT NOT NULL,
    version         BIGINT NOT NULL,
    queued_at       BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- Whether the change must be in the change feed before it goes to the store, and which version the feed has.
    through_feed    BOOLEAN NOT NULL DEFAULT FALSE,
    fed_version     BIGINT,
    -- The flush that took the row last, the version that it took, and until when what it sent may land.
    claim           BIGINT,
    claimed_version BIGINT,
    claimed_until   BIGINT,
    -- Until when earlier writes of the row, whose outcome nobody knows, may still land.
    unsettled_until BIGINT
);
CREATE INDEX outbox_queued ON outbox (queued_at);
CREATE INDEX outbox_due ON outbox (next_attempt_at, key_id) WHERE NOT through_feed OR fed_version >= version;
CREATE INDEX outbox_of_claim ON outbox (claim, key_id) WHERE claim IS NOT NULL;
CREATE INDEX outbox_unfed ON outbox (queued_at, key_id)
    WHERE through_feed AND (fed_version IS NULL OR fed_version < version);

-- What narrowed many keys at once, as one entry of the change feed, for as long as that entry stays there.
CREATE TABLE scope_changes (
    -- `organization:<id>`, or `permission:<environment>:<slug>`.
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    -- Records that were sealed with a lower generation of the scope are subject to the effect.
    generation     BIGINT NOT NULL,
    -- JSON.
    effect         TEXT NOT NULL,
    changed_at     BIGINT NOT NULL,
    -- Whether the feed has it, and whether somebody was told so.
    fed            BOOLEAN NOT NULL DEFAULT FALSE,
    acknowledged   BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX scope_changes_in_order ON scope_changes (changed_at);
CREATE INDEX scope_changes_unfed ON scope_changes (changed_at, name) WHERE NOT fed;

-- How far the change feed had come when it last answered: at most one row.
CREATE TABLE feed_position (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch    BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);

-- How far a rebuild of the edge's store has come, so that it can be resumed.
CREATE TABLE edge_sync (
    namespace  TEXT NOT NULL,
    -- As in the outbox.
    kind       TEXT NOT NULL,
    cursor     TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, kind)
);

-- When each key was last accepted. It is not in the key's row, so that who changes a key never waits for who counts.
CREATE TABLE last_uses (
    key_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL
);

-- How often each key was validated: a row for each hour, counted since 1970, and each outcome.
CREATE TABLE usage (
    key_id  TEXT COLLATE "C" NOT NULL,
    hour    BIGINT NOT NULL,
    -- `valid`, or the code of the refusal.
    outcome TEXT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (key_id, hour, outcome)
);
CREATE INDEX usage_by_hour ON usage (hour);

-- The same of each environment, with what is no key there.
CREATE TABLE environment_usage (
    environment_id TEXT COLLATE "C" NOT NULL,
    hour           BIGINT NOT NULL,
    outcome        TEXT NOT NULL,
    count          BIGINT NOT NULL,
    PRIMARY KEY (environment_id, hour, outcome)
);
CREATE INDEX environment_usage_by_hour ON environment_usage (hour);

-- Who told of usage, and the last batch of it that was counted, so that none counts twice.
CREATE TABLE usage_senders (
    sender  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number  BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX usage_senders_by_seen_at ON usage_senders (seen_at);

-- What creations were answered that had an `Idempotency-Key`, for a day. Places, fingerprints and answers are made with the
-- caller's management key, so nothing that is stored opens them.
CREATE TABLE idempotent_answers (
    place       BYTEA NOT NULL PRIMARY KEY,
    -- Of the method, the path and the body.
    fingerprint BYTEA NOT NULL,
    -- NULL only within the transaction that creates.
    answer      BYTEA,
    created_at  BIGINT NOT NULL
);
CREATE INDEX idempotent_answers_by_created_at ON idempotent_answers (created_at);
