-- name: devices_changed_since
-- purpose: a shard's devices that were registered or changed since, oldest first
SELECT d.device_key, d.device_id, d.family, d.district, d.expected_interval_s, d.baseline, a.kind, a.attributes, d.created_at, d.updated_at
FROM devices d JOIN assets a USING (asset_key)
WHERE d.shard = %(shard)s AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
ORDER BY d.updated_at;

-- name: devices_named
-- purpose: devices by the id they report under
SELECT d.device_key, d.device_id, d.family, d.district, d.expected_interval_s, d.baseline, a.kind, a.attributes, d.created_at, d.updated_at
FROM devices d JOIN assets a USING (asset_key)
WHERE d.shard = %(shard)s AND d.device_id = ANY(%(device_ids)s);

-- name: latest_of_shard
-- purpose: the newest thing each device of a shard has said
SELECT l.device_key, l.ts, l.received_at, l.seq FROM device_latest l JOIN devices d USING (device_key) WHERE d.shard = %(shard)s;

-- name: recent_rain
-- purpose: what fell lately, to go on summing
SELECT r.device_key, r.ts, r.amount_mm FROM report_rain r JOIN devices d USING (device_key)
WHERE d.shard = %(shard)s AND r.ts > now() - %(span)s::interval AND r.amount_mm IS NOT NULL
ORDER BY r.device_key, r.ts;
