-- A city in which reading a whole table shows: 4 000 assets and devices, 40 000 episodes, 40 000 quarantined, a month of books.
SET session_replication_role = replica;  -- foreign keys hold by construction; checking each would take most of the time
INSERT INTO areas (code, name, parent_code, level) VALUES ('410500', '安阳市', NULL, 'city');
INSERT INTO areas SELECT '4105' || lpad(d::text, 2, '0'), 'd', '410500', 'district' FROM generate_series(1, 9) d;
INSERT INTO areas SELECT code || lpad(s::text, 3, '0'), 's', code, 'street' FROM areas CROSS JOIN generate_series(1, 20) s WHERE level = 'district';

INSERT INTO assets (asset_code, kind, name, area_code, maintenance_unit, object_state)
SELECT 'a' || n, CASE WHEN n % 1000 = 0 THEN '2115' ELSE '0103' END, 'n',
    '4105' || lpad((n % 9 + 1)::text, 2, '0') || lpad((n % 20 + 1)::text, 3, '0'), 'unit-' || n % 50,
    CASE WHEN n % 500 = 0 THEN '丢失' ELSE '完好' END
FROM generate_series(1, 4000) n;
INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s, status)
SELECT 'd-' || n, CASE WHEN n % 200 = 0 THEN 'pump' WHEN n % 10 = 0 THEN 'road' ELSE 'cover' END, '410501', n,
    CASE WHEN n % 400 = 0 THEN 'rare' ELSE 'common' END, 60, CASE WHEN n % 400 = 1 THEN 'retired' ELSE 'in_service' END
FROM generate_series(1, 4000) n;
UPDATE assets SET lon = 114 + asset_key % 80 * 0.001, lat = 36 + asset_key / 80 * 0.001;
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)
SELECT 'W' || n, n, n + 1, CASE WHEN n % 1000 = 0 THEN 'foul' ELSE 'storm' END, 300, 50, 50, 49.9 FROM generate_series(1, 3999) n WHERE n % 20 > 0 OR n % 1000 = 0;
INSERT INTO latest_cover (device_key, ts, received_at, quality, open) SELECT device_key, now(), now(), 0, false FROM devices WHERE family = 'cover';
INSERT INTO latest_road (device_key, ts, received_at, quality, depth_cm) SELECT device_key, now(), now(), 0, 1 FROM devices WHERE family = 'road';
INSERT INTO latest_pump (device_key, ts, received_at, quality, running) SELECT device_key, now(), now(), 0, true FROM devices WHERE family = 'pump';

INSERT INTO rules (rule_id, version, body, created_by)
SELECT r, v, jsonb_build_object('title', r, 'family', 'cover'), 'x' FROM unnest(ARRAY['cover.tilt', 'cover.open', 'cover.rare']) r, generate_series(1, 20) v;
INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, area_code, family)
SELECT 'device', device_key, CASE WHEN device_key % 800 = 3 THEN 'cover.rare' ELSE rule_id END, device_key, asset_key, area_code, family
FROM devices JOIN assets USING (asset_key) CROSS JOIN (VALUES ('cover.tilt'), ('cover.open')) AS r (rule_id)
ON CONFLICT DO NOTHING;
INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, human, raised_at, raised_received_at, cleared_at, proof)
SELECT alarm_key, e, 1, 't', 'normal', (alarm_key + e) % 4 + 1, 4, CASE WHEN (alarm_key + e) % 100 = 0 THEN 'unacknowledged' ELSE 'acknowledged' END,
    '2026-01-01Z'::timestamptz + (alarm_key * 7919 % 8000 + e * 8000) * interval '10 minutes', now(),
    CASE WHEN e < 5 OR alarm_key % 100 > 0 THEN '2026-12-31Z'::timestamptz END, '{}'
