-- The whole path once: ledger, reports, latest values, alarms, what is owed, and the books.
-- Times are timestamptz (UTC inside). Keys of tables are integers; what people type is text beside them.

CREATE TABLE installation (
    -- One row: which installation this database is. It goes into every idempotency key.
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    installation_id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- ledger ------------------------------------------------------------------------------------------------------------

CREATE TABLE areas (
    code text PRIMARY KEY CHECK (code ~ '^[0-9]{2,12}$'),
    name text NOT NULL,
    parent_code text REFERENCES areas (code),
    level text NOT NULL CHECK (level IN ('province', 'city', 'district', 'street', 'community'))
);
CREATE INDEX areas_parent ON areas (parent_code);

CREATE TABLE assets (
    asset_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code_scheme text NOT NULL DEFAULT 'GB/T 30428.2-2013',
    asset_code text NOT NULL,
    kind text NOT NULL,                                    -- class code, e.g. 0103 雨水井盖
    name text NOT NULL,
    area_code text NOT NULL REFERENCES areas (code),
    address text NOT NULL DEFAULT '',
    lon double precision CHECK (lon BETWEEN -180 AND 180),  -- CGCS2000, degrees
    lat double precision CHECK (lat BETWEEN -90 AND 90),
    source_crs text NOT NULL DEFAULT 'CGCS2000',
    supervising_unit text NOT NULL DEFAULT '',              -- 主管单位
    owner_unit text NOT NULL DEFAULT '',                    -- 权属单位
    maintenance_unit text NOT NULL DEFAULT '',              -- 养护单位
    object_state text NOT NULL DEFAULT '完好' CHECK (object_state IN ('完好', '破损', '丢失', '废弃')),
    defect text,                                            -- 病害
    defect_found_on date,
    defect_repaired_on date,
    safety_net_on date,                                     -- 安全网 installed on
    attributes jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (code_scheme, asset_code),
    CHECK ((lon IS NULL) = (lat IS NULL)),
    CHECK (defect_repaired_on IS NULL OR defect_found_on IS NULL OR defect_repaired_on >= defect_found_on)
);
CREATE INDEX assets_area ON assets (area_code, asset_key);

CREATE TABLE shards (
    shard text PRIMARY KEY CHECK (shard ~ '^[a-z0-9_-]{1,32}$'),
    shard_key int GENERATED ALWAYS AS IDENTITY UNIQUE,      -- the subject_key of a shard's own alarms
    filters text[] NOT NULL,                                -- disjoint topic filters
    epoch bigint NOT NULL DEFAULT 0,                        -- raised by whoever takes the shard's lock
    holder text,
    session_known boolean NOT NULL DEFAULT false,           -- its persistent MQTT session has existed once
    caught_up_to timestamptz,                               -- all the broker had by then is committed
    probe_delay_ms real,                                    -- publish to commit of the last probe
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO shards (shard, filters) VALUES ('main', ARRAY['underfoot/v1/+/+/+/report']);

CREATE TABLE devices (
    device_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id text NOT NULL UNIQUE CHECK (device_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    family text NOT NULL CHECK (family IN ('cover', 'road', 'pipe', 'pump', 'rain', 'lamp')),
    district text NOT NULL CHECK (district ~ '^[0-9]{6}$'), -- the {area} of its topic
    shard text NOT NULL DEFAULT 'main' REFERENCES shards (shard),
    asset_key int NOT NULL REFERENCES assets (asset_key),
    vendor text NOT NULL DEFAULT '',
    model text NOT NULL DEFAULT '',
    expected_interval_s int NOT NULL CHECK (expected_interval_s > 0),
    baseline jsonb NOT NULL DEFAULT '{}',                   -- e.g. {"tilt_deg": 3.5}: what the device reads at rest
    installed_on date,
    status text NOT NULL DEFAULT 'in_service' CHECK (status IN ('in_service', 'maintenance', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX devices_asset ON devices (asset_key);
CREATE INDEX devices_district ON devices (district, device_key);
CREATE INDEX devices_shard ON devices (shard, updated_at);

-- reports: one wide hypertable a family -----------------------------------------------------------------------------

CREATE TABLE report_cover (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real,
    tilt_deg real, open boolean, vibration boolean, water_below_rim_m real,
    h2s_mg_m3 real, ch4_lel_pct real, co_mg_m3 real, o2_vol_pct real,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
CREATE TABLE report_road (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real,
    depth_cm real, place smallint,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
CREATE TABLE report_pipe (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real,
    level_m real, fill_ratio real, flow_m3_h real, velocity_m_s real, network smallint,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
CREATE TABLE report_pump (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    running boolean, current_a real, forebay_level_m real, fault boolean, fault_code smallint,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
CREATE TABLE report_rain (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real,
    amount_mm real, intensity_mm_h real,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
CREATE TABLE report_lamp (
    device_key int NOT NULL, ts timestamptz NOT NULL, digest int NOT NULL,
    "on" boolean, dimming_pct real, voltage_v real, current_a real, power_w real, energy_kwh double precision,
    leakage_ma real, touch_voltage_v real, tilt_deg real, door_open boolean, pm2_5_ug_m3 real, noise_db real,
    received_at timestamptz NOT NULL, seq bigint, quality smallint NOT NULL, extra jsonb,
    PRIMARY KEY (device_key, ts, digest)
);
SELECT create_hypertable('report_cover', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('report_road', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('report_pipe', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('report_pump', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('report_rain', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('report_lamp', by_range('ts', INTERVAL '1 day'), create_default_indexes => false);

CREATE TABLE device_latest (
    -- One row a device, never overwritten by an older report. No index on what changes, so that updates stay in page.
    device_key int PRIMARY KEY,
    ts timestamptz NOT NULL,
    received_at timestamptz NOT NULL,                       -- of the report that was received last, late ones included
    seq bigint,
    quality smallint NOT NULL,
    "values" jsonb NOT NULL                                 -- of the newest report: field → value
) WITH (fillfactor = 60);

-- alarms ------------------------------------------------------------------------------------------------------------

CREATE TABLE rules (
    -- Versioned data; the newest version of a rule_id is in force, unless it is withdrawn.
    rule_id text NOT NULL,
    version int NOT NULL CHECK (version > 0),
    body jsonb NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (rule_id, version)
);

CREATE TABLE alarms (
    -- One subject and one rule. transition_no numbers its transitions; episode counts its openings.
    alarm_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_kind text NOT NULL CHECK (subject_kind IN ('device', 'asset', 'pipe', 'gateway', 'shard', 'rule', 'sink')),
    subject_key bigint NOT NULL,
    rule_id text NOT NULL,
    device_key int REFERENCES devices (device_key),
    asset_key int REFERENCES assets (asset_key),
    area_code text REFERENCES areas (code),
    family text,
    episode int NOT NULL DEFAULT 0,
    transition_no int NOT NULL DEFAULT 0,
    UNIQUE (subject_kind, subject_key, rule_id)
);
CREATE INDEX alarms_device ON alarms (device_key);
CREATE INDEX alarms_asset ON alarms (asset_key);
CREATE INDEX alarms_area ON alarms (area_code);

CREATE TABLE conditions (
    -- The engine's memory between batches: every subject and rule that is not plainly normal. Written by the shard's holder only.
    subject_kind text NOT NULL,
    subject_key bigint NOT NULL,
    rule_id text NOT NULL,
    shard text NOT NULL,
    state jsonb NOT NULL,                                   -- alerts.transition.State
    due_at timestamptz,                                     -- when silence will have proven something, on the server's clock
    PRIMARY KEY (subject_kind, subject_key, rule_id)
);
CREATE INDEX conditions_due ON conditions (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX conditions_shard ON conditions (shard);

CREATE TABLE episodes (
    episode_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL REFERENCES alarms (alarm_key),
    episode int NOT NULL,
    rule_version int NOT NULL,
    title text NOT NULL,                                    -- the rule's, in Chinese, as it was then
    condition text NOT NULL CHECK (condition IN ('active', 'clearing', 'normal')),
    severity smallint NOT NULL CHECK (severity BETWEEN 1 AND 4),
    worst_severity smallint NOT NULL CHECK (worst_severity BETWEEN 1 AND 4),
    human text NOT NULL DEFAULT 'unacknowledged' CHECK (human IN ('unacknowledged', 'acknowledged')),
    acknowledged_by text,
    acknowledged_at timestamptz,
    raised_at timestamptz NOT NULL,                         -- event time of the proof
    raised_received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cleared_at timestamptz,                                 -- event time
    cleared_received_at timestamptz,
    clear_reason text,
    proof jsonb NOT NULL,                                   -- the reading that proved it, copied: retention deletes the report
    UNIQUE (alarm_key, episode)
);
CREATE UNIQUE INDEX episodes_one_open ON episodes (alarm_key) WHERE cleared_at IS NULL;
CREATE INDEX episodes_raised ON episodes (raised_at DESC, episode_key DESC);
CREATE INDEX episodes_listed ON episodes (episode_key) WHERE cleared_at IS NULL OR human = 'unacknowledged';

CREATE TABLE transitions (
    transition_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL REFERENCES alarms (alarm_key),
    transition_no int NOT NULL,
    episode int NOT NULL,
    region text NOT NULL CHECK (region IN ('condition', 'human', 'suppression')),
    from_state text NOT NULL,
    to_state text NOT NULL,
    severity smallint NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,                                    -- 'engine', or the name of a key or a person
    event_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    proof jsonb,
    UNIQUE (alarm_key, transition_no)
);

-- what is owed ------------------------------------------------------------------------------------------------------

CREATE TABLE sinks (
    sink_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    channel text NOT NULL,                                  -- a folder of alerts/channels
    audience text NOT NULL CHECK (audience IN ('platform', 'crew')),
    maintenance_unit text,                                  -- a crew's unit; null: every unit that has no sink of its own
    min_severity smallint NOT NULL DEFAULT 1 CHECK (min_severity BETWEEN 1 AND 4),
    config jsonb NOT NULL,                                  -- validated by the channel
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    failures int NOT NULL DEFAULT 0,                        -- in a row; the circuit breaker's count
    open_until timestamptz,                                 -- the breaker is open until then
    last_error text
);

CREATE TABLE outbox (
    delivery_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text NOT NULL UNIQUE,
    sink_key int NOT NULL REFERENCES sinks (sink_key),
    alarm_key bigint NOT NULL REFERENCES alarms (alarm_key),
    episode int NOT NULL,
    transition_no int NOT NULL,
    notice text NOT NULL CHECK (notice IN ('raise', 'change', 'clear')),
    severity smallint NOT NULL,
    state text NOT NULL DEFAULT 'owed' CHECK (state IN ('owed', 'delivered', 'dead', 'dropped')),
    snapshot jsonb NOT NULL,                                -- everything a message may say, as it was at the transition
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    last_error text,
    receipt jsonb
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX outbox_order ON outbox (alarm_key, sink_key, transition_no);
CREATE INDEX outbox_owed ON outbox (next_attempt_at, delivery_key) WHERE state = 'owed';
CREATE INDEX outbox_owed_fifo ON outbox (alarm_key, sink_key, transition_no) WHERE state = 'owed';

CREATE TABLE inbox (
    -- What does not come by MQTT: timers, operators' commands, HTTP push, replay. Consumed by the shard's holder, in order.
    inbox_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard text NOT NULL REFERENCES shards (shard),
    kind text NOT NULL,
    payload jsonb NOT NULL,
    key text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    consumed_at timestamptz,
    outcome text
);
CREATE INDEX inbox_waiting ON inbox (shard, inbox_key) WHERE consumed_at IS NULL;

-- the books ---------------------------------------------------------------------------------------------------------

CREATE TABLE books (
    -- received + unpacked = stored + duplicate + quarantined, in every row.
    shard text NOT NULL REFERENCES shards (shard),
    minute timestamptz NOT NULL,                            -- of commit
    received bigint NOT NULL DEFAULT 0,                     -- messages, counted before decoding
    redelivered bigint NOT NULL DEFAULT 0,                  -- of them, marked DUP by the broker
    unpacked bigint NOT NULL DEFAULT 0,                     -- reports beyond the first that array payloads held
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    late bigint NOT NULL DEFAULT 0,                         -- of stored
    PRIMARY KEY (shard, minute),
    CHECK (received + unpacked = stored + duplicate + quarantined)
);

CREATE TABLE quarantine (
    quarantine_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard text NOT NULL REFERENCES shards (shard),
    received_at timestamptz NOT NULL,
    topic text NOT NULL,
    payload bytea NOT NULL,
    digest bytea NOT NULL,                                  -- SHA-256 over topic and payload: distinct is counted by it
    packet_id int NOT NULL,                                 -- with DUP, tells a redelivery from the same bytes sent again
    reason text NOT NULL,
    detail text NOT NULL,
    device_id text
);
CREATE INDEX quarantine_digest ON quarantine (digest);
CREATE INDEX quarantine_newest ON quarantine (quarantine_key DESC, reason);

CREATE TABLE api_keys (
    name text PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9_.-]{1,64}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')),
    secret_hash bytea NOT NULL UNIQUE,                      -- SHA-256 of a 256-bit random secret
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE TABLE audit (
    audit_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,                                   -- noun.verb, e.g. alarm.acknowledge
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_subject ON audit (subject, audit_key);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %: this record is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER transitions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
