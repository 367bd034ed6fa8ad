-- The platform's side of a case: what each platform has of it, what came back, what was compared, and the upward link.

-- What a platform has of a case, by its receipts and by what it says. A case may be told to several.
CREATE TABLE case_reported (
    case_key bigint NOT NULL REFERENCES cases (case_key),
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    platform_no text COLLATE "C",                           -- null: its answer had none, or was lost
    reported_at timestamptz NOT NULL,                       -- the first receipt, or the first callback if that was lost
    told_at timestamptz NOT NULL,                           -- the newest receipt
    heard_at timestamptz,                                   -- when it last said anything of the case; null: never
    resent int NOT NULL DEFAULT 0,                          -- how often it was sent again since, because the platform had it not
    -- Changes once, where heard_at does with everything that the platform says: an index on that would be written each time.
    unheard boolean NOT NULL GENERATED ALWAYS AS (heard_at IS NULL) STORED,
    PRIMARY KEY (case_key, sink_key)
) WITH (fillfactor = 70);
-- Not unique: a platform may merge two cases under one number.
CREATE INDEX case_reported_no ON case_reported (sink_key, platform_no) WHERE platform_no IS NOT NULL;
CREATE INDEX case_reported_unheard ON case_reported (sink_key, reported_at) WHERE unheard;

-- Which cases were due in a day or a month.
CREATE INDEX cases_due ON cases (repair_by) WHERE repair_by IS NOT NULL;

CREATE TABLE callbacks (
    -- What a platform told of a case, as it came. The same again has the same digest.
    callback_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    case_key bigint NOT NULL REFERENCES cases (case_key),
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    received_at timestamptz NOT NULL,
    body jsonb NOT NULL,
    UNIQUE (case_key, sink_key, digest)
);
CREATE TRIGGER callbacks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON callbacks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE callback_nonces (
    -- What may be used once in ten minutes, by whichever process of ours is asked, before or after a restart.
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    digest bytea NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (sink_key, digest)
);
CREATE INDEX callback_nonces_used ON callback_nonces (used_at);

CREATE TABLE reconciliations (
    -- What we pushed, held against what the platform has.
    reconciliation_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    scope text NOT NULL CHECK (scope IN ('all', 'open')),
    actor text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,                                   -- null: at work, or it was killed
    found jsonb,                                            -- counts by difference, and some of each by name
    error text
);
CREATE INDEX reconciliations_of ON reconciliations (sink_key, scope, began_at DESC);

-- The upward link --------------------------------------------------------------------------------------------------------

CREATE TABLE upward_streams (
    -- Of each sink with the audience `upward`: how far its stream has come. One thread of `underfoot alerts` moves it.
    sink_key int PRIMARY KEY REFERENCES sinks (sink_key),
    began_at timestamptz NOT NULL,
    step_key bigint NOT NULL,                               -- the last step of a case that was sent, or set aside
    next_day date NOT NULL,                                 -- whose indicators are the next to send
    sent bigint NOT NULL DEFAULT 0,
    sent_at timestamptz,
    stopped_at timestamptz,                                 -- the item was refused for good: nothing more is sent until somebody decides
    error text
);

CREATE TABLE upward_set_aside (
    -- Items that somebody decided not to send.
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    item text NOT NULL,                                     -- step:KEY or day:DATE
    push_id text NOT NULL,
    body jsonb NOT NULL,
    error text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (sink_key, item, at)
);
CREATE TRIGGER upward_set_aside_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON upward_set_aside
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE sinks
    DROP CONSTRAINT sinks_audience_check,
    -- upward: the province's or the nation's platform: steps of cases and indicators, by a stream of its own.
    ADD CONSTRAINT sinks_audience_check CHECK (audience IN ('platform', 'crew', 'duty', 'upward'));

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'underfoot_services') THEN
        REVOKE UPDATE, DELETE ON callbacks, upward_set_aside FROM underfoot_services;
    END IF;
END $$;
