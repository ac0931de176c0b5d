-- What happened, in the order in which readers page through it. A row is never changed. Only the process that has locked the row
-- of `event_log` adds rows, so ids rise in the order in which rows become visible.
CREATE TABLE events (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id  TEXT COLLATE "C" NOT NULL,
    -- The organization that it is about, if it is about one.
    organization_id TEXT COLLATE "C",
    event           TEXT COLLATE "C" NOT NULL,
    -- Whether Latchkey defined the type. Such events are listed only if they are asked for by type.
    of_latchkey     BOOLEAN NOT NULL,
    -- The whole event as compact JSON: the bytes that webhooks sign and send.
    body            TEXT NOT NULL
);
CREATE INDEX events_of_environment ON events (environment_id, id) WHERE NOT of_latchkey;
CREATE INDEX events_of_type ON events (environment_id, event, id);
CREATE INDEX events_of_organization ON events (environment_id, organization_id, id)
    WHERE organization_id IS NOT NULL AND NOT of_latchkey;
CREATE INDEX events_of_organization_and_type ON events (environment_id, organization_id, event, id)
    WHERE organization_id IS NOT NULL;

-- The end of the log: one row.
CREATE TABLE event_log (
    only_row BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last_id  TEXT COLLATE "C" NOT NULL,
    -- When the log began. The expiry of keys before that is not reported.
    began_at BIGINT NOT NULL
);
INSERT INTO event_log (only_row, last_id, began_at) VALUES (1, '', CAST(extract(epoch FROM now()) AS BIGINT) * 1000);

-- Events of committed changes that are not in the log yet. A row is written in the transaction of its change.
CREATE TABLE event_queue (
    position        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment_id  TEXT COLLATE "C" NOT NULL,
    organization_id TEXT COLLATE "C",
    event           TEXT COLLATE "C" NOT NULL,
    data            TEXT NOT NULL,
    context         TEXT NOT NULL,
    -- What else the change concerned, as rows of `event_targets`. NULL: nothing.
    batch           TEXT COLLATE "C",
    -- Whether the event itself is in the log, and only those of its targets are not yet.
    expanding       BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX event_queue_expanding ON event_queue (position) WHERE expanding;

-- What one change did to many things: each gets an event of its own after the event of the change.
CREATE TABLE event_targets (
    batch   TEXT COLLATE "C" NOT NULL,
    event   TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    -- JSON: what the row of the target does not tell any more. NULL: it tells everything.
    details TEXT,
    PRIMARY KEY (batch, event, id)
);

-- When the next event about the expiry of a key is due. NULL: this was not computed since its expiry was set. After the last
-- event it is the greatest number.
ALTER TABLE api_keys ADD COLUMN expiry_event_at BIGINT;
CREATE INDEX api_keys_by_expiry_event ON api_keys (expiry_event_at)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NOT NULL;
CREATE INDEX api_keys_without_expiry_event ON api_keys (id)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND expiry_event_at IS NULL;

-- Where webhooks are sent.
CREATE TABLE webhook_endpoints (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id  TEXT COLLATE "C" NOT NULL REFERENCES environments (id),
    url             TEXT NOT NULL,
    -- JSON array of the types of events that it receives.
    events          TEXT NOT NULL,
    disabled        BOOLEAN NOT NULL DEFAULT FALSE,
    -- Why the server disabled it. NULL: it did not.
    disabled_reason TEXT,
    -- The secret, encrypted, and what people may see of it.
    secret          BYTEA NOT NULL,
    masked_secret   TEXT NOT NULL,
    -- The secret before it, while both are valid.
    previous_secret            BYTEA,
    previous_secret_expires_at BIGINT,
    -- Since when no delivery has succeeded. NULL: the last one did.
    failing_since   BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    -- The row outlives the endpoint until its deliveries are canceled.
    deleted_at      BIGINT
);
CREATE INDEX webhook_endpoints_of_environment ON webhook_endpoints (environment_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX webhook_endpoints_by_url ON webhook_endpoints (environment_id, url) WHERE deleted_at IS NULL;

-- Each event that is to be sent to an endpoint, and what became of it.
CREATE TABLE webhook_deliveries (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    environment_id TEXT COLLATE "C" NOT NULL,
    endpoint_id    TEXT COLLATE "C" NOT NULL,
    event_id       TEXT COLLATE "C" NOT NULL,
    event          TEXT COLLATE "C" NOT NULL,
    -- Whether somebody asked for it again. The outcome of a replay says nothing about the endpoint.
    is_replay      BOOLEAN NOT NULL DEFAULT FALSE,
    -- `pending`, `succeeded`, `failed` or `canceled`.
    status         TEXT NOT NULL,
    attempts       BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    completed_at   BIGINT
);
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (endpoint_id, status, id);

-- Deliveries that are not complete.
CREATE TABLE webhook_queue (
    delivery_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    endpoint_id     TEXT COLLATE "C" NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- The attempt that is in progress. Only its process may write the outcome.
    claim           BIGINT
);
CREATE INDEX webhook_queue_of_endpoint ON webhook_queue (endpoint_id, next_attempt_at, delivery_id);

-- Each attempt of a delivery.
CREATE TABLE webhook_attempts (
    delivery_id      TEXT COLLATE "C" NOT NULL,
    attempt          BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    duration_ms      BIGINT NOT NULL,
    url              TEXT NOT NULL,
    -- NULL: there was no response, and `failure` says why.
    response_status  BIGINT,
    -- JSON object.
    response_headers TEXT NOT NULL,
    response_body    TEXT NOT NULL,
    failure          TEXT,
    PRIMARY KEY (delivery_id, attempt)
);

-- Requests to send an endpoint all events of a time again, which the server does step by step.
CREATE TABLE webhook_replays (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    endpoint_id  TEXT COLLATE "C" NOT NULL,
    -- The last event that was queued, and the last one to queue.
    after_event  TEXT COLLATE "C" NOT NULL,
    until_event  TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX webhook_replays_of_endpoint ON webhook_replays (endpoint_id);
