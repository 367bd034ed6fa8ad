-- The newest values of each device, typed as its family's reports are: written by the same binary COPY, at half of what
-- one table with jsonb costs. `device_latest` shows all families alike, and is what lists and maps read.

CREATE TABLE latest_cover (
    -- One row a device, never overwritten by an older report. No index on what changes, so that updates stay in page.
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real, tilt_deg real, open boolean,
    vibration boolean, water_below_rim_m real, h2s_mg_m3 real, ch4_lel_pct real, co_mg_m3 real, o2_vol_pct real,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);
CREATE TABLE latest_road (
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real, depth_cm real, place smallint,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);
CREATE TABLE latest_pipe (
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real, level_m real, fill_ratio real,
    flow_m3_h real, velocity_m_s real, network smallint,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);
CREATE TABLE latest_pump (
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    running boolean, current_a real, forebay_level_m real, fault boolean, fault_code smallint,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);
CREATE TABLE latest_rain (
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    battery_v real, battery_pct real, rsrp_dbm real, temperature_c real, amount_mm real, intensity_mm_h real,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);
CREATE TABLE latest_lamp (
    device_key int PRIMARY KEY, ts timestamptz NOT NULL,
    "on" boolean, dimming_pct real, voltage_v real, current_a real, power_w real, energy_kwh double precision,
    leakage_ma real, touch_voltage_v real, tilt_deg real, door_open boolean, pm2_5_ug_m3 real, noise_db real,
    received_at timestamptz NOT NULL, quality smallint NOT NULL, seq bigint
) WITH (fillfactor = 60);

INSERT INTO latest_cover (device_key, ts, battery_v, battery_pct, rsrp_dbm, temperature_c, tilt_deg, open, vibration,
    water_below_rim_m, h2s_mg_m3, ch4_lel_pct, co_mg_m3, o2_vol_pct, received_at, quality, seq)
SELECT device_key, ts, ("values" ->> 'battery_v')::real, ("values" ->> 'battery_pct')::real, ("values" ->>
    'rsrp_dbm')::real, ("values" ->> 'temperature_c')::real, ("values" ->> 'tilt_deg')::real, ("values" ->>
    'open')::boolean, ("values" ->> 'vibration')::boolean, ("values" ->> 'water_below_rim_m')::real, ("values" ->>
    'h2s_mg_m3')::real, ("values" ->> 'ch4_lel_pct')::real, ("values" ->> 'co_mg_m3')::real, ("values" ->>
    'o2_vol_pct')::real, received_at, quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'cover';
INSERT INTO latest_road (device_key, ts, battery_v, battery_pct, rsrp_dbm, temperature_c, depth_cm, place,
    received_at, quality, seq)
SELECT device_key, ts, ("values" ->> 'battery_v')::real, ("values" ->> 'battery_pct')::real, ("values" ->>
    'rsrp_dbm')::real, ("values" ->> 'temperature_c')::real, ("values" ->> 'depth_cm')::real, ("values" ->>
    'place')::smallint, received_at, quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'road';
INSERT INTO latest_pipe (device_key, ts, battery_v, battery_pct, rsrp_dbm, temperature_c, level_m, fill_ratio,
    flow_m3_h, velocity_m_s, network, received_at, quality, seq)
SELECT device_key, ts, ("values" ->> 'battery_v')::real, ("values" ->> 'battery_pct')::real, ("values" ->>
    'rsrp_dbm')::real, ("values" ->> 'temperature_c')::real, ("values" ->> 'level_m')::real, ("values" ->>
    'fill_ratio')::real, ("values" ->> 'flow_m3_h')::real, ("values" ->> 'velocity_m_s')::real, ("values" ->>
    'network')::smallint, received_at, quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'pipe';
INSERT INTO latest_pump (device_key, ts, running, current_a, forebay_level_m, fault, fault_code, received_at, quality,
    seq)
SELECT device_key, ts, ("values" ->> 'running')::boolean, ("values" ->> 'current_a')::real, ("values" ->>
    'forebay_level_m')::real, ("values" ->> 'fault')::boolean, ("values" ->> 'fault_code')::smallint, received_at,
    quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'pump';
INSERT INTO latest_rain (device_key, ts, battery_v, battery_pct, rsrp_dbm, temperature_c, amount_mm, intensity_mm_h,
    received_at, quality, seq)
