-- Vendors' mappings: versioned data, as rules are.

-- name: in_force
-- purpose: the newest version of every mapping that is not withdrawn
SELECT name, version, body, created_at, created_by FROM (
    SELECT DISTINCT ON (name) * FROM mappings ORDER BY name, version DESC
) newest WHERE NOT withdrawn ORDER BY name;

-- name: newest
-- purpose: a mapping's newest version, withdrawn or not
SELECT version, body, withdrawn, created_at, created_by FROM mappings WHERE name = %(name)s ORDER BY version DESC LIMIT 1;

-- name: lock
-- purpose: one change at a time: whether topics overlap is judged against what is in force then
SELECT pg_advisory_xact_lock(1970104933);

-- name: add
-- purpose: a mapping's next version
INSERT INTO mappings (name, version, body, withdrawn, created_by)
VALUES (%(name)s, %(version)s, %(body)s, %(withdrawn)s, %(created_by)s);

-- name: shard_exists
-- purpose: whether there is a shard of this name
SELECT EXISTS (SELECT FROM shards WHERE shard = %(shard)s);

-- name: devices_declaring
-- purpose: how many devices' ledger names this mapping as their codec
SELECT count(*) FROM devices WHERE codec = %(name)s;

-- name: notify
-- purpose: tell whoever holds a shard, at commit: it loads the mappings in force anew
SELECT pg_notify('underfoot_rules', '');

-- name: topics_in_force
-- purpose: by shard, the topic patterns of the mappings in force, for its session to subscribe to
SELECT newest.body ->> 'shard', array_agg(topic ORDER BY topic)
FROM (SELECT DISTINCT ON (name) body, withdrawn FROM mappings ORDER BY name, version DESC) newest
CROSS JOIN LATERAL jsonb_array_elements_text(newest.body -> 'topics') AS topics (topic)
WHERE NOT newest.withdrawn
GROUP BY 1;
