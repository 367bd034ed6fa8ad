-- Quarantine by source, vendor and device; and newcomers: devices that the ledger does not have, in areas where these
-- wait for approval.

DROP INDEX quarantine_device;
CREATE INDEX quarantine_device ON quarantine (device_id, received_at DESC, quarantine_key DESC) WHERE device_id IS NOT NULL;
CREATE INDEX quarantine_vendor ON quarantine (vendor, received_at DESC, quarantine_key DESC) WHERE vendor <> '';
CREATE INDEX quarantine_source ON quarantine (source, received_at DESC, quarantine_key DESC) WHERE source <> 'mqtt';
CREATE INDEX quarantine_waiting ON quarantine (received_at DESC, quarantine_key DESC) WHERE released_at IS NULL;

ALTER TABLE areas ADD COLUMN auto_register boolean;         -- null: as the area above; and no where none says anything

CREATE TABLE newcomers (
    device_id text PRIMARY KEY CHECK (device_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    family text NOT NULL CHECK (family IN ('cover', 'road', 'pipe', 'pump', 'rain', 'lamp')),
    district text NOT NULL CHECK (district ~ '^([0-9]{6})?$'),  -- this and the family: as its reports say; or nothing
    vendor text NOT NULL DEFAULT '',                        -- of the account that pushed them
    gateway_id text,                                        -- the gateway that spoke for it
    source text NOT NULL,                                   -- mqtt, http, sl651
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    reports bigint NOT NULL,                                -- of it that went to quarantine
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'approved', 'refused')),
    decided_by text,
    decided_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX newcomers_listed ON newcomers (state, district, device_id);

-- Whatever way a device comes into the ledger, it no longer waits.
CREATE FUNCTION newcomers_registered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE newcomers SET state = 'approved', decided_by = 'ledger', decided_at = clock_timestamp()
    FROM registered WHERE newcomers.device_id = registered.device_id AND state <> 'approved';
    RETURN NULL;
END $$;
CREATE TRIGGER newcomers_registered AFTER INSERT ON devices REFERENCING NEW TABLE AS registered
    FOR EACH STATEMENT EXECUTE FUNCTION newcomers_registered();
