-- Every way in: shards that workers divide, gateways, vendors' mappings, the durable inbox for messages, and a
-- quarantine that can be replayed.

-- who works ---------------------------------------------------------------------------------------------------------

CREATE TABLE workers (
    -- One row an ingest process; `beat` grows while it lives and reaches the database. Others watch it grow.
    worker_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,                                     -- host:pid
    beat bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp()  -- for people; no decision is made by it
) WITH (fillfactor = 50);

ALTER TABLE shards
    ADD COLUMN worker_key int REFERENCES workers (worker_key) ON DELETE SET NULL,
    ADD COLUMN districts text[],                            -- whose devices it holds; null: all that no other shard has
    ADD COLUMN subscribed text[] NOT NULL DEFAULT '{}';     -- what its session at the broker is subscribed to

-- what reports -----------------------------------------------------------------------------------------------------

CREATE TABLE gateways (
    gateway_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id text NOT NULL UNIQUE CHECK (gateway_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    district text NOT NULL CHECK (district ~ '^[0-9]{6}$'),
    vendor text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE devices
    ADD COLUMN gateway_key int REFERENCES gateways (gateway_key),  -- the only gateway that may speak for it
    ADD COLUMN codec text;                                  -- of what it sends under its own topic; null: by the topic
CREATE INDEX devices_gateway ON devices (gateway_key) WHERE gateway_key IS NOT NULL;

CREATE TABLE mappings (
    -- How a vendor's messages are read: versioned data. The newest version of a name is in force, unless withdrawn.
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    version int NOT NULL CHECK (version > 0),
    body jsonb NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (name, version)
);

-- the inbox --------------------------------------------------------------------------------------------------------

-- A row of kind 'message' is a message as it came: `body` its bytes, `payload` where from
-- {"topic", "received_us", "source", "vendor", "quarantine_key"}; see ingest.arrival.Origin.
ALTER TABLE inbox ADD COLUMN body bytea;
CREATE INDEX inbox_consumed ON inbox (consumed_at) WHERE consumed_at IS NOT NULL;

-- the books --------------------------------------------------------------------------------------------------------

-- received + unpacked = stored + duplicate + quarantined + forwarded + discarded, in every row.
ALTER TABLE books
    ADD COLUMN by_inbox bigint NOT NULL DEFAULT 0,          -- of received: pushed, over TCP, replayed, forwarded to us
    ADD COLUMN forwarded bigint NOT NULL DEFAULT 0,         -- passed on to the shard that the device belongs to
    ADD COLUMN discarded bigint NOT NULL DEFAULT 0,         -- of a flood of rejected messages: counted, not kept
    DROP CONSTRAINT books_check,
    ADD CONSTRAINT books_balance CHECK (received + unpacked = stored + duplicate + quarantined + forwarded + discarded);

ALTER TABLE quarantine
    ADD COLUMN source text NOT NULL DEFAULT 'mqtt',         -- mqtt, http, sl651
    ADD COLUMN vendor text NOT NULL DEFAULT '',             -- the device's, or the account's that pushed it
    ADD COLUMN replays int NOT NULL DEFAULT 0,
    ADD COLUMN released_at timestamptz;                     -- a replay was understood: what it says is stored
CREATE INDEX quarantine_device ON quarantine (device_id, quarantine_key) WHERE released_at IS NULL AND device_id IS NOT NULL;
