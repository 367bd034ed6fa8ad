-- What Grafana reads: the schema `dashboard`, of views only, and the role that may read them and nothing else.
-- Nothing secret is in them: no sink's configuration, no payload, no key. A view's columns are kept as dashboards know
-- them; columns nobody asks for cost nothing, since every join is to a unique key and is then left out by the planner.

CREATE INDEX devices_family ON devices (family, device_key);
CREATE INDEX outbox_created ON outbox (created_at);

CREATE SCHEMA dashboard;

-- Districts that have devices. One index probe a district, however many devices there are.
CREATE VIEW dashboard.districts AS
WITH RECURSIVE found AS (
    (SELECT district FROM devices ORDER BY district LIMIT 1)
    UNION ALL
    SELECT (SELECT d.district FROM devices d WHERE d.district > found.district ORDER BY d.district LIMIT 1)
    FROM found
    WHERE found.district IS NOT NULL
)
SELECT found.district, coalesce(areas.name, found.district) AS name
FROM found
LEFT JOIN areas ON areas.code = found.district
WHERE found.district IS NOT NULL;

-- Every episode, with its place and the reading that proved it.
CREATE VIEW dashboard.episodes AS
SELECT
    e.episode_key, e.alarm_key, e.episode, e.title, e.condition, e.human,
    e.severity, e.worst_severity,
    substr('蓝黄橙红', e.severity, 1) AS severity_label,
    substr('蓝黄橙红', e.worst_severity, 1) AS worst_severity_label,
    e.raised_at, e.raised_received_at, e.committed_at, e.cleared_at,
    e.cleared_at IS NULL AS open,
    al.rule_id, r.body ->> 'kind' AS rule_kind, al.subject_kind, al.device_key, d.device_id,
    coalesce(d.family, al.family) AS family,
    coalesce(d.district, left(al.area_code, 6)) AS district,
    coalesce(nullif(a.address, ''), a.name, area.name, '系统') AS place,
    coalesce(a.name, '') AS asset_name, a.asset_code, a.maintenance_unit, a.lon, a.lat,
    CASE
        -- A state needs no number: 井盖打开, not 井盖打开 1.
        WHEN jsonb_typeof(e.proof -> 'value') = 'number' AND r.body ->> 'equals' IS NULL THEN
            concat_ws(' ', e.proof ->> 'label', trim_scale(round((e.proof ->> 'value')::numeric, 3)), nullif(e.proof ->> 'unit', ''))
        ELSE coalesce(e.proof ->> 'label', '')
    END AS proof
FROM episodes e
JOIN alarms al ON al.alarm_key = e.alarm_key
LEFT JOIN rules r ON r.rule_id = al.rule_id AND r.version = e.rule_version
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = coalesce(al.asset_key, d.asset_key)
LEFT JOIN areas area ON area.code = al.area_code;

-- What stays listed: open, or over but not yet acknowledged.
CREATE VIEW dashboard.alarms AS
SELECT
    *,
    CASE WHEN open THEN human ELSE 'cleared' END AS state,
    extract(epoch FROM now() - raised_at)::double precision AS age_s
FROM dashboard.episodes
WHERE cleared_at IS NULL OR human = 'unacknowledged';

-- Every device with its place, its state and its newest values. `severity` is the worst of its open alarms.
CREATE VIEW dashboard.devices AS
SELECT
    d.device_key, d.device_id, d.family, d.district, d.vendor, d.model, d.status,
    CASE
        WHEN d.status <> 'in_service' THEN d.status
        WHEN l.device_key IS NULL THEN 'never_reported'
        WHEN alarm.offline THEN 'offline'
        ELSE 'online'
    END AS state,
    alarm.severity,
    coalesce(nullif(a.address, ''), a.name) AS place, a.name AS asset_name, a.asset_code, a.maintenance_unit,
    a.lon, a.lat,
    l.ts, l.received_at, l."values"
FROM devices d
LEFT JOIN assets a ON a.asset_key = d.asset_key
LEFT JOIN device_latest l ON l.device_key = d.device_key
LEFT JOIN (
    SELECT al.device_key, max(e.severity) AS severity, bool_or(r.body ->> 'kind' = 'no_data') AS offline
    FROM episodes e
    JOIN alarms al ON al.alarm_key = e.alarm_key
    LEFT JOIN rules r ON r.rule_id = al.rule_id AND r.version = e.rule_version
    WHERE e.cleared_at IS NULL AND al.device_key IS NOT NULL
    GROUP BY al.device_key
) alarm ON alarm.device_key = d.device_key;

-- The newest values, one row a value; yes and no are 1 and 0.
CREATE VIEW dashboard.latest_values AS
SELECT
    d.device_key, d.device_id, d.family, d.district, d.place, d.ts, v.field,
    CASE v.value WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE v.value::double precision END AS value
FROM dashboard.devices d
CROSS JOIN LATERAL jsonb_each_text(d."values") AS v (field, value)
WHERE v.value ~ '^(true|false|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)$';

