-- A few devices, gateways and a mapping, for tests of who may say what.
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('4105', '安阳市', NULL, 'city'), ('410502', '文峰区', '4105', 'district'), ('410503', '北关区', '4105', 'district');
INSERT INTO assets (asset_code, kind, name, area_code) VALUES ('4105020103000001', '0103', '雨水井盖', '410502');
INSERT INTO gateways (gateway_id, district) VALUES ('GW-1', '410502'), ('GW-2', '410502');
INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s, gateway_key)
SELECT device_id, family, new.district, asset_key, new.vendor, 3600, gateway_key
FROM (VALUES
    ('NB-1', 'cover', '410502', '', NULL),
    ('NB-2', 'cover', '410502', '', NULL),
    ('R-1', 'road', '410502', '', 'GW-1'),
    ('R-2', 'road', '410502', 'Other', NULL),
    ('A-1', 'rain', '410503', 'Acme', NULL)
) AS new (device_id, family, district, vendor, gateway_id)
CROSS JOIN assets LEFT JOIN gateways USING (gateway_id);
INSERT INTO mappings (name, version, body, created_by) VALUES
    ('acme-well', 1, '{"topics": ["/city/{city}/well/status/{device}"], "shard": "main", "http": true}', 'test'),
    ('old', 1, '{"topics": ["old/{device}"], "shard": "main", "http": false}', 'test'),
    ('old', 2, '{"topics": ["old/{device}"], "shard": "main", "http": false}', 'test');
UPDATE mappings SET withdrawn = true WHERE name = 'old' AND version = 2;