FROM alarms CROSS JOIN generate_series(1, 5) e;
INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at, received_at)
SELECT alarm_key, episode * 2 - n, episode, 'condition', 'normal', 'active', severity, 'limit_reached', 'engine', raised_at, raised_at
FROM episodes CROSS JOIN (VALUES (0), (1)) AS twice (n);
INSERT INTO rules (rule_id, version, body, created_by) VALUES ('cover.offline', 1, '{"title": "t", "family": "cover", "kind": "no_data"}', 'x');
UPDATE alarms SET episode = 5, transition_no = 10;
INSERT INTO suppressions (alarm_key, kind, cause, severity, reason, actor, ended_at)
SELECT alarm_key, CASE WHEN e % 2 = 0 THEN 'by_design' ELSE 'shelved' END, 'incident:' || e, 3, 'r', 'x', CASE WHEN e < 4 OR alarm_key % 50 > 0 THEN now() END
FROM alarms CROSS JOIN generate_series(1, 5) e;
INSERT INTO suppressions (alarm_key, kind, cause, reason, actor, ended_at)
SELECT alarm_key, 'out_of_service', 'order:WO-' || alarm_key, 'r', 'x', CASE WHEN alarm_key > 1 THEN now() END FROM alarms;
UPDATE alarms SET suppressed = '{by_design,shelved}' WHERE alarm_key % 50 = 0;
UPDATE episodes SET assigned_to = CASE WHEN episode_key % 4000 = 0 THEN '王工' ELSE '李工' END WHERE episode_key % 4 = 0;
INSERT INTO corrections (alarm_key, episode, verdict, transition_no) SELECT alarm_key, episode, 'unfounded', episode * 2 FROM episodes WHERE episode_key % 5 = 0;
INSERT INTO comments (episode_key, actor, text) SELECT episode_key, 'x', 't' FROM episodes WHERE episode_key % 4 = 0;
INSERT INTO sinks (name, channel, audience, config) VALUES ('platform', 'platform', 'platform', '{}');
INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, state, snapshot)
SELECT alarm_key || '-' || episode, 1, alarm_key, episode, episode * 2, 'raise', severity, CASE WHEN alarm_key % 1000 = 0 THEN 'owed' ELSE 'delivered' END, '{}'
FROM episodes;
INSERT INTO inbox (shard, kind, payload, key, consumed_at) SELECT 'main', 'close', '{}', 'close:x' || n, now() FROM generate_series(1, 5000) n;

INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail)
SELECT 'main', '2026-01-01Z'::timestamptz + n * interval '1 minute', 't', '', sha256(int4send(n)), 1, CASE WHEN n % 4000 = 0 THEN 'rare' ELSE 'common' END, 'd'
FROM generate_series(1, 40000) n;
UPDATE quarantine SET source = 'http', vendor = 'rare' WHERE quarantine_key % 1000 = 0;
UPDATE quarantine SET vendor = 'common' WHERE quarantine_key % 1000 > 0;
UPDATE quarantine SET device_id = 'q-' || quarantine_key / 10;
UPDATE quarantine SET released_at = now() WHERE quarantine_key % 7 = 0;
UPDATE quarantine SET released_at = NULL WHERE quarantine_key IN (17171, 17172);
INSERT INTO newcomers (device_id, family, district, source, first_seen, last_seen, reports, state)
SELECT 'n-' || n, 'cover', CASE WHEN n > 4000 THEN '410501' ELSE '4109' || lpad((n % 40)::text, 2, '0') END, 'mqtt', now(), now(), 1,
    CASE WHEN n % 10 = 0 THEN 'refused' ELSE 'waiting' END FROM generate_series(1, 5000) n;
INSERT INTO newcomers (device_id, family, district, source, first_seen, last_seen, reports)
SELECT 'm-' || n, 'cover', '410999', 'mqtt', now(), now(), 1 FROM generate_series(1, 3) n;
INSERT INTO books (shard, minute, received, stored) SELECT 'main', '2026-01-01Z'::timestamptz + n * interval '1 minute', 1, 1 FROM generate_series(1, 40000) n;
INSERT INTO audit (at, actor, action, subject)
SELECT '2026-01-01Z'::timestamptz + n * interval '1 minute', CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'x' END,
    CASE WHEN n % 1000 = 1 THEN 'rare.act' ELSE 'x.y' END, 'episode:' || n / 5 FROM generate_series(1, 20000) n;
INSERT INTO audit_seals SELECT audit_key, at, sha256(int8send(audit_key)), sha256(int8send(audit_key)) FROM audit;
INSERT INTO accounts (kind, name, device_key) SELECT 'device', device_id, device_key FROM devices WHERE device_id <> 'd-1718';
INSERT INTO accounts (kind, name, vendor) VALUES ('vendor', 'acme', 'rare');
INSERT INTO gateways (gateway_id, district) SELECT 'GW-' || n, '410502' FROM generate_series(1, 20) n;
INSERT INTO accounts (kind, name, gateway_key) SELECT 'gateway', gateway_id, gateway_key FROM gateways;
INSERT INTO credentials (account_key, slot, secret_hash, issued_by) SELECT account_key, 0, '$7$1$AA==$AA==', 'x' FROM accounts WHERE name <> 'd-1717';
INSERT INTO credentials (account_key, slot, serial, common_name, expires_at, issued_by)
SELECT account_key, 0, 'a1', '410502/cover/d-1717', now() + interval '1 year', 'x' FROM accounts WHERE name = 'd-1717';
INSERT INTO api_keys (name, role, secret_hash) SELECT 'key-' || n, 'viewer', sha256(int4send(n)) FROM generate_series(1, 5000) n;