SELECT device_key, ts, ("values" ->> 'battery_v')::real, ("values" ->> 'battery_pct')::real, ("values" ->>
    'rsrp_dbm')::real, ("values" ->> 'temperature_c')::real, ("values" ->> 'amount_mm')::real, ("values" ->>
    'intensity_mm_h')::real, received_at, quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'rain';
INSERT INTO latest_lamp (device_key, ts, "on", dimming_pct, voltage_v, current_a, power_w, energy_kwh, leakage_ma,
    touch_voltage_v, tilt_deg, door_open, pm2_5_ug_m3, noise_db, received_at, quality, seq)
SELECT device_key, ts, ("values" ->> 'on')::boolean, ("values" ->> 'dimming_pct')::real, ("values" ->>
    'voltage_v')::real, ("values" ->> 'current_a')::real, ("values" ->> 'power_w')::real, ("values" ->>
    'energy_kwh')::double precision, ("values" ->> 'leakage_ma')::real, ("values" ->> 'touch_voltage_v')::real,
    ("values" ->> 'tilt_deg')::real, ("values" ->> 'door_open')::boolean, ("values" ->> 'pm2_5_ug_m3')::real,
    ("values" ->> 'noise_db')::real, received_at, quality, seq
FROM device_latest JOIN devices USING (device_key) WHERE family = 'lamp';

DROP VIEW dashboard.road_depths, dashboard.latest_values, dashboard.devices;
DROP TABLE device_latest;

CREATE VIEW device_latest AS
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('battery_v', battery_v,
    'battery_pct', battery_pct, 'rsrp_dbm', rsrp_dbm, 'temperature_c', temperature_c, 'tilt_deg', tilt_deg, 'open',
    open, 'vibration', vibration, 'water_below_rim_m', water_below_rim_m, 'h2s_mg_m3', h2s_mg_m3, 'ch4_lel_pct',
    ch4_lel_pct, 'co_mg_m3', co_mg_m3, 'o2_vol_pct', o2_vol_pct)) AS "values"
FROM latest_cover
UNION ALL
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('battery_v', battery_v,
    'battery_pct', battery_pct, 'rsrp_dbm', rsrp_dbm, 'temperature_c', temperature_c, 'depth_cm', depth_cm, 'place',
    place)) AS "values"
FROM latest_road
UNION ALL
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('battery_v', battery_v,
    'battery_pct', battery_pct, 'rsrp_dbm', rsrp_dbm, 'temperature_c', temperature_c, 'level_m', level_m,
    'fill_ratio', fill_ratio, 'flow_m3_h', flow_m3_h, 'velocity_m_s', velocity_m_s, 'network', network)) AS "values"
FROM latest_pipe
UNION ALL
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('running', running,
    'current_a', current_a, 'forebay_level_m', forebay_level_m, 'fault', fault, 'fault_code', fault_code)) AS "values"
FROM latest_pump
UNION ALL
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('battery_v', battery_v,
    'battery_pct', battery_pct, 'rsrp_dbm', rsrp_dbm, 'temperature_c', temperature_c, 'amount_mm', amount_mm,
    'intensity_mm_h', intensity_mm_h)) AS "values"
FROM latest_rain
UNION ALL
SELECT device_key, ts, received_at, quality, seq, jsonb_strip_nulls(jsonb_build_object('on', "on", 'dimming_pct',
    dimming_pct, 'voltage_v', voltage_v, 'current_a', current_a, 'power_w', power_w, 'energy_kwh', energy_kwh,
    'leakage_ma', leakage_ma, 'touch_voltage_v', touch_voltage_v, 'tilt_deg', tilt_deg, 'door_open', door_open,
    'pm2_5_ug_m3', pm2_5_ug_m3, 'noise_db', noise_db)) AS "values"
FROM latest_lamp;

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
    d.device_key, d.device_id, d.district, d.place, d.asset_name, d.lon, d.lat, l.ts, d.state,
    l.depth_cm::text::double precision AS depth_cm          -- by its text: 30.1 stays 30.1
FROM latest_road l
JOIN dashboard.devices d USING (device_key)
WHERE d.status = 'in_service' AND l.depth_cm IS NOT NULL;
