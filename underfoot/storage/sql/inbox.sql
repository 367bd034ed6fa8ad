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

-- name: take
-- purpose: what waits in a shard's inbox, in order
SELECT inbox_key, kind, payload, body FROM inbox WHERE shard = %(shard)s AND consumed_at IS NULL
ORDER BY inbox_key LIMIT %(most)s FOR UPDATE;

-- name: consumed
-- purpose: these inbox rows have been acted upon, with what came of each
UPDATE inbox SET consumed_at = clock_timestamp(), outcome = c.outcome
FROM unnest(%(inbox_keys)s::bigint[], %(outcomes)s::text[]) AS c (inbox_key, outcome)
WHERE inbox.inbox_key = c.inbox_key;