-- How deep the water stands now, by the road gauges in service. A gauge that fell silent keeps its last depth.
CREATE VIEW dashboard.road_depths AS
SELECT
    device_key, device_id, district, place, asset_name, lon, lat, ts, state,
    ("values" ->> 'depth_cm')::double precision AS depth_cm
FROM dashboard.devices
WHERE family = 'road' AND status = 'in_service' AND "values" ? 'depth_cm';

CREATE VIEW dashboard.road_reports AS
SELECT r.device_key, d.device_id, d.district, coalesce(nullif(a.address, ''), a.name) AS place, a.name AS asset_name,
    r.ts, r.depth_cm
FROM report_road r
LEFT JOIN devices d ON d.device_key = r.device_key
LEFT JOIN assets a ON a.asset_key = d.asset_key;

CREATE VIEW dashboard.rain_reports AS
SELECT r.device_key, d.device_id, d.district, coalesce(nullif(a.address, ''), a.name) AS place, a.name AS asset_name,
    r.ts, r.amount_mm, r.intensity_mm_h
FROM report_rain r
LEFT JOIN devices d ON d.device_key = r.device_key
LEFT JOIN assets a ON a.asset_key = d.asset_key;

-- The limits in force, one row a level of a rule.
CREATE VIEW dashboard.limits AS
SELECT
    newest.rule_id, newest.body ->> 'family' AS family, newest.body ->> 'field' AS field, newest.body ->> 'title' AS title,
    array_position(ARRAY['blue', 'yellow', 'orange', 'red'], level ->> 'severity') AS severity,
    substr('蓝黄橙红', array_position(ARRAY['blue', 'yellow', 'orange', 'red'], level ->> 'severity'), 1) AS severity_label,
    (level ->> 'limit')::double precision AS value
FROM (SELECT DISTINCT ON (rule_id) rule_id, body, withdrawn FROM rules ORDER BY rule_id, version DESC) newest
CROSS JOIN LATERAL jsonb_array_elements(newest.body -> 'levels') AS level
WHERE NOT newest.withdrawn AND newest.body ->> 'kind' = 'level';

CREATE VIEW dashboard.books AS
SELECT shard, minute, received, redelivered, unpacked, stored, duplicate, quarantined, late FROM books;

CREATE VIEW dashboard.shards AS
SELECT shard, caught_up_to, probe_delay_ms, session_known,
    extract(epoch FROM now() - caught_up_to)::double precision AS behind_s
FROM shards;

CREATE VIEW dashboard.sinks AS
SELECT s.sink_key, s.name, s.channel, s.audience, s.maintenance_unit,
    CASE WHEN NOT s.enabled THEN 'disabled' WHEN s.open_until > now() THEN 'failing' ELSE 'working' END AS state,
    coalesce(o.owed, 0) AS owed,
    extract(epoch FROM now() - o.oldest)::double precision AS oldest_owed_s,
    coalesce(d.dead, 0) AS dead
FROM sinks s
LEFT JOIN (SELECT sink_key, count(*) AS owed, min(created_at) AS oldest FROM outbox WHERE state = 'owed' GROUP BY sink_key) o
    ON o.sink_key = s.sink_key
LEFT JOIN (SELECT sink_key, count(*) AS dead FROM outbox WHERE state = 'dead' GROUP BY sink_key) d
    ON d.sink_key = s.sink_key;

CREATE VIEW dashboard.deliveries AS
SELECT o.delivery_key, o.sink_key, o.alarm_key, o.episode, o.transition_no, o.notice, o.severity, o.state, o.attempts,
    o.created_at, o.settled_at,
    (o.snapshot ->> 'raised_received_at')::timestamptz AS raised_received_at
FROM outbox o;

CREATE VIEW dashboard.quarantine AS
SELECT quarantine_key, shard, received_at, reason, device_id FROM quarantine;

-- The role that reads them --------------------------------------------------------------------------------------------
-- Roles belong to the cluster, not to this database: another database of ours may have made it, or be making it now.

CREATE FUNCTION dashboard.ensure_reader(reader name DEFAULT 'underfoot_dashboard') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN CONNECTION LIMIT 20', reader);
            EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', reader);
            EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', reader, '15s');
            EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', reader, '60s');
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            RAISE DEBUG 'role % was made by another database at this moment', reader;
        END;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA dashboard TO %I', reader);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA dashboard TO %I', reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA dashboard GRANT SELECT ON TABLES TO %I', reader);
END $$;

-- `verifier` is what the server keeps of a password (SCRAM-SHA-256), so that no password is ever in a statement or a log.
CREATE FUNCTION dashboard.let_reader_in(verifier text, reader name DEFAULT 'underfoot_dashboard') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF verifier NOT LIKE 'SCRAM-SHA-256$%' THEN
        RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier' USING ERRCODE = 'invalid_password';
    END IF;
    PERFORM dashboard.ensure_reader(reader);
    EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', reader, verifier);
END $$;

REVOKE ALL ON FUNCTION dashboard.ensure_reader(name), dashboard.let_reader_in(text, name) FROM PUBLIC;

DO $$
BEGIN
    PERFORM dashboard.ensure_reader();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'this user may not create the role underfoot_dashboard: whoever may, calls SELECT dashboard.ensure_reader()';
END $$;
