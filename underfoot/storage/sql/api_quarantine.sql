-- name: list_quarantine
-- purpose: what could not be understood, newest first, without its payload
SELECT quarantine_key, shard, received_at, topic, octet_length(payload) AS bytes, reason, detail, device_id
FROM quarantine
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(shard)s::text IS NULL OR shard = %(shard)s)
    AND (%(from)s::timestamptz IS NULL OR received_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR received_at < %(to)s)
    AND (%(reached)s::timestamptz IS NULL OR (received_at, quarantine_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY received_at DESC, quarantine_key DESC
LIMIT %(limit)s;

-- name: count_quarantine
-- purpose: how much was set aside, by reason
SELECT reason, count(*) AS messages, max(received_at) AS newest FROM quarantine
WHERE (%(from)s::timestamptz IS NULL OR received_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR received_at < %(to)s)
GROUP BY reason ORDER BY count(*) DESC, reason;

-- name: get_quarantined
-- purpose: one message that could not be understood, whole
SELECT quarantine_key, shard, received_at, topic, octet_length(payload) AS bytes, reason, detail, device_id,
    payload, encode(digest, 'hex') AS digest, packet_id
FROM quarantine WHERE quarantine_key = %(quarantine_key)s;
