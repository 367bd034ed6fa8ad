-- One of everything in each of the two districts of city.sql, which comes before it.
INSERT INTO assets (asset_code, kind, name, area_code, maintenance_unit) VALUES
    ('4105020103000400', '0103', '东关雨水井', '410502', '文峰养护所'), ('4105030103000400', '0103', '北关雨水井', '410503', '北关养护所');
UPDATE assets SET lon = 114.36, lat = 36.11 WHERE asset_key IN (3, 6);
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m) VALUES
    ('W1', 1, 5, 'storm', 300, 50, 2, 1), ('B1', 3, 6, 'storm', 300, 50, 2, 1);
INSERT INTO incidents (kind, area_code, catchment, catchment_name, title, began_at) VALUES
    ('storm', '410502', 'a', '甲片', '险情甲', '2026-07-01T13:00:00Z'), ('storm', '410503', 'b', '乙片', '险情乙', '2026-07-01T13:00:00Z');
INSERT INTO incident_members (incident_key, alarm_key, episode, joined_at, alone) VALUES
    (1, 1, 2, '2026-07-01T13:39:00Z', true), (2, 4, 1, '2026-07-01T13:39:00Z', false);
INSERT INTO newcomers (device_id, family, district, source, first_seen, last_seen, reports) VALUES
    ('N-W', 'cover', '410502', 'mqtt', now(), now(), 1), ('N-B', 'cover', '410503', 'mqtt', now(), now(), 1);
INSERT INTO suppressions (alarm_key, kind, cause, since, reason, actor) VALUES
    (2, 'out_of_service', 'order:WO-W', '2026-07-01T13:39:00Z', '甲所检修', '甲所'),
    (3, 'out_of_service', 'order:WO-B', '2026-07-01T13:39:00Z', '乙所检修', '乙所');
UPDATE alarms SET suppressed = '{out_of_service}' WHERE alarm_key IN (2, 3);
INSERT INTO comments (episode_key, at, actor, text) VALUES (2, now(), '甲所', '甲所在看'), (4, now(), '乙所', '乙所在看');
UPDATE cases SET condition_name = CASE WHEN case_key IN (1, 2) THEN '案甲' ELSE '案乙' END;
INSERT INTO duty_notes (at, actor, text, area_code) VALUES (now(), 'x', '甲所的事', '410502'), (now(), 'x', '乙所的事', '410503');
