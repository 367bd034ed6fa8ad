-- A small city for the API's tests: three levels of areas, four devices, six episodes in every state.
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('410500', '安阳市', NULL, 'city'),
    ('410502', '文峰区', '410500', 'district'),
    ('410503', '北关区', '410500', 'district'),
    ('410502001', '宝莲寺街道', '410502', 'street'),
    ('410502001001', '东关社区', '410502001', 'community');

INSERT INTO assets (asset_code, kind, name, area_code, address, lon, lat, maintenance_unit, object_state) VALUES
    ('4105020103000312', '0103', '雨水井0312', '410502001001', '人民大道文峰路口东北角', 114.372615, 36.098779, '文峰养护所', '完好'),
    ('4105022100000001', '2100', '东风路铁路桥下', '410502', '东风路铁路桥下', 114.360001, 36.100002, '文峰养护所', '完好'),
    ('4105030103000099', '0103', '雨水井0099', '410503', '安漳大道', NULL, NULL, '北关养护所', '破损'),
    ('4105030118000007', '0118', '路灯0007', '410503', '洹滨北路', 114.35, 36.12, '路灯所', '完好');

INSERT INTO devices (device_id, family, district, asset_key, vendor, model, expected_interval_s, baseline, status) VALUES
    ('cover-0312', 'cover', '410502', 1, '甲厂', 'JG-200', 86400, '{"tilt_deg": 3.5}', 'in_service'),
    ('road-0001', 'road', '410502', 2, '乙厂', 'JS-1', 60, '{}', 'in_service'),
    ('cover-0099', 'cover', '410503', 3, '甲厂', 'JG-200', 86400, '{}', 'maintenance'),
    ('lamp-0007', 'lamp', '410503', 4, '丙厂', 'D-7', 900, '{}', 'in_service');

INSERT INTO latest_cover (device_key, ts, received_at, seq, quality, tilt_deg, open) VALUES
    (1, '2026-07-01T13:38:05Z', '2026-07-01T13:38:07Z', 118, 16, 78.2, true);
INSERT INTO latest_road (device_key, ts, received_at, seq, quality, depth_cm, place) VALUES
    (2, '2026-07-01T13:40:00Z', '2026-07-01T13:40:01Z', NULL, 0, 26.0, 1);

INSERT INTO rules (rule_id, version, body, created_by) VALUES
    ('cover.tilt', 1, '{"rule_id": "cover.tilt", "kind": "level", "family": "cover", "title": "井盖倾斜", "source": "s", "field": "tilt_deg", "against_baseline": true, "proof": "silence", "levels": [{"severity": "orange", "limit": 15, "dead_band": 2, "on_delay_s": 3}, {"severity": "red", "limit": 30, "dead_band": 5}]}', 'shipped'),
    ('cover.tilt', 2, '{"rule_id": "cover.tilt", "kind": "level", "family": "cover", "title": "井盖倾斜", "source": "s", "field": "tilt_deg", "against_baseline": true, "levels": [{"severity": "red", "limit": 25}]}', 'li'),
    ('road.underpass', 1, '{"rule_id": "road.underpass", "kind": "level", "family": "road", "title": "下穿积水", "source": "s", "field": "depth_cm", "when": {"place": 1}, "proof": "silence", "levels": [{"severity": "red", "limit": 25}], "off_delay_s": 600}', 'shipped'),
    ('lamp.door', 1, '{"rule_id": "lamp.door", "kind": "level", "family": "lamp", "title": "检修门打开", "source": "s", "field": "door_open", "equals": true, "levels": [{"severity": "blue"}]}', 'shipped');
INSERT INTO rules (rule_id, version, body, created_by, withdrawn) VALUES
    ('lamp.door', 2, '{"rule_id": "lamp.door", "kind": "level", "family": "lamp", "title": "检修门打开", "source": "s", "field": "door_open", "equals": true, "levels": [{"severity": "blue"}]}', 'li', true);

INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, area_code, family, episode, transition_no) VALUES
    ('device', 1, 'cover.tilt', 1, 1, '410502001001', 'cover', 2, 5),
    ('device', 2, 'road.underpass', 2, 2, '410502', 'road', 1, 1),
    ('device', 3, 'cover.tilt', 3, 3, '410503', 'cover', 1, 3),
    ('device', 4, 'lamp.door', 4, 4, '410503', 'lamp', 1, 1),
    ('shard', 1, 'shard.session', NULL, NULL, NULL, NULL, 1, 1);

INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, human,
                      acknowledged_by, acknowledged_at, raised_at, raised_received_at, cleared_at, cleared_received_at, clear_reason, proof) VALUES
    (1, 1, 1, '井盖倾斜', 'normal', 3, 3, 'acknowledged', 'wang', '2026-06-30T01:00:00Z', '2026-06-30T00:00:00Z', '2026-06-30T00:00:02Z',
     '2026-06-30T02:00:00Z', '2026-06-30T02:00:01Z', 'below_limit', '{"field": "tilt_deg", "label": "倾角", "value": 16.0, "unit": "°", "limit": 15.0}'),
    (1, 2, 1, '井盖倾斜', 'active', 4, 4, 'unacknowledged', NULL, NULL, '2026-07-01T13:38:05Z', '2026-07-01T13:38:07Z', NULL, NULL, NULL,
     '{"ts": "2026-07-01T13:38:05+00:00", "received_at": "2026-07-01T13:38:07+00:00", "field": "tilt_deg", "label": "倾角", "value": 78.2, "unit": "°", "limit": 30.0, "values": {"tilt_deg": 78.2, "open": true}}'),
    (2, 1, 1, '下穿积水', 'active', 4, 4, 'acknowledged', 'li', '2026-07-01T13:41:00Z', '2026-07-01T13:40:00Z', '2026-07-01T13:40:01Z', NULL, NULL, NULL,
     '{"ts": "2026-07-01T13:40:00+00:00", "field": "depth_cm", "label": "积水深度", "value": 26.0, "unit": "cm", "limit": 25.0}'),
    (3, 1, 1, '井盖倾斜', 'normal', 3, 4, 'unacknowledged', NULL, NULL, '2026-07-01T10:00:00Z', '2026-07-01T10:00:01Z', '2026-07-01T11:00:00Z', '2026-07-01T11:00:01Z',
     'below_limit', '{"field": "tilt_deg", "label": "倾角", "value": 17.0, "unit": "°", "limit": 15.0}'),
    (4, 1, 1, '检修门打开', 'active', 1, 1, 'unacknowledged', NULL, NULL, '2026-07-01T09:00:00Z', '2026-07-01T09:00:01Z', NULL, NULL, NULL,
     '{"field": "door_open", "label": "检修门打开", "value": true, "unit": "", "limit": 1.0}'),
    (5, 1, 1, '消息会话丢失', 'active', 2, 2, 'unacknowledged', NULL, NULL, '2026-07-01T08:00:00Z', '2026-07-01T08:00:00Z', NULL, NULL, NULL,
     '{"field": "", "label": "代理重启后没有会话"}');

INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at, received_at, proof) VALUES
    (1, 1, 1, 'condition', 'normal', 'active', 3, 'limit_reached', 'engine', '2026-06-30T00:00:00Z', '2026-06-30T00:00:02Z', NULL),
    (1, 2, 1, 'human', 'unacknowledged', 'acknowledged', 3, 'acknowledged', 'wang', '2026-06-30T01:00:00Z', '2026-06-30T01:00:00Z', NULL),
    (1, 3, 1, 'condition', 'active', 'normal', 3, 'below_limit', 'engine', '2026-06-30T02:00:00Z', '2026-06-30T02:00:01Z', NULL),
    (1, 4, 2, 'condition', 'normal', 'active', 3, 'held_in_silence', 'engine', '2026-07-01T13:38:05Z', '2026-07-01T13:38:07Z', '{"field": "tilt_deg", "value": 20.0}'),
    (1, 5, 2, 'condition', 'active', 'active', 4, 'severity_rose', 'engine', '2026-07-01T13:38:05Z', '2026-07-01T13:38:07Z', '{"field": "tilt_deg", "value": 78.2}');

INSERT INTO sinks (name, channel, audience, maintenance_unit, min_severity, config) VALUES
    ('platform', 'platform', 'platform', NULL, 1, '{"url": "http://127.0.0.1:1/", "secret": "sink-secret-never-shown"}'),
    ('wenfeng', 'wecom', 'crew', '文峰养护所', 3, '{"key": "sink-secret-never-shown"}');

INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, state, snapshot, attempts,
                    created_at, settled_at, last_error, receipt) VALUES
    ('k1', 1, 1, 2, 4, 'raise', 3, 'delivered', '{}', 2, '2026-07-01T13:38:07Z', '2026-07-01T13:38:09Z', 'timed out', '{"platform_no": "A-1"}'),
    ('k2', 1, 1, 2, 5, 'change', 4, 'owed', '{}', 0, '2026-07-01T13:38:08Z', NULL, NULL, NULL),
    ('k3', 2, 1, 2, 5, 'change', 4, 'dead', '{}', 5, '2026-07-01T13:38:08Z', '2026-07-01T13:39:00Z', 'errcode 40058', NULL),
    ('k4', 1, 1, 1, 1, 'raise', 3, 'delivered', '{}', 1, '2026-06-30T00:00:02Z', '2026-06-30T00:00:03Z', NULL, '{"platform_no": "A-0"}');
UPDATE outbox SET verdict = 'tell' WHERE state <> 'owed';

INSERT INTO cases (alarm_key, episode, filing_id, filing_version, code_scheme, case_type, code, code_name, condition_name, level, state, step_no,
                   opened_at, filed_at, known_state, known_at, ended_at, ended_how, end_confirmed, needs_person, arrive_kind, arrive_amount, arrive_by,
                   repair_kind, repair_amount, repair_by, arrive_overdue_at, sink_key, platform_no) VALUES
    (1, 2, 'filing.cover_open', 1, 'GB/T 30428.2-2013', 'component', '0103', '雨水井盖', '井盖缺失、移位、打开', 2, 'reported', 1,
     '2026-07-01T13:38:07Z', '2026-07-01T13:38:07Z', NULL, NULL, NULL, NULL, false, NULL, 'urgent_hour', 0.5, '2026-07-01T14:08:07Z',
     'urgent_hour', 6, '2026-07-01T19:38:07Z', NULL, NULL, NULL),
    (2, 1, 'filing.road_water', 1, 'GB/T 30428.2-2013', 'event', '0406', '道路积水', '道路积水', 2, 'dispatched', 3,
     '2026-07-01T13:40:01Z', '2026-07-01T13:40:01Z', 'dispatched', '2026-07-01T13:50:00Z', NULL, NULL, false, NULL, 'urgent_hour', 0.5, '2026-07-01T14:10:01Z',
     NULL, NULL, NULL, '2026-07-01T14:10:01Z', 1, 'A-1'),
    (3, 1, 'filing.cover_open', 1, 'GB/T 30428.2-2013', 'component', '0103', '雨水井盖', '井盖缺失、移位、打开', 2, 'closed', 2,
     '2026-07-01T10:00:01Z', '2026-07-01T10:00:01Z', 'closed', '2026-07-01T10:30:00Z', '2026-07-01T10:30:00Z', 'closed', true, 'closed_while_open',
     'urgent_hour', 0.5, '2026-07-01T10:30:01Z', 'urgent_hour', 6, '2026-07-01T16:00:01Z', NULL, 1, 'A-2'),
    (4, 1, 'filing.cabinet_door', 1, 'GB/T 30428.2-2013', 'component', '0116', '电力设施', '箱门、检修门打开', 0, 'pending_verify', 1,
     '2026-07-01T09:00:01Z', NULL, NULL, NULL, NULL, NULL, false, 'verify', 'urgent_hour', 2, '2026-07-01T11:00:01Z',
     'work_day', 1, '2026-07-02T09:00:01Z', NULL, NULL, NULL);
INSERT INTO case_steps (case_key, step_no, from_state, to_state, event, at, actor, cause, note, detail) VALUES
    (1, 1, NULL, 'reported', 'opened', '2026-07-01T13:38:07Z', 'engine', 'engine', '', '{}'),
    (2, 1, NULL, 'reported', 'opened', '2026-07-01T13:40:01Z', 'engine', 'engine', '', '{}'),
    (2, 2, 'reported', 'dispatched', 'reached', '2026-07-01T13:50:00Z', '李强', 'callback', '已派单', '{"to": "dispatched", "skipped": ["accepted"]}'),
    (2, 3, 'dispatched', 'dispatched', 'overdue_arrive', '2026-07-01T14:10:01Z', 'engine', 'engine', '', '{"clock": "arrive"}'),
    (3, 1, NULL, 'reported', 'opened', '2026-07-01T10:00:01Z', 'engine', 'engine', '', '{}'),
    (3, 2, 'reported', 'closed', 'reached', '2026-07-01T10:30:00Z', 'platform:platform', 'callback', '', '{"to": "closed"}'),
    (4, 1, NULL, 'pending_verify', 'opened', '2026-07-01T09:00:01Z', 'engine', 'engine', '', '{}');