INSERT INTO report_cover (device_key, ts, digest, tilt_deg, received_at, quality)
SELECT d, '2026-07-01Z'::timestamptz + n * interval '30 minutes', 1, 3, now(), 0 FROM generate_series(1, 40) d, generate_series(1, 700) n;

INSERT INTO rules (rule_id, version, body, created_by) VALUES ('storm.incident', 1, '{"rule_id": "storm.incident", "kind": "storm", "title": "暴雨险情",
    "source": "s", "window_s": 600, "enter_above": 10, "leave_below": 5, "least_members": 2, "update_every_s": 300, "worst_change": 0.2,
    "nearest_m": 300, "hold_s": 120, "groups": [{"rule": "cover.tilt", "short": "井盖倾斜"}]}', 'x');
INSERT INTO incidents (kind, area_code, catchment, title, began_at, ended_at)
SELECT CASE WHEN n % 500 = 0 THEN 'cause' ELSE 'storm' END, d.codes[1 + n % array_length(d.codes, 1)], 'area:' || n, 't',
    '2026-01-01Z'::timestamptz + n * interval '1 hour', CASE WHEN n % 100 > 0 THEN '2026-12-01Z'::timestamptz END
FROM generate_series(1, 4000) n, (SELECT array_agg(code ORDER BY code) AS codes FROM areas WHERE level = 'district') d;
INSERT INTO alarms (subject_kind, subject_key, rule_id, area_code, episode) SELECT 'incident', incident_key, 'storm.incident', area_code, 1 FROM incidents;
INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at, raised_received_at, cleared_at, proof)
SELECT alarm_key, 1, 1, 't', 'normal', 3, 3, began_at, began_at, ended_at, '{}' FROM alarms JOIN incidents ON subject_kind = 'incident' AND subject_key = incident_key;
INSERT INTO incident_members (incident_key, alarm_key, episode, joined_at, alone, left_at, left_because)
SELECT 1 + episode_key % 4000, alarm_key, episode, raised_at, false, '2026-12-01Z', 'cleared' FROM episodes WHERE episode_key <= 20000;
INSERT INTO incident_members (incident_key, alarm_key, episode, joined_at, alone, left_at, left_because)
SELECT 4000, alarm_key, episode, raised_at, false, '2026-12-01Z', 'cleared' FROM episodes WHERE episode_key BETWEEN 20001 AND 25000;
INSERT INTO floods (area_code, began_at, ended_at, peak) SELECT code, '2026-01-01Z'::timestamptz + n * interval '5 hours', '2026-01-01Z'::timestamptz + n * interval '6 hours', 11
FROM areas, generate_series(1, 50) n WHERE level IN ('district', 'street');
INSERT INTO cases (alarm_key, episode, filing_id, filing_version, code_scheme, case_type, code, code_name, condition_name, level, state, step_no,
    opened_at, filed_at, ended_at, ended_how, needs_person, repair_kind, repair_amount, repair_by, repair_overdue_at)
SELECT alarm_key, episodes.episode, CASE WHEN episode_key % 1000 = 0 THEN 'filing.rare' ELSE 'filing.cover_open' END, 1, 's', 'component', '0103', 'n', 'c', 1,
    CASE WHEN cleared_at IS NULL THEN CASE WHEN episode_key % 7 = 0 THEN 'handling' ELSE 'reported' END ELSE 'closed' END, 2, raised_at, raised_at, cleared_at,
    CASE WHEN cleared_at IS NOT NULL THEN 'closed' END, CASE WHEN episode_key % 400 = 0 THEN 'not_accepted' END, 'urgent_hour', 6, raised_at + interval '6 hours',
    CASE WHEN episode_key % 300 = 0 THEN raised_at + interval '6 hours' END
FROM episodes JOIN alarms USING (alarm_key) WHERE subject_kind = 'device';
UPDATE cases SET state = 'reported', ended_at = NULL, ended_how = NULL WHERE case_key IN (500, 1000, 1500);
UPDATE episodes e SET cleared_at = NULL FROM cases c WHERE c.case_key = 1505 AND e.alarm_key = c.alarm_key AND e.episode = c.episode;
INSERT INTO rules (rule_id, version, body, created_by)
SELECT r, 21, jsonb_build_object('title', r, 'family', 'cover', 'case', '{"filing": "filing.cover_open"}'::jsonb), 'x' FROM unnest(ARRAY['cover.tilt', 'cover.open']) r;
INSERT INTO case_steps (case_key, step_no, to_state, event, at, actor, cause) SELECT case_key, n, state, 'opened', opened_at, 'engine', 'engine' FROM cases, generate_series(1, 2) n;
ANALYZE;
