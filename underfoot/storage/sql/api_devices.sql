-- name: list_devices
-- purpose: devices in the order in which they were entered, each with where it is and its newest report
SELECT
    d.device_key, d.device_id, d.family, d.district, d.shard, d.vendor, d.model, d.expected_interval_s, d.baseline,
    d.installed_on, d.status, d.created_at, d.updated_at,
    a.asset_key, a.asset_code, a.kind AS asset_kind, a.name AS asset_name, a.address, a.lon, a.lat, a.maintenance_unit,
    ar.code AS area_code, ar.name AS area_name,
    l.ts, l.received_at, l.seq, l.quality, l."values"
FROM devices d
JOIN assets a USING (asset_key)
JOIN areas ar ON ar.code = a.area_code
LEFT JOIN device_latest l ON l.device_key = d.device_key
WHERE d.device_key > %(after)s
    AND (%(device_id)s::text IS NULL OR d.device_id = %(device_id)s)
    AND (%(family)s::text IS NULL OR d.family = %(family)s)
    AND (%(status)s::text IS NULL OR d.status = %(status)s)
    AND (%(shard)s::text IS NULL OR d.shard = %(shard)s)
    AND (%(vendor)s::text IS NULL OR d.vendor = %(vendor)s)
    AND (%(asset_key)s::int IS NULL OR d.asset_key = %(asset_key)s)
    AND (%(areas)s::text[] IS NULL OR a.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
ORDER BY d.device_key
LIMIT %(limit)s;

-- name: find_device
-- purpose: what the reports of a device are kept under
SELECT d.device_key, d.device_id, d.family, d.expected_interval_s, a.area_code, a.maintenance_unit
FROM devices d JOIN assets a USING (asset_key) WHERE d.device_id = %(device_id)s;
