-- The devices of a shard as its holder loads them, in arrays: all of them, or those changed of late. Every query
-- has the same devices; `since` null: all; `device_ids` null: whoever.

-- name: devices
-- purpose: who a shard's devices are, in numbers; the order is that of `device_ids`
SELECT
    d.device_key, array_position(%(families)s::text[], d.family)::int2 - 1::int2, d.district::int4, d.expected_interval_s,
    d.created_at, coalesce(d.gateway_key, 0)::int4, array_position(%(vendors)s::text[], d.vendor)::int4 - 1,
    (d.status = 'in_service')::int::int2
FROM devices d
WHERE d.shard = %(shard)s AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))
ORDER BY d.device_key

-- name: device_ids
-- purpose: what a shard's devices report under
SELECT d.device_id
FROM devices d
WHERE d.shard = %(shard)s AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))
ORDER BY d.device_key

-- name: vendors
-- purpose: whose devices a shard has
SELECT DISTINCT d.vendor
FROM devices d
WHERE d.shard = %(shard)s AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))
ORDER BY d.vendor;

-- name: newest_change
-- purpose: when a device of the shard was last registered or changed
SELECT max(updated_at) FROM devices WHERE shard = %(shard)s;

-- name: baselines
-- purpose: what devices of a family read at rest, in one field
SELECT d.device_key, (d.baseline ->> %(field)s)::float8
FROM devices d
WHERE d.shard = %(shard)s AND d.family = %(family)s AND d.baseline ->> %(field)s IS NOT NULL
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: fills_at_rim
-- purpose: how full the sewer is, by devices that measure that, when its water is at the rim; of those where the ledger says
SELECT d.device_key, f.fill
FROM devices d JOIN fill_at_rim f USING (asset_key)
WHERE d.shard = %(shard)s AND d.family = %(family)s
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: from_ledger
-- purpose: what the ledger answers where a device does not say: an attribute of its asset, or what the asset's class means
SELECT d.device_key, coalesce(c.number, k.number)::float8
FROM devices d
JOIN assets a USING (asset_key)
LEFT JOIN jsonb_to_recordset(%(choices)s::jsonb) AS c (word text, number float8) ON c.word = a.attributes ->> %(field)s
LEFT JOIN jsonb_to_recordset(%(kinds)s::jsonb) AS k (kind text, number float8) ON k.kind = a.kind
WHERE d.shard = %(shard)s AND d.family = %(family)s AND coalesce(c.number, k.number) IS NOT NULL
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: within_area
-- purpose: devices of an area, or of one within it: where their asset is, or where they were registered
SELECT d.device_key
FROM devices d
LEFT JOIN assets a USING (asset_key)
WHERE d.shard = %(shard)s AND starts_with(coalesce(a.area_code, d.district), %(name)s)
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: tagged
-- purpose: devices on assets that have a tag
SELECT d.device_key
FROM devices d
JOIN assets a USING (asset_key)
WHERE d.shard = %(shard)s AND a.tags @> ARRAY[%(name)s]
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: named
-- purpose: one device, if it is among these
SELECT d.device_key
FROM devices d
WHERE d.shard = %(shard)s AND d.device_id = %(name)s
    AND (%(since)s::timestamptz IS NULL OR d.updated_at >= %(since)s::timestamptz - interval '1 minute')
    AND (%(device_ids)s::text[] IS NULL OR d.device_id = ANY(%(device_ids)s::text[]))

-- name: declared_codecs
-- purpose: devices that do not send protocol v1's JSON under their own topic
SELECT device_id, codec FROM devices WHERE shard = %(shard)s AND codec IS NOT NULL;

-- name: in_service
-- purpose: those of these devices that are in service now
SELECT device_key FROM devices WHERE device_key = ANY(%(device_keys)s) AND status = 'in_service';

-- name: gateways
-- purpose: gateways by the id they publish under
SELECT gateway_id, gateway_key, district FROM gateways;

-- name: held_by
-- purpose: of these devices, which shard holds each, and what a message of theirs must agree with
SELECT device_id, shard, district, family, coalesce(gateway_key, 0), vendor FROM devices WHERE device_id = ANY(%(device_ids)s);

-- name: latest
-- purpose: the newest thing each device of a shard has said
SELECT l.device_key, l.ts, l.received_at, coalesce(l.seq, %(no_seq)s)::int8
FROM {table} l JOIN devices d USING (device_key) WHERE d.shard = %(shard)s

-- name: recent_amounts
-- purpose: what a rule goes on summing: what each device of a shard reported in the span up to its newest report
SELECT r.device_key, r.ts, r.{field}
FROM {table} r JOIN devices d USING (device_key) JOIN {latest} l USING (device_key)
WHERE d.shard = %(shard)s AND r.ts > l.ts - %(span)s::interval AND r.{field} IS NOT NULL
    AND r.ts > our_now() - interval '8 days' - %(span)s::interval
ORDER BY r.device_key, r.ts;

-- name: recent_parts
-- purpose: what the mean of a field is taken of: each device's sums and counts by part of the time up to its newest report
SELECT r.device_key, p.part, sum(r.{field}::float8)::float8, count(*)::int8
FROM devices d
JOIN {latest} l USING (device_key)
JOIN {table} r ON r.device_key = d.device_key
    AND r.ts >= to_timestamp(((floor(extract(epoch FROM l.ts) * 1000000 / %(part_us)s) - %(parts)s) * %(part_us)s / 1000000)::float8)
CROSS JOIN LATERAL (SELECT floor(extract(epoch FROM r.ts) * 1000000 / %(part_us)s)::int8 AS part) p
WHERE d.shard = %(shard)s AND r.{field} IS NOT NULL
    AND r.ts > our_now() - interval '8 days' - make_interval(secs => %(part_us)s::float8 * %(parts)s / 1000000)
GROUP BY r.device_key, p.part

-- name: recent_values
-- purpose: what the line of a rule of change goes through: the reports of devices heard within its span, and of those about
-- which such a rule has something open or on its way, whenever they were heard; as they came
SELECT r.device_key, r.ts, r.received_at, (r.quality & %(substituted)s <> 0)::int::int2, coalesce(r.{field}, 'NaN')::float8
FROM devices d
JOIN shards s USING (shard)
JOIN {latest} l USING (device_key)
LEFT JOIN (
    SELECT DISTINCT subject_key FROM conditions WHERE subject_kind = 'device' AND rule_id = ANY(%(rule_ids)s)
) o ON o.subject_key = d.device_key
JOIN {table} r ON r.device_key = d.device_key
    AND r.ts >= l.ts - CASE WHEN o.subject_key IS NOT NULL
        THEN greatest(%(span)s::interval, make_interval(secs => %(intervals)s * d.expected_interval_s)) ELSE %(span)s::interval END
WHERE d.shard = %(shard)s AND l.{field} IS NOT NULL
    AND (o.subject_key IS NOT NULL OR l.received_at >= least(s.caught_up_to, our_now()) - %(span)s::interval - interval '10 minutes')
ORDER BY r.device_key, r.received_at, r.ts
