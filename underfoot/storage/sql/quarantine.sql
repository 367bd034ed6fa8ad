-- name: known
-- purpose: which of these packets are in quarantine already
SELECT packet_id, digest FROM quarantine WHERE digest = ANY(%(digests)s);

-- name: add
-- purpose: keep what could not be understood, whole, in the order in which it came
COPY quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail, device_id, source, vendor)
FROM STDIN (FORMAT BINARY);

-- name: reject_again
-- purpose: replays that were not understood this time either: their rows say why now; tells which rows are there
UPDATE quarantine SET
    shard = %(shard)s, reason = again.reason, detail = again.detail, replays = replays + 1,
    device_id = coalesce(again.device_id, quarantine.device_id), vendor = coalesce(nullif(again.vendor, ''), quarantine.vendor)
FROM unnest(
    %(quarantine_keys)s::bigint[], %(reasons)s::text[], %(details)s::text[], %(device_ids)s::text[], %(vendors)s::text[]
) AS again (quarantine_key, reason, detail, device_id, vendor)
WHERE quarantine.quarantine_key = again.quarantine_key
RETURNING quarantine.quarantine_key;

-- name: release
-- purpose: replays that were understood: what they say is stored
UPDATE quarantine SET released_at = clock_timestamp()
WHERE quarantine_key = ANY(%(quarantine_keys)s) AND released_at IS NULL;

-- name: listed
-- purpose: what could not be understood, newest first, without its payload
SELECT quarantine_key, shard, received_at, topic, octet_length(payload) AS bytes, reason, detail, device_id, source, vendor,
    replays, released_at
FROM quarantine
WHERE (%(state)s <> 'waiting' OR released_at IS NULL) AND (%(state)s <> 'released' OR released_at IS NOT NULL)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(source)s::text IS NULL OR source = %(source)s)
    AND (%(vendor)s::text IS NULL OR vendor = %(vendor)s)
    AND (%(shard)s::text IS NULL OR shard = %(shard)s)
    AND (%(device_ids)s::text[] IS NULL OR device_id = ANY(%(device_ids)s))
    AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
    AND (%(quarantine_keys)s::bigint[] IS NULL OR quarantine_key = ANY(%(quarantine_keys)s))
    AND (%(reached)s::timestamptz IS NULL OR (received_at, quarantine_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY received_at DESC, quarantine_key DESC
LIMIT %(limit)s;

-- name: counts
-- purpose: how much was set aside, by reason, source and vendor
SELECT reason, source, vendor, count(*) AS messages, min(received_at) AS oldest, max(received_at) AS newest FROM quarantine
WHERE (%(state)s <> 'waiting' OR released_at IS NULL) AND (%(state)s <> 'released' OR released_at IS NOT NULL)
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(source)s::text IS NULL OR source = %(source)s)
    AND (%(vendor)s::text IS NULL OR vendor = %(vendor)s)
    AND (%(shard)s::text IS NULL OR shard = %(shard)s)
    AND (%(device_ids)s::text[] IS NULL OR device_id = ANY(%(device_ids)s))
    AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
    AND (%(quarantine_keys)s::bigint[] IS NULL OR quarantine_key = ANY(%(quarantine_keys)s))
GROUP BY reason, source, vendor ORDER BY count(*) DESC, reason, source, vendor;

-- name: shown
-- purpose: one message that could not be understood, whole
SELECT quarantine_key, shard, received_at, topic, octet_length(payload) AS bytes, reason, detail, device_id, source, vendor,
    replays, released_at, payload, encode(digest, 'hex') AS digest, packet_id
FROM quarantine WHERE quarantine_key = %(quarantine_key)s;

-- name: newest
-- purpose: the last message that a replay begun now looks at
SELECT coalesce(max(quarantine_key), 0) FROM quarantine;

-- name: to_replay
-- purpose: how many messages a replay would find, and how many of them are in the inbox already
SELECT count(*) AS matching, count(under_way.inbox_key) AS under_way
FROM quarantine q LEFT JOIN inbox AS under_way ON under_way.key = 'replay:' || q.quarantine_key || ':' || q.replays
WHERE q.released_at IS NULL
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(source)s::text IS NULL OR source = %(source)s)
    AND (%(vendor)s::text IS NULL OR vendor = %(vendor)s)
    AND (%(shard)s::text IS NULL OR q.shard = %(shard)s)
    AND (%(device_ids)s::text[] IS NULL OR device_id = ANY(%(device_ids)s))
    AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
    AND (%(quarantine_keys)s::bigint[] IS NULL OR quarantine_key = ANY(%(quarantine_keys)s));

-- name: replayable
-- purpose: the next messages to replay, whole, oldest first; as many as a batch may have, by number and by bytes
SELECT quarantine_key, shard, topic, payload, received_at, (extract(epoch FROM received_at) * 1000000)::bigint AS received_us,
    source, vendor, replays
FROM (
    SELECT *, row_number() OVER oldest AS place, sum(octet_length(payload)) OVER oldest AS bytes
    FROM (
        SELECT * FROM quarantine q
        WHERE released_at IS NULL AND quarantine_key <= %(newest)s
            AND (%(reason)s::text IS NULL OR reason = %(reason)s)
            AND (%(source)s::text IS NULL OR source = %(source)s)
            AND (%(vendor)s::text IS NULL OR vendor = %(vendor)s)
            AND (%(shard)s::text IS NULL OR shard = %(shard)s)
            AND (%(device_ids)s::text[] IS NULL OR device_id = ANY(%(device_ids)s))
            AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
            AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
            AND (%(quarantine_keys)s::bigint[] IS NULL OR quarantine_key = ANY(%(quarantine_keys)s))
            AND (%(reached)s::timestamptz IS NULL OR (received_at, quarantine_key) > (%(reached)s, %(reached_key)s::bigint))
            AND NOT EXISTS (
                SELECT FROM inbox WHERE inbox.key = 'replay:' || q.quarantine_key || ':' || q.replays
            )
        ORDER BY received_at, quarantine_key LIMIT %(limit)s
    ) AS candidates
    WINDOW oldest AS (ORDER BY received_at, quarantine_key)
) AS batch
WHERE place = 1 OR bytes <= %(most_bytes)s
ORDER BY received_at, quarantine_key;
