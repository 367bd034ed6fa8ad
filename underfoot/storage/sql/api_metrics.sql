-- name: open_alarms
-- purpose: open episodes by severity
SELECT severity, count(*) AS alarms FROM episodes WHERE cleared_at IS NULL GROUP BY severity;

-- name: escalated
-- purpose: turns of each level in the last 24 hours
SELECT level, count(*) AS turns FROM escalations WHERE told_at > our_now() - interval '24 hours' GROUP BY level ORDER BY level;

-- name: city_steps
-- purpose: what the city's thread noted of its steps
SELECT step, (noted ->> 'runs')::bigint AS runs, (noted ->> 'failures')::bigint AS failures,
    (noted ->> 'seconds')::double precision AS seconds, (noted ->> 'last_s')::double precision AS last_s
FROM engines CROSS JOIN LATERAL jsonb_each(coalesce(state -> 'steps', '{}')) AS each (step, noted)
WHERE name = 'city' ORDER BY step;

-- name: deliveries
-- purpose: what is owed and since when, by sink; and what was given up
WITH owed AS (
    SELECT sink_key, count(*) AS deliveries, min(created_at) AS oldest FROM outbox WHERE state = 'owed' GROUP BY sink_key
), dead AS (
    SELECT sink_key, count(*) AS deliveries FROM outbox WHERE state = 'dead' GROUP BY sink_key
)
SELECT s.name AS sink, coalesce(owed.deliveries, 0) AS owed, coalesce(dead.deliveries, 0) AS dead,
    coalesce(extract(epoch FROM our_clock() - owed.oldest), 0)::double precision AS oldest_s
FROM sinks s LEFT JOIN owed USING (sink_key) LEFT JOIN dead USING (sink_key)
ORDER BY s.name;

-- name: oldest_red
-- purpose: how long the oldest undelivered red delivery has waited (seconds)
SELECT extract(epoch FROM our_clock() - min(created_at))::double precision AS oldest_s
FROM outbox WHERE state = 'owed' AND severity = 4;

-- name: shards
-- purpose: how far behind each shard is, its last probe, and whether a worker holds it: has its lock, at this database
SELECT s.shard, extract(epoch FROM our_clock() - s.caught_up_to)::double precision AS behind_s,
    s.probe_delay_ms / 1000 AS probe_delay_s,
    hashtextextended('underfoot.shard.' || s.shard, 0) IN (SELECT held_locks()) AS held
FROM shards s ORDER BY s.shard;

-- name: workers
-- purpose: how many workers have a session at this database
SELECT count(*) AS present FROM workers
WHERE hashtextextended('underfoot.worker.' || worker_key, 0) IN (SELECT held_locks());

-- name: devices
-- purpose: devices by family and status
SELECT family, status, count(*) AS devices FROM devices GROUP BY family, status;
