-- A small city as the stages would have left it: two districts, one storm, everything a dashboard can show.
INSERT INTO areas (code, name, level) VALUES ('4105', '安阳市', 'city');
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('410502', '文峰区', '4105', 'district'), ('410506', '龙安区', '4105', 'district');

INSERT INTO assets (asset_code, kind, name, area_code, address, lon, lat, maintenance_unit)
SELECT
    district || '2115' || to_char(n, 'FM000000'), '2115', '部件' || n, district,
    CASE WHEN n % 7 = 0 THEN '' ELSE '东风路' || n || '号' END,
    CASE WHEN n % 11 = 0 THEN NULL ELSE 114.30 + n * 0.002 END, CASE WHEN n % 11 = 0 THEN NULL ELSE 36.05 + n * 0.001 END,
    '市政一队'
FROM generate_series(1, 60) n, LATERAL (SELECT CASE WHEN n % 2 = 0 THEN '410502' ELSE '410506' END AS district) d;

INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s, status)
SELECT
    family || '-' || n, family, a.area_code, a.asset_key, 300,
    CASE WHEN n = 60 THEN 'maintenance' ELSE 'in_service' END
FROM generate_series(1, 60) n
JOIN assets a ON a.name = '部件' || n
CROSS JOIN LATERAL (SELECT (ARRAY['cover', 'road', 'pipe', 'pump', 'rain', 'lamp'])[1 + (n - 1) / 10] AS family) f;

INSERT INTO report_road (device_key, ts, digest, depth_cm, place, received_at, quality)
SELECT device_key, now() - m * interval '5 minutes', m, greatest(0, 30 - m) + device_key % 3, device_key % 2,
    now() - m * interval '5 minutes' + interval '2 seconds', 0
FROM devices, generate_series(0, 60) m
WHERE family = 'road';
INSERT INTO report_rain (device_key, ts, digest, amount_mm, received_at, quality)
SELECT device_key, now() - m * interval '5 minutes', m, 0.5, now() - m * interval '5 minutes', 0
FROM devices, generate_series(0, 60) m
WHERE family = 'rain';

INSERT INTO latest_road (device_key, ts, received_at, quality, depth_cm, place, battery_pct)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0, 30.5 + device_key % 3, device_key % 2, 80
FROM devices WHERE family = 'road' AND device_id <> 'lamp-55';
INSERT INTO latest_cover (device_key, ts, received_at, quality, tilt_deg, open, water_below_rim_m)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0, 1.5, false, 1
FROM devices WHERE family = 'cover' AND device_id <> 'lamp-55';
INSERT INTO latest_lamp (device_key, ts, received_at, quality, current_a)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0, -0.25
FROM devices WHERE family = 'lamp' AND device_id <> 'lamp-55';
INSERT INTO latest_pump (device_key, ts, received_at, quality, current_a)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0, -0.25
FROM devices WHERE family = 'pump' AND device_id <> 'lamp-55';
INSERT INTO latest_rain (device_key, ts, received_at, quality)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0
FROM devices WHERE family = 'rain' AND device_id <> 'lamp-55';
INSERT INTO latest_pipe (device_key, ts, received_at, quality)
SELECT device_key, now() - interval '1 minute', now() - interval '59 seconds', 0
FROM devices WHERE family = 'pipe' AND device_id <> 'lamp-55';

INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, area_code, family)
SELECT 'device', d.device_key, r.rule_id, d.device_key, d.asset_key, d.district, d.family
FROM devices d
JOIN (VALUES ('cover', 'cover.open'), ('road', 'road.ponding'), ('pump', 'pump.offline')) r (family, rule_id)
    ON r.family = d.family;
INSERT INTO alarms (subject_kind, subject_key, rule_id) VALUES ('shard', 1, 'shard.session_lost');

-- Each has been open once; of every three one is open now, one is over but not acknowledged, one is done with.
INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, human,
    raised_at, raised_received_at, committed_at, cleared_at, cleared_received_at, proof)
SELECT
    alarm_key, 1, 1, '标题', CASE WHEN over THEN 'normal' ELSE 'active' END,
    1 + alarm_key % 4, 3 + alarm_key % 2, CASE WHEN alarm_key % 3 = 2 THEN 'acknowledged' ELSE 'unacknowledged' END,
    at, at + interval '1 second', at + interval '1.25 seconds',
    CASE WHEN over THEN at + interval '20 minutes' END, CASE WHEN over THEN at + interval '20 minutes' END,
    CASE WHEN family = 'cover'
        THEN '{"field": "open", "label": "井盖打开", "value": 1, "unit": "", "limit": 1.0}'::jsonb
        ELSE '{"field": "depth_cm", "label": "积水深度", "value": 30.50000001, "unit": "cm", "limit": 27.0}'
    END
FROM alarms
CROSS JOIN LATERAL (SELECT now() - (10 + alarm_key) * interval '1 minute' AS at, alarm_key % 3 <> 0 AS over) o;

INSERT INTO sinks (name, channel, audience, config, open_until) VALUES
    ('platform', 'platform', 'platform', '{"url": "http://127.0.0.1/secret"}', NULL),
    ('crew', 'wecom', 'crew', '{"url": "http://127.0.0.1/secret"}', now() + interval '1 minute');
INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, state, snapshot,
    created_at, settled_at)
SELECT
    'k' || sink_key || '-' || alarm_key, sink_key, alarm_key, 1, 1, 'raise', severity,
    (ARRAY['delivered', 'delivered', 'owed', 'dead'])[1 + alarm_key % 4],
    jsonb_build_object('raised_received_at', raised_received_at), committed_at,
    CASE WHEN alarm_key % 4 <> 2 THEN committed_at + interval '3 seconds' END
FROM episodes, sinks;

INSERT INTO books (shard, minute, received, stored, duplicate, quarantined, late)
SELECT 'main', date_trunc('minute', now()) - m * interval '1 minute', 120, 110, 7, 3, 2 FROM generate_series(0, 90) m;
INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail, device_id)
SELECT 'main', now() - n * interval '1 minute', 'underfoot/v1/410502/road/x/report', '\x00', '\x00', n,
    CASE WHEN n % 3 = 0 THEN 'unknown_device' ELSE 'undecodable' END, 'secret', CASE WHEN n % 3 = 0 THEN 'x' || n END
FROM generate_series(1, 40) n;
UPDATE shards SET caught_up_to = now() - interval '4 seconds', probe_delay_ms = 12.5;
