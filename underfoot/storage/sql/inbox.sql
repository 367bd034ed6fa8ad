-- name: post_messages
-- purpose: put messages as they came into the inbox, in their order, each once under its key; says which are new
INSERT INTO inbox (shard, kind, payload, key, body)
SELECT shard, 'message', payload, key, body
FROM unnest(%(shards)s::text[], %(payloads)s::jsonb[], %(keys)s::text[], %(bodies)b::bytea[])
    WITH ORDINALITY AS message (shard, payload, key, body, place)
ORDER BY place
ON CONFLICT (key) DO NOTHING
RETURNING shard, key;

-- name: wake
-- purpose: tell the holders of these shards at commit that their inbox has something
SELECT pg_notify('underfoot_inbox', shard) FROM unnest(%(shards)s::text[]) AS woken (shard);

-- name: pushed_mapping
-- purpose: the mapping that a push names: the newest version, unless withdrawn or not for HTTP; the shard that takes its
--   messages in, and whether all of its reports have a time of their own
SELECT coalesce((SELECT shard FROM shards WHERE shard = body ->> 'shard'), 'main') AS shard,
    NOT jsonb_path_exists(body, '$.reports[*] ? (!(exists(@.time[0])))') AS timed
FROM (
    SELECT body, withdrawn FROM mappings WHERE name = %(name)s ORDER BY version DESC LIMIT 1
) AS newest
WHERE NOT withdrawn AND (body -> 'http')::boolean;

-- name: purge
-- purpose: forget consumed rows, the oldest first; how long they are kept is how long the same key is known
DELETE FROM inbox WHERE inbox_key IN (
    SELECT inbox_key FROM inbox WHERE consumed_at < clock_timestamp() - %(keep)s::interval
    ORDER BY consumed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
);

-- name: take
-- purpose: what waits in a shard's inbox, in order
SELECT inbox_key, kind, payload, body FROM inbox WHERE shard = %(shard)s AND consumed_at IS NULL
ORDER BY inbox_key LIMIT %(most)s FOR UPDATE;

-- name: consumed
-- purpose: these inbox rows have been acted upon, with what came of each
UPDATE inbox SET consumed_at = clock_timestamp(), outcome = c.outcome
FROM unnest(%(inbox_keys)s::bigint[], %(outcomes)s::text[]) AS c (inbox_key, outcome)
WHERE inbox.inbox_key = c.inbox_key;
