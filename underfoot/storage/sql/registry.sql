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

-- name: recent_amounts
-- purpose: what a rule goes on summing: what each device of a shard reported in the span up to its newest report
SELECT r.device_key, r.ts, r.{field}
FROM {table} r JOIN devices d USING (device_key) JOIN device_latest l USING (device_key)
WHERE d.shard = %(shard)s AND r.ts > l.ts - %(span)s::interval AND r.{field} IS NOT NULL
    AND r.ts > now() - interval '8 days' - %(span)s::interval
ORDER BY r.device_key, r.ts;
